/** What the engine has answered to its callers, and when: the ground on which everything is judged. */
import { EmailTaken, IdTaken, StaleWrite, type StoreName, StoreUnavailable } from '../../../db/errors.ts';
import type { Repository } from '../../../db/port.ts';
import type { SimProcess } from './process.ts';

export type Outcome =
  /** Answered; `value` is the answer. */
  | 'ok'
  /** Answered with a refusal that says something: the e-mail or the id is taken. */
  | 'refused'
  /** Certainly not done. */
  | 'none'
  /** May have been done. Also what never had an answer, because its process died or never woke. */
  | 'unknown';

export interface Entry {
  readonly order: number;
  readonly process: string;
  readonly name: keyof Repository;
  readonly args: readonly unknown[];
  readonly startMs: number;
  endMs: number;
  /** The order of everything that happened, within one moment too. */
  readonly startTick: number;
  endTick: number;
  outcome: Outcome;
  value: unknown;
  /** The error's name and reason, for people. */
  why: string;
  /** Where and under what epoch it was last carried out. */
  landed: { readonly store: StoreName; readonly epoch: number; readonly tick: number } | null;
}

export interface History {
  readonly entries: readonly Entry[];
  /** A moment of its own, after all before it. */
  tick(): number;
  /** The repository, each call of it on record. */
  recording(process: SimProcess, repository: Repository): Repository;
  /** A store has carried out a call of this process. */
  landed(
    process: string,
    name: string,
    args: readonly unknown[],
    where: Omit<NonNullable<Entry['landed']>, 'tick'>,
  ): void;
}

const isSameCall = (entry: Entry, name: string, args: readonly unknown[]) =>
  entry.name === name && entry.args.every((arg, index) => arg === args[index]);

export function createHistory(now: () => number): History {
  const entries: Entry[] = [];
  let ticks = 0;
  const tick = (): number => {
    ticks += 1;
    return ticks;
  };
  const open = new Map<string, Set<Entry>>();

  function openOf(process: string): Set<Entry> {
    const known = open.get(process);
    if (known !== undefined) return known;
    const fresh = new Set<Entry>();
    open.set(process, fresh);
    return fresh;
  }

  function settle(entry: Entry, outcome: Outcome, value: unknown, why: string): void {
    entry.endMs = now();
    entry.endTick = tick();
    entry.outcome = outcome;
    entry.value = value;
    entry.why = why;
    openOf(entry.process).delete(entry);
  }

  function fail(entry: Entry, error: unknown): void {
    if (error instanceof EmailTaken || error instanceof IdTaken) {
      settle(entry, 'refused', error.name, error.name);
    } else if (error instanceof StoreUnavailable) {
      settle(entry, error.outcome, null, `${error.store ?? 'authority'} ${error.reason}`);
    } else if (error instanceof StaleWrite) {
      // An earlier write of the same operation may have been made.
      settle(entry, 'unknown', null, 'StaleWrite');
    } else {
      throw error;
    }
  }

  return {
    entries,
    tick,
    recording(process, repository) {
      const names = Object.keys(repository) as (keyof Repository)[];
      const recorded = names.map((name) => [
        name,
        async (...args: readonly unknown[]) => {
          const entry: Entry = {
            order: entries.length,
            process: process.name,
            name,
            args,
            startMs: now(),
            endMs: Number.POSITIVE_INFINITY,
            startTick: tick(),
            endTick: Number.POSITIVE_INFINITY,
            outcome: 'unknown',
            value: null,
            why: 'no answer',
            landed: null,
          };
          entries.push(entry);
          openOf(process.name).add(entry);
          try {
            const value = await (repository[name] as (...given: readonly unknown[]) => Promise<unknown>)(
              ...args,
            );
            settle(entry, 'ok', value, '');
            return value;
          } catch (error) {
            fail(entry, error);
            throw error;
          }
        },
      ]);
      return Object.fromEntries(recorded) as Repository;
    },
    landed(process, name, args, where) {
      for (const entry of openOf(process)) {
        // Two equal reads of one process cannot be told apart: the higher epoch is the one that accuses nobody.
        if (!isSameCall(entry, name, args)) continue;
        if (entry.landed === null || entry.landed.epoch <= where.epoch)
          entry.landed = { ...where, tick: tick() };
      }
    },
  };
}
