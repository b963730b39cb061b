/**
 * Which of the records an instance has read it follows. Two stores may tell two stories for a moment, a reply may be
 * overtaken by a later one, and a store may be out of reach; the answer must never go back.
 */
import type { StoreName } from '../../db/errors.ts';
import { authorityOf, otherStore } from '../mode.ts';
import { RULES, type Rules } from './rules.ts';
import type { ControlRecord, PerStore, Transition } from './types.ts';

type Seen = Pick<ControlRecord, 'epoch' | 'revision'>;

export interface Following {
  /** Of all that was read, the record that counts; null before the first. */
  readonly record: ControlRecord | null;
  /** How far each store's own record was when last read. */
  readonly seen: PerStore<Seen | null>;
}

export const FOLLOWING_NOTHING: Following = { record: null, seen: { mongo: null, postgres: null } };

/**
 * Takes in what a store's control record said. A higher epoch wins wherever it was read. Within one epoch only the
 * authority's own record speaks: the other store's copy may be behind.
 */
export function follow(
  following: Following,
  store: StoreName,
  read: ControlRecord,
  rules: Rules = RULES,
): Following {
  const before = following.seen[store];
  if (before !== null && rules.isLower(read, before)) return following;
  const seen = { ...following.seen, [store]: { epoch: read.epoch, revision: read.revision } };
  const { record } = following;
  const speaks = record !== null && read.epoch === record.epoch && authorityOf(record.mode) === store;
  const wins = record === null || speaks || !rules.isLower({ epoch: read.epoch, revision: 0 }, record);
  // Equal epochs that do not speak for the authority fall through to what was known.
  const follows = record === null || speaks || (wins && read.epoch !== record.epoch);
  return { record: follows ? read : record, seen };
}

/** The transition that the followed record speaks of, if any. */
export function transitionOf(following: Following): Transition | null {
  return following.record?.transition ?? null;
}

/**
 * A change of authority that was recorded in the losing store and, as far as was seen, not yet in the gaining one.
 * Whoever sees it may finish it: `gain` in `changes.ts`, with this record, on this store.
 */
export function unfinishedChange(
  following: Following,
): { readonly store: StoreName; readonly record: ControlRecord } | null {
  const { record, seen } = following;
  if (record === null) return null;
  const store = authorityOf(record.mode);
  // Only the loser's record can be ahead of the authority's own.
  if (seen[otherStore(store)]?.epoch !== record.epoch) return null;
  const own = seen[store];
  return own !== null && own.epoch < record.epoch ? { store, record } : null;
}
