/** What the parts of one verb share: the time it may take, and how it tells of its steps. */
import type { OperatorContext } from './types.ts';

export interface Run extends OperatorContext {
  /** On the monotonic clock. */
  readonly untilMs: number;
  /** The operator wants no more of it. */
  readonly interrupted?: AbortSignal | undefined;
  readonly say: (step: string, message: string) => void;
}

export function beginRun(context: OperatorContext, timeoutMs: number, interrupted?: AbortSignal): Run {
  const startedMs = context.environment.now().monotonicMs;
  return {
    ...context,
    interrupted,
    untilMs: startedMs + timeoutMs,
    say: (step, message) =>
      context.report({ step, message, elapsedMs: context.environment.now().monotonicMs - startedMs }),
  };
}

/** Whether nothing more is to be begun: its time has passed, or the operator has stopped it. */
export function isOver(run: Run): boolean {
  return run.interrupted?.aborted === true || leftMs(run) <= 0;
}

export function whyOver({ interrupted }: Run): string {
  return interrupted?.aborted === true ? 'it was interrupted' : 'the time for this verb was over';
}

/** Sleeps, until the run is over at most. */
export async function pause(run: Run, ms: number): Promise<void> {
  await run.environment.sleep(Math.min(ms, leftMs(run)), run.interrupted);
}

/** The longest that a timer counts. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** The work's result, or null when the run is over before: only for what reads, for it is left to itself then. */
export async function unlessOver<T>(run: Run, work: Promise<T>): Promise<T | null> {
  const settled = new AbortController();
  const signals = [settled.signal, run.interrupted].filter((signal) => signal !== undefined);
  const over = run.environment.sleep(Math.min(leftMs(run), TIMER_MAX_MS), AbortSignal.any(signals));
  try {
    return await Promise.race([work, over.then(() => null)]);
  } finally {
    settled.abort();
  }
}

function leftMs({ environment, untilMs }: Run): number {
  return Math.max(0, untilMs - environment.now().monotonicMs);
}
