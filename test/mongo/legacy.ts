/** Documents as the old service wrote them, in a database of the calling file's own. */
import mongoose from 'mongoose';
import { afterAll } from 'vitest';
import { type MongoStore, type MongoStoreOptions, openMongoStore } from '../../db/mongo/store.ts';
import { newMongoDatabase } from '../support/stores.ts';

const { ObjectId } = mongoose.mongo;
export type LegacyDoc = mongoose.mongo.Document;

export const NOW = new Date('2026-03-01T12:00:00.789Z');
export const HASH = `$2a$10$${'abcdefghij'.repeat(5)}abc`;
export const OTHER_HASH = HASH.replace('$2a$10$', '$2b$12$');

/** Fields that no `$unset` takes out: a dot in the name, a dollar before it, none, or one below another. */
export const UNNAMEABLE = {
  'phone.home': 'personal',
  $tax: 'personal',
  '': 'personal',
  address: { zip: 'personal' },
  'address.zip': 'personal',
};

export interface LegacyDatabase {
  readonly url: string;
  readonly db: mongoose.mongo.Db;
  open(options?: Partial<MongoStoreOptions>): Promise<MongoStore>;
}

/** An empty database; stores opened on it are closed after the file. */
export async function legacyDatabase(): Promise<LegacyDatabase> {
  const url = newMongoDatabase();
  const client = new mongoose.mongo.MongoClient(url, { bsonRegExp: true });
  afterAll(() => client.close());
  return {
    url,
    db: client.db(),
    async open(options = {}) {
      const store = await openMongoStore({ url, timeoutMs: 10_000, ...options });
      afterAll(() => store.close());
      return store;
    },
  };
}

let serial = 0;

/** A user document, a second younger than the one before. */
export function legacyUser(given: LegacyDoc = {}): LegacyDoc & { readonly _id: mongoose.mongo.ObjectId } {
  serial += 1;
  const createdAt = new Date(Date.UTC(2021, 1, 3) + serial * 1000);
  return {
    _id: new ObjectId(),
    email: `User.${serial}@Example.org`,
    name: 'Ann',
    password: HASH,
    isVerified: false,
    createdAt,
    updatedAt: createdAt,
    __v: 0,
    ...given,
  };
}

export function newAccount(email: string, id = new ObjectId().toHexString()) {
  const common = { userId: id, createdAt: NOW, expiresAt: new Date(NOW.getTime() + 3_600_000) };
  const digest = () => new ObjectId().toHexString().padStart(64, '0');
  return {
    user: {
      id,
      email,
      emailKey: email.toLowerCase(),
      name: 'Ann',
      passwordHash: HASH,
      isVerified: false,
      verifiedWith: null,
      sessionGeneration: 0,
      resetGeneration: 0,
      createdAt: NOW,
      updatedAt: NOW,
      deletedAt: null,
    },
    token: { ...common, id: new ObjectId().toHexString(), tokenHash: digest(), nonce: 'n', mailDueAt: null },
    session: {
      ...common,
      id: new ObjectId().toHexString(),
      generation: 0,
      tokenHash: digest(),
      previousTokenHash: null,
      rotation: 0,
      keyId: 'k1',
      rotatedAt: NOW,
      idleExpiresAt: common.expiresAt,
      revokedAt: null,
      revokedReason: null,
      userAgent: 'agent',
    },
  };
}
