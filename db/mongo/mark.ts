/**
 * The mark for the mirror. A field of that name in a document without a stamp is the old service's: the first write here goes
 * over it, as over `epoch` and `version`.
 */
import { type Doc, EPOCH_MAX, markOf, STORE_FIELDS } from '../canonical.ts';
import { PENDING_FROM } from './indexes.ts';

const { pendingAt: PENDING_AT, epoch: EPOCH, version: VERSION } = STORE_FIELDS;

/** Bounds on a stamp, as `isStamped` has them. */
export const STAMPED = { [EPOCH]: { $gte: 0, $lte: EPOCH_MAX }, [VERSION]: { $gte: 0 } };
export const MARKED = { [PENDING_AT]: { $gt: PENDING_FROM }, ...STAMPED };

/** The update that sets these fields, stamp included, and the mark if there is to be one. */
export function settingWithMark(doc: Doc, set: Doc, isPending: boolean): Doc {
  const isForeign = Object.hasOwn(doc, PENDING_AT) && markOf(doc) === null;
  const now = new Date();
  if (isPending && isForeign) return { $set: { ...set, [PENDING_AT]: now } };
  // A mark that an earlier write left stays as old as it is: only the mirror may clear it.
  if (isPending) return { $set: set, $min: { [PENDING_AT]: now } };
  // Under a stamp a time would be taken for a mark.
  return isForeign && doc[PENDING_AT] instanceof Date
    ? { $set: set, $unset: { [PENDING_AT]: '' } }
    : { $set: set };
}
