/**
 * What was tried, whatever came of it: how often something can have happened at most, and must have at least. A call
 * that was answered as certainly not done can explain nothing.
 */
import type { Entry } from '../history.ts';

export interface Attempts {
  add(what: string, entry: Entry): void;
  /** Whether another call may have done this before `entry` was answered. */
  mayExplain(what: string, entry: Entry): boolean;
  /** How many certainly did. */
  certain(what: string): number;
  /** How many may have. */
  possible(what: string): number;
}

/** Answers of writes that changed nothing. */
const VOID: readonly unknown[] = ['gone', 'changed', 'used', false, null];

const isDone = ({ outcome, value }: Entry): boolean => outcome === 'ok' && !VOID.includes(value);

export function createAttempts(): Attempts {
  const attempts = new Map<string, Entry[]>();
  const of = (what: string): readonly Entry[] => attempts.get(what) ?? [];
  const isPossible = (entry: Entry) => isDone(entry) || entry.outcome === 'unknown';
  return {
    add(what, entry) {
      const known = attempts.get(what);
      if (known === undefined) attempts.set(what, [entry]);
      else known.push(entry);
    },
    mayExplain: (what, entry) =>
      of(what).some((other) => other !== entry && isPossible(other) && other.startTick < entry.endTick),
    certain: (what) => of(what).filter(isDone).length,
    possible: (what) => of(what).filter(isPossible).length,
  };
}
