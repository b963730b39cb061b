/** MongoDB stores on databases of the calling test file's own, and a way to look behind their backs. */
import mongoose from 'mongoose';
import { afterAll, inject } from 'vitest';
import { type MongoStore, openMongoStore } from '../../db/mongo/store.ts';
import { newMongoDatabase, type OpenedStore, TIMEOUT_MS } from './stores.ts';

const { MongoClient, ObjectId } = mongoose.mongo;

/** On the replica set. */
export function openMongo(): Promise<OpenedStore> {
  return openOn(inject('mongoUrl'));
}

/** On a server without a replica set, so without transactions. */
export function openMongoStandalone(): Promise<OpenedStore> {
  return openOn(inject('mongoStandaloneUrl'));
}

/** On a database that is there; to be closed by the caller. */
export function openMongoAt(url: string): Promise<MongoStore> {
  return openMongoStore({ url, timeoutMs: TIMEOUT_MS, assuranceTimeoutMs: TIMEOUT_MS });
}

/** Runs with a plain driver. */
export async function withDatabase<T>(url: string, work: (db: mongoose.mongo.Db) => Promise<T>): Promise<T> {
  const client = new MongoClient(url);
  try {
    return await work(client.db());
  } finally {
    await client.close();
  }
}

/** The user's document alone, as a shell would. */
export async function removeFromMongo(url: string, userId: string): Promise<void> {
  await withDatabase(url, (db) => db.collection('users').deleteOne({ _id: new ObjectId(userId) }));
}

async function openOn(serverUrl: string): Promise<OpenedStore> {
  const url = newMongoDatabase(serverUrl);
  const store = await openMongoAt(url);
  afterAll(() => store.close());
  await store.migrate(() => {});
  return { store, url };
}
