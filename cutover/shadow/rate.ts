import type { Environment } from '../environment.ts';

/** A token bucket that holds one second's worth: whether one more may pass. */
export function createRate(environment: Environment): { take(perSecond: number): boolean } {
  let level = Number.POSITIVE_INFINITY;
  let filledMs = environment.now().monotonicMs;
  return {
    take(perSecond) {
      const nowMs = environment.now().monotonicMs;
      level = Math.min(
        Math.max(perSecond, perSecond > 0 ? 1 : 0),
        level + ((nowMs - filledMs) / 1_000) * perSecond,
      );
      filledMs = nowMs;
      if (level < 1) return false;
      level -= 1;
      return true;
    },
  };
}
