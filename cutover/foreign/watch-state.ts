/** How far the feed of foreign writes has been read, as it stands in MongoDB's books. */
import { z } from 'zod';
import type { WatchEntry } from '../../db/changes.ts';
import type { Json } from '../../db/replica.ts';

const state = z.object({
  /** Where to go on; null: nothing has been read yet. */
  token: z.string().nullable(),
  /** Everything written before then has been seen, but for the gap. */
  seenMs: z.number(),
  /** The last time from which on nothing was seen, and when that ended. Closed by a clean verify that began later. */
  gap: z.object({ fromMs: z.number(), toMs: z.number(), why: z.string() }).nullable(),
  /** Why there is no feed at all; null: there is one. */
  unsupported: z.string().nullable(),
});

export type WatchState = z.infer<typeof state>;

/** Null when nothing is known: no entry, or one that this version cannot read. */
export function parseWatch(entry: WatchEntry | null): WatchState | null {
  return state.safeParse(entry?.body).data ?? null;
}

export const toWatchBody = (watch: WatchState): Json => ({ ...watch, gap: watch.gap && { ...watch.gap } });

export function freshWatch(nowMs: number): WatchState {
  return { token: null, seenMs: nowMs, gap: null, unsupported: null };
}

/** What was written since the last sight is not known: the gap begins there, or where an older one did. */
export function lostSight({ seenMs, gap }: WatchState, nowMs: number, why: string): WatchState {
  return {
    token: null,
    seenMs: nowMs,
    gap: { fromMs: gap?.fromMs ?? seenMs, toMs: nowMs, why },
    unsupported: null,
  };
}

/** Something is seen again: whatever gap there was ends now. */
export function sightRegained(watch: WatchState, nowMs: number): WatchState {
  return { ...watch, gap: watch.gap && { ...watch.gap, toMs: nowMs } };
}

/** Without a new sight for so long, nobody watches. */
const STALE_MS = 60_000;

/** Since when writes may have gone unseen that no clean verify begun later has made up for; null: none may. */
export function unwatchedSince(watch: WatchState, verifiedMs: number | null, nowMs: number): number | null {
  const isStale = nowMs - watch.seenMs > STALE_MS;
  const gapMs = watch.gap !== null && (verifiedMs ?? 0) < watch.gap.toMs ? watch.gap.fromMs : null;
  if (gapMs !== null) return gapMs;
  return isStale && (verifiedMs ?? 0) < watch.seenMs ? watch.seenMs : null;
}
