/**
 * The five modes as data. Everything that differs between them is a column of one table, so that code branches on the
 * mode in one place (the router) and everything else asks this file.
 *
 *   mongo-only ⇄ dual-write ⇄ shadow-read ⇄ postgres-primary ⇄ postgres-only
 *                                          ↑
 *                              the one move that changes authority
 */
import type { StoreName } from '../db/errors.ts';

export const MODES = [
  'mongo-only',
  'dual-write',
  'shadow-read',
  'postgres-primary',
  'postgres-only',
] as const;
export type Mode = (typeof MODES)[number];

export interface ModeFacts {
  /** Decides every conflict; an answer is true only once this store has committed it. */
  readonly authority: StoreName;
  /** Kept up to date off the reply path; null: nothing is mirrored, and no pending marks are set. */
  readonly mirror: StoreName | null;
  /** Its answers are compared with the authority's, sampled, after the reply. */
  readonly compare: StoreName | null;
}

export const MODE_FACTS: Readonly<Record<Mode, ModeFacts>> = {
  'mongo-only': { authority: 'mongo', mirror: null, compare: null },
  'dual-write': { authority: 'mongo', mirror: 'postgres', compare: null },
  'shadow-read': { authority: 'mongo', mirror: 'postgres', compare: 'postgres' },
  'postgres-primary': { authority: 'postgres', mirror: 'mongo', compare: 'mongo' },
  'postgres-only': { authority: 'postgres', mirror: null, compare: null },
};

/**
 * How much of the authority the other store holds. `complete` is what makes a change of authority lossless; it ends
 * the moment writes go unmirrored, and only a backfill brings it back. Times are milliseconds since the epoch.
 */
export type CopyState =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'stale';
      readonly sinceMs: number;
      /** The backfill that has set out to complete it: no other staleness is taken for this one, be it of the same moment. */
      readonly run?: string | undefined;
      /** PostgreSQL has authority, and may lack what MongoDB has: nothing that MongoDB has more is put away until a backfill is complete. */
      readonly authorityBehind?: true | undefined;
      /** As below, while a backfill completes it. */
      readonly history?: string | undefined;
    }
  | {
      readonly kind: 'complete';
      /** The backfill that completed it, or `started-empty`. */
      readonly run: string;
      readonly completedAtMs: number;
      readonly verifiedAtMs: number | null;
      /** The history of PostgreSQL (`Store.history`) that it counts on; without one PostgreSQL did not say, or nobody asked. */
      readonly history?: string | undefined;
    };

/** Which copy this is, if it is one. */
export function copyRun(copy: CopyState): string | null {
  return copy.kind === 'complete' ? copy.run : null;
}

/** Which history of PostgreSQL it counts on, if on any. */
export function historyOf(copy: CopyState): string | null {
  return copy.kind === 'none' ? null : (copy.history ?? null);
}

/** The same, counting on this history of PostgreSQL unless it counts on one already. */
export function countingOn<C extends CopyState>(copy: C, history: string | null): C {
  return copy.kind === 'none' || history === null || historyOf(copy) !== null ? copy : { ...copy, history };
}

/** Whether nothing has happened to the copy in between. */
export function isSameCopy(a: CopyState, b: CopyState): boolean {
  const list = (copy: CopyState) => Object.entries(copy).sort(([x], [y]) => (x < y ? -1 : 1));
  return JSON.stringify(list(a)) === JSON.stringify(list(b));
}

/** The same, save that it may have been verified in between: no less a copy. */
export function isSameUnlessVerified(a: CopyState, b: CopyState): boolean {
  const unverified = (copy: CopyState) => (copy.kind === 'complete' ? { ...copy, verifiedAtMs: null } : copy);
  return isSameCopy(unverified(a), unverified(b));
}

export interface Move {
  readonly from: Mode;
  readonly to: Mode;
  readonly direction: 'promote' | 'rollback';
  /** Needs the fence, a complete copy and both stores up; any other move is one compare-and-set. */
  readonly changesAuthority: boolean;
  /** Writes start to be marked and mirrored: the operator states that no foreign writer is left. */
  readonly startsMirror: boolean;
  /** Writes stop being mirrored: the copy goes stale with the first of them. */
  readonly stopsMirror: boolean;
  /** The move is refused without one. */
  readonly needsCompleteCopy: boolean;
}

export function isMode(value: unknown): value is Mode {
  return MODES.some((mode) => mode === value);
}

export function authorityOf(mode: Mode): StoreName {
  return MODE_FACTS[mode].authority;
}

export function mirrorOf(mode: Mode): StoreName | null {
  return MODE_FACTS[mode].mirror;
}

export function otherStore(store: StoreName): StoreName {
  return store === 'mongo' ? 'postgres' : 'mongo';
}

/** The next mode in that direction; null at the end of the ladder. */
export function neighbour(mode: Mode, direction: Move['direction']): Mode | null {
  return MODES[MODES.indexOf(mode) + (direction === 'promote' ? 1 : -1)] ?? null;
}

/** The move between two modes; null when they are not neighbours, for only neighbours follow each other. */
export function moveBetween(from: Mode, to: Mode): Move | null {
  const step = MODES.indexOf(to) - MODES.indexOf(from);
  if (Math.abs(step) !== 1) return null;
  const changesAuthority = authorityOf(from) !== authorityOf(to);
  return {
    from,
    to,
    direction: step > 0 ? 'promote' : 'rollback',
    changesAuthority,
    startsMirror: mirrorOf(from) === null && mirrorOf(to) !== null,
    stopsMirror: mirrorOf(from) !== null && mirrorOf(to) === null,
    // Comparing against half a copy would report nothing but the missing half.
    needsCompleteCopy: changesAuthority || to === 'shadow-read',
  };
}

/**
 * The copy's state once the move has been made. Leaving the mirror makes it stale, whatever it was; entering it again does
 * not make it complete, because what was written in between was never marked. A stale one gets a new time, later than any
 * in it whatever the clocks say, by which whoever was about to complete it sees that something was missed.
 */
export function copyAfter(move: Move, copy: CopyState, nowMs: number): CopyState {
  return move.stopsMirror ? staleAfter(copy, nowMs) : copy;
}

type Stale = Extract<CopyState, { readonly kind: 'stale' }>;

/** Stale from now on, which no state of this copy was before. Whether the authority is behind stays as it is. */
export function staleAfter(copy: CopyState, nowMs: number): Stale {
  const stale: Stale = { kind: 'stale', sinceMs: Math.max(nowMs, lastOf(copy) + 1) };
  return isAuthorityBehind(copy) ? { ...stale, authorityBehind: true } : stale;
}

/** Stale since PostgreSQL was found to go on another history than it counts on. */
export function staleByHistory(authority: StoreName, copy: CopyState, nowMs: number): CopyState {
  const stale = staleAfter(copy, nowMs);
  return authority === 'postgres' ? { ...stale, authorityBehind: true } : stale;
}

/** Whether PostgreSQL has authority and may lack what MongoDB has. */
export function isAuthorityBehind(copy: CopyState): boolean {
  return copy.kind === 'stale' && copy.authorityBehind === true;
}

function lastOf(copy: CopyState): number {
  if (copy.kind === 'none') return 0;
  return copy.kind === 'stale' ? copy.sinceMs : Math.max(copy.completedAtMs, copy.verifiedAtMs ?? 0);
}

/** Whether going one step back from this mode would lose nothing that was acknowledged in it. */
export function rollbackIsLossless(mode: Mode, copy: CopyState): boolean {
  const to = neighbour(mode, 'rollback');
  const changesAuthority = to !== null && moveBetween(mode, to)?.changesAuthority === true;
  return !changesAuthority || copy.kind === 'complete';
}
