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
    const collection = client.db().collection<{ _id: unknown }>(COLLECTIONS[entity]);
    const document: RawRecord | null = await collection.findOne({ _id: decodeId(id) });
    if (document === null) return null;
    const { _id, userId, ...rest } = document;
    return { id: String(_id), ...(userId === undefined ? {} : { userId: String(userId) }), ...rest };
  };
}
