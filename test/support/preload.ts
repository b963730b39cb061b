/** What a service that a test starts runs before its own code. */

/** For a process that runs this code first. */
export const preloaded = (code: string) => ({
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}`,
});

const DELAY_MS = 5 * 60_000;

/** The delay between not ready and closing ends at SIGUSR2, and not before: no stall of the machine can end it. */
export const DELAY_ENDS_AT_SIGNAL = {
  SHUTDOWN_DELAY: `${DELAY_MS}ms`,
  ...preloaded(`
    const { setTimeout } = globalThis;
    globalThis.setTimeout = (work, ms, ...rest) => {
      if (ms === ${DELAY_MS}) process.once('SIGUSR2', work);
      return setTimeout(work, ms, ...rest);
    };
  `),
};
