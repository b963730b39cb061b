/** MongoDB stores on databases of the calling test file's own, and a way to look behind their backs. */
import mongoose from 'mongoose';
import { afterAll, inject } from 'vitest';
import { type MongoServer, startMongo } from '../../db/embedded/mongo.ts';
import { type MongoStore, openMongoStore } from '../../db/mongo/store.ts';
import { databaseUrl, newDatabaseName } from './databases.ts';
import { type OnEnd, type OpenedStore, type OwnServer, TIMEOUT_MS } from './stores.ts';

const { MongoClient, ObjectId } = mongoose.mongo;

/** On the replica set. */
export function openMongo(onEnd: OnEnd = afterAll): Promise<OpenedStore> {
  return openOn(inject('mongoUrl'), onEnd);
}

/** On a server without a replica set, so without transactions. */
export function openMongoStandalone(): Promise<OpenedStore> {
  return openOn(inject('mongoStandaloneUrl'), afterAll);
}

/** URL of an empty database on the shared replica set; dropped after the file. */
export function newMongoDatabase(serverUrl = inject('mongoUrl'), onEnd: OnEnd = afterAll): string {
  const url = databaseUrl(serverUrl, newDatabaseName());
  onEnd(async () => void (await withDatabase(url, (db) => db.dropDatabase())));
  return url;
}

/** A server for this file alone, never the one at `MONGO_URL`. */
export async function ownMongo({
  onEnd = afterAll,
  ...options
}: OwnServer & { readonly standalone?: boolean } = {}): Promise<MongoServer & { readonly pid: number }> {
  const server = await startMongo({ ...options, toolsDir: inject('toolsDir'), log: () => {} });
  onEnd(() => server.stop());
  if (server.pid === null) throw new Error('the server was not started here');
  return { ...server, pid: server.pid };
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

async function openOn(serverUrl: string, onEnd: OnEnd): Promise<OpenedStore> {
  const url = newMongoDatabase(serverUrl, onEnd);
  const store = await openMongoAt(url);
  onEnd(() => store.close());
  await store.migrate(() => {});
  return { store, url };
}
