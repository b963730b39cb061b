/** Refresh tokens whose rotation may have been done, though its client was told to try again. */
export interface Unanswered {
  add(tokenHash: string): void;
  has(tokenHash: string): boolean;
}

/** For longer no client that does as told waits, nor does a store fail over. */
const KEPT_MS = 10 * 60_000;
const KEPT_MAX = 10_000;

/**
 * What this process knows of them. The answer to a retry may be lost as well, so all that come within that time are taken for
 * the client's: a thief's among them would get what the client gets.
 */
export function createUnanswered(now: () => Date): Unanswered {
  /** Until when, the oldest first. */
  const kept = new Map<string, number>();
  return {
    add(tokenHash) {
      const nowMs = now().getTime();
      kept.delete(tokenHash);
      kept.set(tokenHash, nowMs + KEPT_MS);
      for (const [oldest, untilMs] of kept) {
        if (kept.size <= KEPT_MAX && untilMs > nowMs) return;
        kept.delete(oldest);
      }
    },
    has: (tokenHash) => (kept.get(tokenHash) ?? 0) > now().getTime(),
  };
}
