/**
 * A leaky bucket for each key: it holds the recent hits and drains steadily, so the window slides. A full bucket
 * refuses; with `backoff` it lets single attempts through instead, further and further apart, so that who fills it is
 * slowed down and not locked out.
 */

export interface LimitHit {
  /** No personal data: callers digest it. */
  readonly key: string;
  /** Hits that fit at once. */
  readonly capacity: number;
  /** Time in which a full bucket drains, ms. */
  readonly windowMs: number;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number } | null;
}

export interface Bucket {
  /** Hits in the bucket at `touchedAt`; a fraction while draining. */
  readonly level: number;
  /** The last hit that was let through, by whichever clock is ahead. */
  readonly touchedAt: Date;
}

export interface LimitVerdict {
  readonly allowed: boolean;
  /** Hits that would still fit, rounded down. */
  readonly remaining: number;
  /** How long to wait before the next attempt has a chance, ms; 0 when one would be let through now. */
  readonly retryAfterMs: number;
}

/** Decides one hit. A refused hit leaves the bucket as it was, so refusals never prolong themselves. */
function decide(
  bucket: Bucket | null,
  hit: LimitHit,
  now: Date,
): { readonly bucket: Bucket; readonly verdict: LimitVerdict } {
  const idleMs = bucket === null ? 0 : Math.max(0, now.getTime() - bucket.touchedAt.getTime());
  const level = Math.max(0, (bucket?.level ?? 0) - (idleMs * hit.capacity) / hit.windowMs);
  const waitMs = waitFor(level, idleMs, hit);
  if (bucket !== null && waitMs > 0) {
    return { bucket, verdict: { allowed: false, remaining: 0, retryAfterMs: waitMs } };
  }
  const filled = { level: level + 1, touchedAt: later(bucket?.touchedAt ?? now, now) };
  const remaining = Math.max(0, Math.floor(hit.capacity - filled.level));
  return {
    bucket: filled,
    verdict: { allowed: true, remaining, retryAfterMs: waitFor(filled.level, 0, hit) },
  };
}

/** A clock that is further ahead is wrong, not early: a bucket that waited for it would not drain for as long. */
const AHEAD_MAX_MS = 86_400_000;

/** When a bucket was touched last: set back by a clock that is behind, it would drain anew for each one that is not. */
function later(before: Date, now: Date): Date {
  const aheadMs = before.getTime() - now.getTime();
  return aheadMs > 0 && aheadMs <= AHEAD_MAX_MS ? before : now;
}

export interface Decision {
  /** One for each hit, in order. */
  readonly verdicts: readonly LimitVerdict[];
  /** What is to be stored, by key: nothing when any hit was refused. */
  readonly changed: ReadonlyMap<string, Bucket>;
}

/**
 * Decides the hits of one attempt together: when one of them is refused none counts, or a refused attempt would fill
 * the other buckets, put their delays out of step, and leave buckets for whatever names a stranger makes up.
 */
export function decideAll(
  buckets: ReadonlyMap<string, Bucket | null>,
  hits: readonly LimitHit[],
  now: Date,
): Decision {
  const changed = new Map<string, Bucket>();
  const verdicts = hits.map((hit) => {
    const { bucket, verdict } = decide(changed.get(hit.key) ?? buckets.get(hit.key) ?? null, hit, now);
    if (verdict.allowed) changed.set(hit.key, bucket);
    return verdict;
  });
  return { verdicts, changed: verdicts.every(({ allowed }) => allowed) ? changed : new Map() };
}

/** How much longer nothing is let through, ms, when the bucket stands at `level` and was last hit `idleMs` ago. */
function waitFor(level: number, idleMs: number, hit: LimitHit): number {
  const over = level - (hit.capacity - 1);
  if (over <= 0) return 0;
  const untilDrainedMs = (over * hit.windowMs) / hit.capacity;
  if (hit.backoff === null) return Math.ceil(untilDrainedMs);
  const spacingMs = Math.min(hit.backoff.maxMs, hit.backoff.baseMs * 2 ** (Math.ceil(over) - 1));
  return Math.ceil(Math.max(0, Math.min(untilDrainedMs, spacingMs - idleMs)));
}
