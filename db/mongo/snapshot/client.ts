/** A snapshot's own connection to MongoDB: one that waits as long as a cursor over everything takes. */
import mongoose from 'mongoose';
import { StoreUnavailable } from '../../errors.ts';
import { toStoreError } from '../errors.ts';
import { BSON } from '../url.ts';

const SELECTION_MS = 5_000;

export interface MongoSession {
  readonly client: mongoose.mongo.MongoClient;
  readonly db: mongoose.mongo.Db;
  close(): Promise<void>;
}

/** The signal ends the connection. Throws `StoreUnavailable` when the server cannot be reached. */
export async function connectMongo(url: string, signal?: AbortSignal): Promise<MongoSession> {
  const client = new mongoose.mongo.MongoClient(url, {
    appName: 'auth-snapshot',
    maxPoolSize: 2,
    serverSelectionTimeoutMS: SELECTION_MS,
    connectTimeoutMS: SELECTION_MS,
    readPreference: 'primary',
    writeConcern: { w: 'majority', journal: true },
    retryWrites: false,
    ...BSON,
  });
  try {
    await client.connect();
  } catch (error) {
    await client.close().catch(() => {});
    throw asUnavailable(error);
  }
  const stop = (): void => void client.close().catch(() => {});
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted === true) stop();
  return { client, db: client.db(), close: () => client.close() };
}

function asUnavailable(error: unknown): StoreUnavailable {
  const mapped = toStoreError(error, 'read');
  return mapped instanceof StoreUnavailable
    ? mapped
    : new StoreUnavailable('mongo', 'none', 'connect', { cause: error });
}
