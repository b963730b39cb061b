/** What all stores decide alike when a copy of a record arrives. Pure. */
import { compareStamps, type Entity, type RecordOf } from './records.ts';
import type { ApplyOutcome } from './replica.ts';

/** By the same predicate as `purge`: what that would delete is not brought back. Users never expire. */
export function isExpired<E extends Entity>(record: RecordOf[E], expiredBefore: Date): boolean {
  return 'expiresAt' in record && record.expiresAt < expiredBefore;
}

/** What becomes of a record that has arrived, before any store is asked; null: it is to be applied. */
export function screen<E extends Entity>(
  record: RecordOf[E],
  under: { readonly epoch: number; readonly expiredBefore: Date },
): ApplyOutcome | null {
  if (isExpired(record, under.expiredBefore)) return { kind: 'expired' };
  // Whoever read a newer authority's record while acting for an older one has something to learn first.
  return record.stamp.epoch > under.epoch ? { kind: 'refused', reason: 'epoch' } : null;
}

/** What a stored record makes of one that has arrived; null: the one that arrived is newer. */
export function judge<E extends Entity>(stored: RecordOf[E], incoming: RecordOf[E]): ApplyOutcome | null {
  const order = compareStamps(incoming.stamp, stored.stamp);
  if (order > 0) return null;
  if (order < 0) return { kind: 'ahead', stored: stored.stamp };
  return { kind: isSameContent(stored, incoming) ? 'same' : 'differs' };
}

/** Whether two records of one stamp are the same in every field. */
export function isSameContent<E extends Entity>(a: RecordOf[E], b: RecordOf[E]): boolean {
  const other = new Map<string, unknown>(Object.entries(b));
  return Object.entries(a).every(([field, value]) => field === 'stamp' || isSame(value, other.get(field)));
}

/** Whether two fields are the same: dates by their time. */
export function isSame(a: unknown, b: unknown): boolean {
  return a instanceof Date && b instanceof Date ? a.getTime() === b.getTime() : a === b;
}

/** Throws unless `to` is above `expected`: a stamp never goes back. */
export function assertRaises(stamps: {
  readonly expected: { readonly epoch: number; readonly version: number };
  readonly to: { readonly epoch: number; readonly version: number };
}): void {
  if (compareStamps(stamps.to, stamps.expected) <= 0) throw new RangeError('a stamp never goes back');
}

/** Ids of the users whose tombstones the store holds after this apply. */
export function erasedAmong(
  records: readonly RecordOf[Entity][],
  outcomes: readonly (ApplyOutcome | null)[],
): readonly string[] {
  return records.flatMap((record, place) => {
    const kind = outcomes[place]?.kind;
    const isErased = 'deletedAt' in record && record.deletedAt !== null;
    return isErased && (kind === 'applied' || kind === 'same') ? [record.id] : [];
  });
}
