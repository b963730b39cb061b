/**
 * What may be written over what. `decideWrite`, `decideApply` and `mayClearMark` are guards that the stores carry in
 * their own statements: the search goes by these, and test/contract/replica/cases/decisions.ts holds the stores to them.
 */
import { compareStamps, type Stamp } from '../../db/records.ts';
import { RULES, type Rules } from './rules.ts';

/**
 * A write of the authority that names the stamp it read; null: it found no record. `conflict`: read again.
 * `stale`: the writer's authority has ended.
 */
export function decideWrite(
  stored: Stamp | null,
  expected: Stamp | null,
  epoch: number,
  rules: Rules = RULES,
): 'write' | 'conflict' | 'stale' {
  if (stored !== null && rules.isStale(stored.epoch, epoch)) return 'stale';
  if (stored === null || expected === null) return stored === expected ? 'write' : 'conflict';
  return compareStamps(stored, expected) === 0 ? 'write' : 'conflict';
}

/** The stamp of a write over `stored` (null: an insert) under `epoch`. */
export function nextStamp(stored: Stamp | null, epoch: number): Stamp {
  return { epoch, version: (stored?.version ?? 0) + 1 };
}

/**
 * An apply into the mirror, acting under `actingEpoch`, where the target's control record is at `targetEpoch` (or, where
 * that cannot be read in the same statement, the stored record's own epoch). `ahead` is an alarm, not a success.
 */
export function decideApply(
  stored: Stamp | null,
  incoming: Stamp,
  actingEpoch: number,
  targetEpoch: number,
  rules: Rules = RULES,
): 'apply' | 'same' | 'ahead' | 'refused' {
  if (rules.applyIsStale(Math.max(targetEpoch, stored?.epoch ?? 0), actingEpoch)) return 'refused';
  if (stored === null || rules.isNewer(incoming, stored)) return 'apply';
  return compareStamps(incoming, stored) === 0 ? 'same' : 'ahead';
}

/** Whether the authority's mark may go, now that the mirror holds `mirrored`. */
export function mayClearMark(stored: Stamp | null, mirrored: Stamp, rules: Rules = RULES): boolean {
  return stored !== null && rules.clearsMark(stored, mirrored);
}

export type OrphanDecision =
  /** Rewrite the authority's record unchanged under `stamp`, pending, if it is still at `expected`. */
  | { readonly kind: 'touch'; readonly expected: Stamp; readonly stamp: Stamp }
  /** Move the mirror's record into the log, if it is still at `expected`. */
  | { readonly kind: 'move-aside'; readonly expected: Stamp }
  /** The authority is already above it and still pending: its own apply will resolve this. */
  | { readonly kind: 'wait' };

/** What becomes of a record that is marked in the mirror. Afterwards `mayContinue` is asked again, then it is done. */
export function decideOrphan(
  orphan: Stamp,
  inAuthority: { readonly stamp: Stamp; readonly pending: boolean } | null,
  epoch: number,
): OrphanDecision {
  if (inAuthority === null) return { kind: 'move-aside', expected: orphan };
  if (inAuthority.pending && compareStamps(inAuthority.stamp, orphan) > 0) return { kind: 'wait' };
  const version = Math.max(orphan.version, inAuthority.stamp.version) + 1;
  return { kind: 'touch', expected: inAuthority.stamp, stamp: { epoch, version } };
}

/**
 * An apply met another record holding the same unique key in the mirror. The authority, asked for that holder, decides:
 * it has none (an orphan holds the key), or has it with another key (it moved on: apply it first), unless that holder is
 * itself waiting on this very record, when its key is released in the mirror and both stay marked. A holder that an operator
 * has left behind gives way: where it is to stay, in MongoDB, only the key is released.
 */
export function decideClash(
  key: string,
  holderInAuthority: { readonly key: string | null } | null,
  waitsOnThis: boolean,
  isLeftBehind = false,
): 'move-holder-aside' | 'apply-holder-first' | 'release-key' | 'corrupt' {
  if (holderInAuthority === null) return isLeftBehind ? 'release-key' : 'move-holder-aside';
  if (holderInAuthority.key === key) return isLeftBehind ? 'move-holder-aside' : 'corrupt';
  return waitsOnThis ? 'release-key' : 'apply-holder-first';
}
