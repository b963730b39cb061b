/**
 * Which of the changes that the feed tells are to be called foreign. While MongoDB has authority every write without a
 * stamp is one, and a deletion of what the mirror still knows and retention would have left. While it is the mirror its
 * state alone decides: what a bulk verb took back there, or the mirror has written over since, is none.
 */
import { isExpired } from '../../db/apply.ts';
import type { ForeignChange } from '../../db/changes.ts';
import type { Store } from '../../db/port.ts';
import { authorityOf } from '../mode.ts';
import type { ControlRecord, PerStore } from '../protocol/types.ts';
import { readAll } from '../shadow/look.ts';
import { isHeld, judgeRecord } from '../shadow/verdict.ts';

/** Retention works at its own times, by clocks that differ. */
const RETENTION_MARGIN_MS = 3_600_000;

export interface JudgeOptions {
  readonly stores: PerStore<Store>;
  readonly record: ControlRecord;
  readonly now: Date;
  readonly retentionMs: number;
}

/** Throws `StoreUnavailable` when a store that has to be asked does not answer. */
export async function judgeChanges(
  changes: readonly ForeignChange[],
  { stores, record, now, retentionMs }: JudgeOptions,
): Promise<readonly ForeignChange[]> {
  const isAuthority = authorityOf(record.mode) === 'mongo';
  // Until the copy is complete MongoDB is being filled, or emptied, in bulk.
  if (!isAuthority && record.copy.kind !== 'complete') return [];
  const isCertain = ({ kind, id }: ForeignChange) => id === null || (isAuthority && kind !== 'delete');
  const names = changes.flatMap((change) =>
    isCertain(change) || change.id === null ? [] : [change],
  ) as readonly (ForeignChange & { readonly id: string })[];
  if (names.length === 0) return changes;
  const expiredBefore = new Date(now.getTime() - retentionMs + RETENTION_MARGIN_MS);
  const mongo = await readAll(stores.mongo.replica, names);
  const postgres = await readAll(stores.postgres.replica, names);
  const isForeign = (change: ForeignChange & { readonly id: string }): boolean => {
    const [there, known] = [mongo(change), postgres(change)];
    if (!isAuthority) {
      // A marked row is on its way, whatever stands in the mirror now.
      if (isHeld(known) && known.pendingAt !== null) return false;
      return judgeRecord(known, there, expiredBefore).kind !== 'match';
    }
    return there === null && isHeld(known) && !isExpired(known.record, expiredBefore);
  };
  return changes.filter(
    (change) => isCertain(change) || isForeign(change as ForeignChange & { readonly id: string }),
  );
}
