/** What is being done right now: one changing line on a terminal, one line a step elsewhere. */

export interface Progress {
  readonly progress: (text: string) => void;
  /** Clears the line. */
  readonly done: () => void;
}

const CLEAR = '\r\x1b[K';

export function createProgress(): Progress {
  const startedMs = Date.now();
  const terminal = process.stderr.isTTY === true;
  let text = '';
  const stamp = (): string => `${String(Math.round((Date.now() - startedMs) / 1000)).padStart(4)} s  ${text}`;
  const redraw = (): void => {
    process.stderr.write(`${CLEAR}${stamp().slice(0, (process.stderr.columns || 80) - 1)}`);
  };
  const timer = terminal ? setInterval(() => text !== '' && redraw(), 1_000) : null;
  timer?.unref();
  return {
    progress(next) {
      text = next;
      if (terminal) redraw();
      else process.stderr.write(`${stamp()}\n`);
    },
    done() {
      if (timer) clearInterval(timer);
      if (terminal) process.stderr.write(CLEAR);
      text = '';
    },
  };
}
