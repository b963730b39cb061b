/** Counts the marks in the authority for those who watch, the more rarely the more there are. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Environment } from '../environment.ts';

/** Counting more than this takes a while, and is done every so often only. */
const MANY = 10_000;
const MANY_EVERY_MS = 10_000;
const FEW_EVERY_MS = 500;

export interface Counting {
  /** Counts anew if it is time. Null: there is nothing to count. */
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

  return {
    reset,
    async count(authority) {
      if (authority === null) return reset();
      const nowMs = environment.now().monotonicMs;
      const everyMs = (pending ?? 0) > MANY ? MANY_EVERY_MS : FEW_EVERY_MS;
      if (nowMs - countedAtMs < everyMs) return;
      try {
        const counted = await authority.replica.countMarks();
        pending = counted.count;
        oldestAt = counted.oldestAt;
        countedAtMs = nowMs;
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
