import mongoose from 'mongoose';
import type { Doc } from '../../canonical.ts';
import { decodeId } from '../../ids.ts';
import { type Entity, ERASED, type Stamp } from '../../records.ts';
import { references } from '../tokens.ts';
import { fromExtendedJson, type MongoBulk } from './client.ts';

export interface Written extends Stamp {
  readonly id: string;
  /** As canonical extended JSON; null: there was no document; or `ERASED`. */
  readonly before: string | null;
}

/**
 * Puts back what was there before a copy, unless it was written since, its user was erased, or no driver can write it. A user
 * whom it added stays where a token made since `since` refers to them.
 */
export async function undoDocument(
  bulk: MongoBulk,
  entity: Entity,
  { id, epoch, version, before }: Written,
  since: Date,
): Promise<'removed' | 'restored' | 'spared' | 'unrestorable'> {
  const _id = decodeId(id);
  const filter = { _id: { $eq: _id }, epoch, version, pendingAt: { $exists: false } } as never;
  const collection = bulk.collection(entity);
  if (before === null) {
    if (entity === 'user' && (await isReferredTo(bulk, id, since))) return 'spared';
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

/** By a session, or by a token that has come since: an older one may have been there without its user. */
async function isReferredTo(bulk: MongoBulk, userId: string, since: Date): Promise<boolean> {
  const { codec } = bulk;
  for (const entity of ['session', 'resetToken', 'verificationToken'] as const) {
    const filter = { [codec.path(entity, 'userId').text]: { $in: references(userId) } } as never;
    for await (const doc of bulk.collection(entity).find(filter, { maxTimeMS: bulk.timeoutMs })) {
      if (entity === 'session') return true;
      const read = codec.read(entity, doc as Doc);
      if ('record' in read && read.record.createdAt >= since) return true;
    }
  }
  return false;
}
