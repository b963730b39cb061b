/** Time and chance, handed in from outside, so that a simulation can replay a run. */
import { randomBytes } from 'node:crypto';
import type { Instant } from './protocol/types.ts';

export interface Environment {
  /** Both clocks, for leases and waits. */
  now(): Instant;
  /** The clock of records: marks, retention, notes, log. */
  date(): Date;
  /** Resolves after `ms`, or at once when the signal is aborted; never rejects, and keeps no process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** From 0, below 1. */
  random(): number;
  /** Fresh with every call, in every process: 24 hex digits. */
  newId(): string;
}

/** The machine's own clocks. `date` may be replaced by the clock that an app uses for its records. */
export function systemEnvironment(date: () => Date = () => new Date()): Environment {
  return {
    now: () => ({ monotonicMs: performance.now(), wallMs: Date.now() }),
    date,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const done = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, ms).unref();
        signal?.addEventListener('abort', done);
      }),
    random: Math.random,
    newId: () => randomBytes(12).toString('hex'),
  };
}
