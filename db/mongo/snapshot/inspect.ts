/** What can be known of a MongoDB before a move, without changing anything. What it does not tell is null. */

import type { Codec } from '../../canonical.ts';
import { takeBuffered } from '../buffered.ts';
import { toStoreError } from '../errors.ts';
import { clashesFor, legacyFix } from '../legacy-indexes.ts';
import { type Obstacle, obstaclesIn } from '../obstacles.ts';
import { describeServer } from '../server.ts';
import type { MongoSession } from './client.ts';

const ACTIONS = [
  'find',
  'insert',
  'update',
  'remove',
  'createIndex',
  'dropIndex',
  'createCollection',
  'listIndexes',
  'listCollections',
  'changeStream',
] as const;

export interface LegacyIndex {
  readonly collection: string;
  readonly name: string;
  readonly fields: readonly string[];
  /** Seconds after which it deletes; null: it does not. */
  readonly expiresAfterS: number | null;
  readonly unique: boolean;
}

export interface MongoFacts {
  readonly server: string;
  readonly database: string;
  /** As `buildInfo` has it: `7.0.14`. */
  readonly version: string;
  readonly isReplicaSet: boolean;
  readonly isWritable: boolean;
  /** Actions the user lacks on some collection; null: the server does not say. */
  readonly missing: readonly string[] | null;
  readonly obstacles: readonly Obstacle[];
  /** Indexes of the old service that would delete, or refuse what this service writes. */
  readonly harmful: readonly LegacyIndex[];
  /** Every collection of the database. */
  readonly collections: readonly string[];
  readonly connections: { readonly current: number; readonly available: number } | null;
  readonly dataBytes: number | null;
  readonly freeBytes: number | null;
}

/** Throws `StoreUnavailable`. */
export async function inspectMongo({ db }: MongoSession, codec: Codec): Promise<MongoFacts> {
  try {
    const hello = await db.command({ hello: 1 });
    const listed = await db.listCollections({}, { nameOnly: true }).toArray();
    const build = await db.admin().command({ buildInfo: 1 });
    const stats = await known(() => db.command({ dbStats: 1, freeStorage: 0 }));
    const server = await known(() => db.admin().command({ serverStatus: 1 }));
    const [total, used] = [numberOf(stats?.['fsTotalSize']), numberOf(stats?.['fsUsedSize'])];
    const open = server?.['connections'] as Record<string, unknown> | undefined;
    const [current, available] = [numberOf(open?.['current']), numberOf(open?.['available'])];
    return {
      server: await describeServer(db),
      database: db.databaseName,
      version: String(build['version']),
      isReplicaSet: typeof hello['setName'] === 'string',
      isWritable: hello['isWritablePrimary'] === true,
      missing: await missingActions(db, codec),
      obstacles: await obstaclesIn(db, codec),
      harmful: await harmfulIndexes(db, codec),
      collections: listed.map(({ name }) => name),
      connections: current === null || available === null ? null : { current, available },
      dataBytes: numberOf(stats?.['dataSize']),
      freeBytes: total === null || used === null || total === 0 ? null : total - used,
    };
  } catch (error) {
    throw toStoreError(error, 'read');
  }
}

const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null);

/** The answer, or null where the server or its rules do not give one. */
async function known<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof Error && error.name === 'MongoServerError') return null;
    throw error;
  }
}

interface Privilege {
  readonly resource: { readonly db?: string; readonly collection?: string; readonly anyResource?: boolean };
  readonly actions: readonly string[];
}

async function missingActions(
  db: MongoSession['db'],
  { collections }: Codec,
): Promise<readonly string[] | null> {
  const status = await known(() => db.command({ connectionStatus: 1, showPrivileges: true }));
  const info = status?.['authInfo'] as
    | {
        readonly authenticatedUsers?: readonly unknown[];
        readonly authenticatedUserPrivileges?: readonly Privilege[];
      }
    | undefined;
  if (info?.authenticatedUsers === undefined) return null;
  // Nobody is logged in: where that is let in at all, it may do everything.
  if (info.authenticatedUsers.length === 0) return [];
  if (info.authenticatedUserPrivileges === undefined) return null;
  const names = [...Object.values(collections), 'cutover_control'];
  const allows = (action: string, name: string): boolean =>
    (info.authenticatedUserPrivileges ?? []).some(
      ({ resource, actions }) =>
        (resource.anyResource === true ||
          ((resource.db === '' || resource.db === db.databaseName) &&
            (resource.collection === '' || resource.collection === name))) &&
        (actions.includes(action) || actions.includes('anyAction')),
    );
  return ACTIONS.filter((action) => !names.every((name) => allows(action, name)));
}

async function harmfulIndexes(db: MongoSession['db'], codec: Codec): Promise<readonly LegacyIndex[]> {
  const found: LegacyIndex[] = [];
  const clashes = clashesFor(codec);
  const listed = await db.listCollections({}, { nameOnly: true }).toArray();
  // A view has none of its own, and asking for them is an error.
  const there = new Set(
    listed.filter(({ type = 'collection' }) => type === 'collection').map(({ name }) => name),
  );
  for (const collection of Object.values(codec.collections).filter((name) => there.has(name))) {
    for (const index of await db.collection(collection).listIndexes().toArray()) {
      if (legacyFix(clashes[collection], index) === null) continue;
      found.push({
        collection,
        name: String(index.name),
        fields: Object.keys(index.key),
        expiresAfterS: numberOf(index.expireAfterSeconds),
        unique: index.unique === true,
      });
    }
  }
  return found;
}

const BATCH = 1_000;

/** How many documents the collection holds, about. */
export async function countDocuments({ db }: MongoSession, collection: string): Promise<number> {
  try {
    return await db.collection(collection).estimatedDocumentCount();
  } catch (error) {
    throw toStoreError(error, 'read');
  }
}

/** Documents as bytes, in batches: all of them, or about so many at random. */
export async function* readDocuments(
  { db }: MongoSession,
  collection: string,
  sample: number | null,
): AsyncGenerator<readonly Uint8Array[]> {
  const source = db.collection(collection);
  const options = { raw: true, batchSize: BATCH } as const;
  const cursor =
    sample === null ? source.find({}, options) : source.aggregate([{ $sample: { size: sample } }], options);
  try {
    while (await cursor.hasNext()) {
      yield takeBuffered(cursor);
    }
  } catch (error) {
    throw toStoreError(error, 'read');
  } finally {
    await cursor.close().catch(() => {});
  }
}
