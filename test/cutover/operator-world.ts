/** Two stores in memory, real engines as instances, and an operator, on a clock that jumps to the next thing to happen. */
import { setImmediate } from 'node:timers/promises';
import { createEngine, type Engine } from '../../cutover/engine.ts';
import type { Environment } from '../../cutover/environment.ts';
import type { Mode } from '../../cutover/mode.ts';
import type { MoveRequest, OperatorContext, Progress } from '../../cutover/operator/index.ts';
import { SILENT, type Telemetry } from '../../cutover/telemetry.ts';
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { createMemoryStore, type Hooks, type MemoryStore, type Operation } from '../support/memory/store.ts';

/** One step up, as most operators ask for it. */
export const REQUEST: MoveRequest = {
  to: null,
  direction: 'promote',
  force: null,
  timeoutMs: 60_000,
  noForeignWriters: true,
};
/** Past the gates: what a test is about comes after them. */
export const FORCED: MoveRequest = { ...REQUEST, force: { reason: 'a test' } };

const START_MS = Date.parse('2026-03-01T12:00:00Z');

export interface Clock extends Environment {
  /** Lets everything happen, jumping from sleep to sleep, until this has settled. */
  run<T>(promise: Promise<T>): Promise<T>;
  /** Lets this much time pass. */
  pass(ms: number): Promise<void>;
  /** Steps in time, not counted as sleep: a machine that stood still. */
  readonly elapsedMs: () => number;
}

interface Timer {
  readonly atMs: number;
  readonly ring: () => void;
}

/** Nothing waits for real time; what could happen at the same moment happens in the order it was begun. */
export function createClock(): Clock {
  let nowMs = 0;
  let ids = 0;
  let seed = 1;
  const timers = new Set<Timer>();

  async function settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn += 1) await setImmediate();
  }

  async function jump(limitMs: number): Promise<boolean> {
    await settle();
    const next = [...timers].reduce<Timer | null>((a, b) => (a === null || b.atMs < a.atMs ? b : a), null);
    if (next === null || next.atMs > limitMs) return false;
    timers.delete(next);
    nowMs = Math.max(nowMs, next.atMs);
    next.ring();
    return true;
  }

  const clock: Clock = {
    now: () => ({ monotonicMs: nowMs, wallMs: START_MS + nowMs }),
    date: () => new Date(START_MS + Math.floor(nowMs)),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const timer: Timer = { atMs: nowMs + Math.max(0, ms), ring: resolve };
        timers.add(timer);
        signal?.addEventListener('abort', () => {
          timers.delete(timer);
          resolve();
        });
      }),
    random() {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    },
    newId() {
      ids += 1;
      const seconds = Math.floor((START_MS + nowMs) / 1_000);
      return seconds.toString(16).padStart(8, '0') + ids.toString(16).padStart(16, '0');
    },
    async run(promise) {
      let settled = false;
      const done = () => {
        settled = true;
      };
      promise.then(done, done);
      const limitMs = nowMs + 3_600_000;
      for (;;) {
        await settle();
        if (settled) return promise;
        if (!(await jump(limitMs))) {
          await settle();
          if (settled) return promise;
          throw new Error(`nothing is left to happen, or an hour has passed, at ${nowMs} ms`);
        }
      }
    },
    async pass(ms) {
      const untilMs = nowMs + ms;
      while (await jump(untilMs)) {}
      nowMs = untilMs;
      await settle();
    },
    elapsedMs: () => nowMs,
  };
  return clock;
}

export interface World {
  readonly clock: Clock;
  readonly stores: { readonly mongo: MemoryStore; readonly postgres: MemoryStore };
  readonly context: OperatorContext;
  readonly progress: Progress[];
  /** Faults, per store; what they throw is thrown by the store. */
  readonly hooks: Record<StoreName, Hooks>;
  /** A store that answers nobody. */
  cut(store: StoreName): void;
  mend(store: StoreName): void;
  /** Starts so many more real engines, with both stores or with another, or none, in place of one. */
  start(
    count: number,
    firstMode: Mode,
    configured?: Partial<Record<StoreName, Store | null>>,
  ): Promise<readonly Engine[]>;
  stop(): Promise<void>;
}

/** `telemetry`: the engines'. */
export function createWorld(telemetry: Telemetry = SILENT): World {
  const clock = createClock();
  const hooks: Record<StoreName, Hooks> = { mongo: {}, postgres: {} };
  const open = (name: StoreName) =>
    createMemoryStore({
      name,
      now: clock.date,
      hooks: {
        before: (operation: Operation) => hooks[name].before?.(operation),
        after: (operation: Operation) => hooks[name].after?.(operation),
      },
    });
  const stores = { mongo: open('mongo'), postgres: open('postgres') };
  const progress: Progress[] = [];
  const engines: Engine[] = [];
  const context: OperatorContext = {
    stores,
    environment: clock,
    telemetry: SILENT,
    report: (each) => progress.push(each),
  };
  return {
    clock,
    stores,
    context,
    progress,
    hooks,
    cut(store) {
      hooks[store] = {
        before: () => {
          throw new StoreUnavailable(store, 'none', 'connect');
        },
      };
    },
    mend(store) {
      hooks[store] = {};
    },
    async start(count, firstMode, configured = {}) {
      const fresh = Array.from({ length: count }, () =>
        createEngine({
          stores: { ...stores, ...configured },
          environment: clock,
          telemetry,
          firstMode,
          retentionMs: 30 * 86_400_000,
          storeTimeoutMs: 2_000,
          digestKey: new Uint8Array(32),
        }),
      );
      for (const engine of fresh) await clock.run(engine.start());
      engines.push(...fresh);
      await clock.pass(2_000);
      return fresh;
    },
    async stop() {
      for (const engine of engines.splice(0)) await clock.run(engine.stop(0));
    },
  };
}
