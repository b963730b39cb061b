/** What a run is doing: one changing line on a terminal, a line for each thing that happens elsewhere. */
import type { Windows } from './faults/windows.ts';
import type { Recorder } from './history/recorder.ts';
import type { Monitor } from './monitor.ts';

export interface Watched {
  readonly recorder: Recorder;
  readonly windows: Windows;
  readonly monitor: Monitor;
}

export interface Progress {
  plan(lines: readonly string[]): void;
  /** What begins now. */
  readonly say: (what: string) => void;
  /** From here on the line shows traffic. */
  watch(watched: Watched): void;
  done(): void;
}

export const QUIET: Progress = { plan() {}, say() {}, watch() {}, done() {} };

const CLEAR = '\r\x1b[K';
const EVERY_MS = { terminal: 500, elsewhere: 10_000 } as const;

export function createProgress(): Progress {
  const stream = process.stderr;
  const terminal = stream.isTTY === true;
  const startedMs = performance.now();
  let line: () => string = () => '';
  let doing = '';
  let timer: NodeJS.Timeout | null = null;
  const seconds = (): string =>
    `${String(Math.round((performance.now() - startedMs) / 1_000)).padStart(4)} s`;
  const draw = (): void => {
    const text = `${seconds()}  ${line()}${doing}`;
    stream.write(terminal ? `${CLEAR}${text.slice(0, (stream.columns || 100) - 1)}` : `${text}\n`);
  };
  return {
    plan(lines) {
      stream.write(`the plan: ${lines.length} faults\n${lines.map((each) => `  ${each}\n`).join('')}`);
    },
    say(what) {
      doing = what;
      if (terminal) stream.write(`${CLEAR}${seconds()}  ${what}\n`);
      draw();
    },
    watch({ recorder, windows, monitor }) {
      const counts = { ok: 0, refused: 0, failed: 0, unknown: 0 };
      let last = { atMs: performance.now(), total: 0 };
      let rate = 0;
      recorder.onEnd(({ outcome }) => {
        counts[outcome.kind] += 1;
      });
      line = () => {
        const total = counts.ok + counts.refused + counts.failed + counts.unknown;
        const elapsedMs = performance.now() - last.atMs;
        if (elapsedMs >= 500) {
          rate = ((total - last.total) * 1_000) / elapsedMs;
          last = { atMs: performance.now(), total };
        }
        const { ok, refused, failed, unknown } = counts;
        const numbers = `${rate.toFixed(0)}/s  ok ${ok}  refused ${refused}  failed ${failed}  unknown ${unknown}`;
        const wrong = windows.current().join(', ');
        const pending = monitor.pending() ?? '?';
        return `${monitor.mode() ?? '?'} epoch ${monitor.epoch() ?? '?'}  ${numbers}  pending ${pending}  ${wrong === '' ? '' : `[${wrong}]  `}`;
      };
      timer = setInterval(draw, terminal ? EVERY_MS.terminal : EVERY_MS.elsewhere);
      timer.unref();
    },
    done() {
      if (timer !== null) clearInterval(timer);
      if (terminal) stream.write(CLEAR);
    },
  };
}
