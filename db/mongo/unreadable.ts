/**
 * Erasing a user whose document means no record: nobody can say what in it is personal data, so a tombstone takes the place
 * of all of it.
 */
import mongoose from 'mongoose';
import { STORE_FIELDS, withValues } from '../canonical.ts';
import { StaleWrite, StoreUnavailable } from '../errors.ts';
import { decodeId } from '../ids.ts';
import type { UserRecord } from '../records.ts';
import * as transitions from '../transitions.ts';
import { guard, STAMP } from './guard.ts';
import type { StoredDoc } from './models.ts';
import { assertMayWrite } from './steps.ts';
import { bareDocument, type Change, keptMark, type Scope } from './writes.ts';

const { BSONError } = mongoose.mongo.BSON;

interface Erasure {
  readonly userId: string;
  readonly now: Date;
}

/** Each time another write came between. */
const ATTEMPTS_MAX = 10;

/** All that a tombstone takes over; the rest may be what no driver takes apart. */
const KEPT = {
  [STORE_FIELDS.epoch]: 1,
  [STORE_FIELDS.version]: 1,
  [STORE_FIELDS.pendingAt]: 1,
  sessionGeneration: 1,
  resetGeneration: 1,
} as const;

/** Null when there is no document of this id. */
export async function eraseUnreadable(
  scope: Scope,
  erasure: Erasure,
): Promise<Change<'user', 'gone' | 'changed'> | null> {
  const _id = decodeId(erasure.userId);
  if (_id === undefined) return null;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const [doc] = await scope.client.readCommitted(({ models }, firm) =>
      models.user
        .find({ _id: { $eq: _id } }, KEPT, { limit: 1, ...firm })
        .lean<StoredDoc[]>()
        .exec(),
    );
    if (doc === undefined) return null;
    const erased = tombstoneOf(scope, doc, erasure);
    if (erased === null) return null;
    if (await putTombstone(scope, doc, erased)) return { done: erased };
  }
  throw new StoreUnavailable('mongo', 'none', 'contention');
}

function tombstoneOf({ client: { codec }, context }: Scope, doc: StoredDoc, erasure: Erasure) {
  const path = codec.path('user', 'deletedAt');
  // Read as deleted, what else a record needs may be missing.
  const read = codec.read('user', withValues(doc, [{ path, value: true }]));
  // Its very `_id` is what cannot be read.
  if ('bad' in read) return null;
  const { stamp } = read.record;
  if (stamp.epoch > context.epoch) throw new StaleWrite('user', stamp, context.epoch);
  const decision = transitions.eraseUser(
    { ...read.record, deletedAt: null },
    { sessionGeneration: null, now: erasure.now },
  );
  if ('refused' in decision) return null;
  return { ...decision.next, stamp: { epoch: context.epoch, version: stamp.version + 1 } };
}

async function putTombstone({ client, context, steps }: Scope, doc: StoredDoc, erased: UserRecord) {
  const { replacement } = bareDocument(client.codec, 'user', erased, keptMark(doc, context.pending));
  const filter = { _id: { $eq: doc._id }, ...guard(doc, STAMP) };
  const { matchedCount } = await client.write(({ models, maxTimeMS }) => {
    assertMayWrite(context);
    return models.user.collection.replaceOne(filter as never, replacement, { maxTimeMS });
  });
  if (matchedCount === 0) return false;
  steps?.wrote();
  context.onWrite?.('user', erased.id);
  return true;
}

/** For a document that no driver takes apart: as one that means no record. */
export function nullIfUndecodable(error: unknown): null {
  if (BSONError.isBSONError(error)) return null;
  throw error;
}
