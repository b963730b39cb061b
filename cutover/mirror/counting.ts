/** How many marks the authority holds, for those who watch: what a sweep has seen of all, or a count of its own. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Environment } from '../environment.ts';

/** Counting more than this takes a while, and is done every so often only. */
const MANY = 10_000;
const MANY_EVERY_MS = 10_000;
const FEW_EVERY_MS = 500;

export interface Counting {
  /** These are all there are. */
  note(marks: number, oldest: Date | null): void;
  /** Counts anew if it is time and nobody has told. Null: there is nothing to count. */
  count(authority: Store | null): Promise<void>;
  last(): { readonly pending: number | null; readonly oldestAgeMs: number | null };
  reset(): void;
}

export function createCounting(environment: Pick<Environment, 'now' | 'date'>): Counting {
  let pending: number | null = null;
  let oldestAt: Date | null = null;
  let countedAtMs = Number.NEGATIVE_INFINITY;

  function reset(): void {
    pending = null;
    oldestAt = null;
    countedAtMs = Number.NEGATIVE_INFINITY;
  }

  function note(marks: number, oldest: Date | null): void {
    pending = marks;
    oldestAt = oldest;
    countedAtMs = environment.now().monotonicMs;
  }

  return {
    reset,
    note,
    async count(authority) {
      if (authority === null) return reset();
      const nowMs = environment.now().monotonicMs;
      const everyMs = (pending ?? 0) > MANY ? MANY_EVERY_MS : FEW_EVERY_MS;
      if (nowMs - countedAtMs < everyMs) return;
      try {
        const counted = await authority.replica.countMarks();
        note(counted.count, counted.oldestAt);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        reset();
      }
    },
    last: () => ({
      pending,
      oldestAgeMs: oldestAt === null ? null : Math.max(0, environment.date().getTime() - oldestAt.getTime()),
    }),
  };
}
