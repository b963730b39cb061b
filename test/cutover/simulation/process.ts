/**
 * A process on a machine of its own. Its code is the real engine; what it awaits comes back to it only through here:
 * its timers, and the answers of stores. So while it is stopped none of its code runs, and after a kill none ever will.
 */
import type { Environment } from '../../../cutover/environment.ts';
import type { Random } from './random.ts';
import type { Scheduled, Scheduler } from './scheduler.ts';

/** The wall clock's start: any day will do. */
export const EPOCH_MS = Date.UTC(2030, 0, 1);

export interface SimProcess {
  readonly name: string;
  readonly environment: Environment;
  isAlive(): boolean;
  isRunning(): boolean;
  /** Runs it now, or once the process goes on, or never. */
  deliver(run: () => void): void;
  /** Runs it when the process's own monotonic clock has moved on by so much. */
  timer(delayMs: number, run: () => void): Scheduled;
  /** SIGSTOP: both clocks go on. */
  pause(): void;
  /** The machine sleeps: only the wall clock goes on. */
  suspend(): void;
  resume(): void;
  /** kill -9. */
  kill(): void;
  /** Somebody corrects the wall clock. */
  shiftWall(ms: number): void;
  onKill(listener: () => void): void;
}

export interface ProcessOptions {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** How fast its monotonic clock runs; 1 is right. */
  readonly rate: number;
  /** How far its wall clock is off, ms. */
  readonly wallOffMs: number;
}

export function createProcess(options: ProcessOptions): SimProcess {
  const { name, scheduler, random, rate } = options;
  let state: 'running' | 'paused' | 'suspended' | 'dead' = 'running';
  let waiting: (() => void)[] = [];
  let wallOffMs = options.wallOffMs;
  let ids = 0;
  const listeners: (() => void)[] = [];

  // The monotonic clock: what it showed, and when, at the last start or stop.
  let shownMs = random.between(0, 1_000_000);
  let shownAtMs = scheduler.now();
  const monotonicMs = (): number =>
    state === 'suspended' ? shownMs : shownMs + (scheduler.now() - shownAtMs) * rate;
  const wallMs = (): number => EPOCH_MS + scheduler.now() + wallOffMs;

  function deliver(run: () => void): void {
    if (state === 'running') run();
    else if (state !== 'dead') waiting.push(run);
  }

  function timer(delayMs: number, run: () => void): Scheduled {
    const dueMs = monotonicMs() + Math.max(0, delayMs);
    let cancelled = false;
    const check = (): void => {
      if (cancelled) return;
      const leftMs = dueMs - monotonicMs();
      // A sleeping machine is looked at again after its sleep.
      if (leftMs > 1e-6) scheduled = scheduler.after(leftMs / rate, () => deliver(check));
      else run();
    };
    let scheduled = scheduler.after(delayMs / rate, () => deliver(check));
    return {
      cancel() {
        cancelled = true;
        scheduled.cancel();
      },
    };
  }

  const own = random.below(0x7fffffff).toString(16).padStart(8, '0');
  const environment: Environment = {
    now: () => ({ monotonicMs: monotonicMs(), wallMs: wallMs() }),
    date: () => new Date(Math.floor(wallMs())),
    random: random.next,
    newId() {
      ids += 1;
      const seconds = Math.floor(wallMs() / 1_000);
      return seconds.toString(16).padStart(8, '0') + own + ids.toString(16).padStart(8, '0');
    },
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const done = (): void => {
          scheduled.cancel();
          signal?.removeEventListener('abort', done);
          resolve();
        };
        const scheduled = timer(ms, done);
        signal?.addEventListener('abort', done);
      }),
  };

  function stop(next: 'paused' | 'suspended'): void {
    if (state !== 'running') return;
    shownMs = monotonicMs();
    shownAtMs = scheduler.now();
    state = next;
  }

  return {
    name,
    environment,
    isAlive: () => state !== 'dead',
    isRunning: () => state === 'running',
    deliver,
    timer,
    pause: () => stop('paused'),
    suspend: () => stop('suspended'),
    resume() {
      if (state === 'running' || state === 'dead') return;
      shownMs = monotonicMs();
      shownAtMs = scheduler.now();
      state = 'running';
      const woken = waiting;
      waiting = [];
      // Each in a turn of its own, as the event loop takes them.
      for (const run of woken) scheduler.after(0, () => deliver(run));
    },
    kill() {
      if (state === 'dead') return;
      state = 'dead';
      waiting = [];
      for (const listener of listeners) listener();
    },
    shiftWall(ms) {
      wallOffMs += ms;
    },
    onKill: (listener) => void listeners.push(listener),
  };
}
