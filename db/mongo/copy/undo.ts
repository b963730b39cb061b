import mongoose from 'mongoose';
import { decodeId } from '../../ids.ts';
import { type Entity, ERASED, type Stamp } from '../../records.ts';
import { references } from '../tokens.ts';
import { fromExtendedJson, type MongoBulk } from './client.ts';

export interface Written extends Stamp {
  readonly id: string;
  /** As canonical extended JSON; null: there was no document; or `ERASED`. */
  readonly before: string | null;
}

/** Puts back what was there before a copy, unless it was written since, its user was erased, or no driver can write it. */
export async function undoDocument(
  bulk: MongoBulk,
  entity: Entity,
  { id, epoch, version, before }: Written,
): Promise<'removed' | 'restored' | 'spared' | 'unrestorable'> {
  const _id = decodeId(id);
  const filter = { _id: { $eq: _id }, epoch, version, pendingAt: { $exists: false } } as never;
  const collection = bulk.collection(entity);
  if (before === null) {
    if (entity === 'user' && (await isReferredTo(bulk, id))) return 'spared';
    const { deletedCount } = await collection.deleteOne(filter, { maxTimeMS: bulk.timeoutMs });
    return deletedCount === 1 ? 'removed' : 'spared';
  }
  if (before === ERASED) return 'spared';
  try {
    const found = fromExtendedJson(before);
    if (found === null) return 'unrestorable';
    const { _id: _, ...document } = found;
    const { matchedCount } = await collection.replaceOne(filter, document);
    return matchedCount === 1 ? 'restored' : 'spared';
  } catch (error) {
    // Another has its e-mail by now.
    if (error instanceof mongoose.mongo.MongoServerError && error.code === 11000) return 'spared';
    throw error;
  }
}

async function isReferredTo(bulk: MongoBulk, userId: string): Promise<boolean> {
  for (const entity of ['session', 'resetToken', 'verificationToken'] as const) {
    const found = await bulk
      .collection(entity)
      .findOne({ [bulk.codec.path(entity, 'userId').text]: { $in: references(userId) } } as never, {
        projection: { _id: 1 },
        maxTimeMS: bulk.timeoutMs,
      });
    if (found !== null) return true;
  }
  return false;
}
