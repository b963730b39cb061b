import mongoose from 'mongoose';
import { decodeId } from '../../db/ids.ts';
import type { Entity } from '../../db/records.ts';
import type { OpenedStore } from '../support/stores.ts';
import type { RawRecord, ReadRaw, StoreDriver } from './harness.ts';

const COLLECTIONS: Readonly<Record<Entity, string>> = {
  user: 'users',
  verificationToken: 'verification_tokens',
  resetToken: 'password_reset_tokens',
  session: 'sessions',
};

export function mongoDriver(name: string, openStore: () => Promise<OpenedStore>): StoreDriver {
  return {
    name,
    commits: 'one by one',
    async open() {
      const { store, url } = await openStore();
      const client = new mongoose.mongo.MongoClient(url);
      await client.connect();
      return { store, readRaw: readDocumentWith(client), close: () => client.close() };
    },
  };
}

/** Documents as they are, ids as the strings that clients know. */
export function readDocumentWith(client: mongoose.mongo.MongoClient): ReadRaw {
  return async (entity, id) => {
    // The driver's types know no other _id than an ObjectId.
    const filter = { _id: decodeId(id) as mongoose.mongo.ObjectId };
    const document: RawRecord | null = await client.db().collection(COLLECTIONS[entity]).findOne(filter);
    if (document === null) return null;
    const { _id, userId, ...rest } = document;
    return { id: String(_id), ...(userId === undefined ? {} : { userId: String(userId) }), ...rest };
  };
}
