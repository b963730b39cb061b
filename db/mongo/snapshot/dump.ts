/**
 * A database as `mongodump` writes it: for each collection NAME.bson, its documents one after another, and
 * NAME.metadata.json with options and indexes in canonical extended JSON, so that `mongorestore` reads it too.
 */
import { type Document, EJSON, serialize } from 'bson';
import type mongoose from 'mongoose';
import type { Codec } from '../../canonical.ts';
import { takeBuffered } from '../buffered.ts';
import { WATCH_COLLECTION } from '../changes/watch-book.ts';
import { toStoreError } from '../errors.ts';
import { MARKED } from '../mark.ts';
import { ERASURES_COLLECTION, LIMITS_COLLECTION } from '../models.ts';
import type { MongoSession } from './client.ts';

type Db = mongoose.mongo.Db;
type Session = mongoose.mongo.ClientSession;

const CONTROL = 'cutover_control';
/** What a running system is in, and counters that may be lost: not part of a backup. */
const NOT_DUMPED: ReadonlySet<string> = new Set([
  CONTROL,
  'cutover_leases',
  WATCH_COLLECTION,
  LIMITS_COLLECTION,
]);
/** What is referred to comes after what refers to it, for a server that cannot read all of it as of one moment. */
const dumpedLast = ({ collections }: Codec): readonly string[] => [
  ERASURES_COLLECTION,
  collections.verificationToken,
  collections.resetToken,
  collections.session,
  collections.user,
];
const BATCH = 1_000;

/** Where a file goes: it is made with exactly these bytes. */
export type WriteFile = (name: string, chunks: AsyncIterable<Uint8Array>) => Promise<void>;

/** Made of the record and of the highest epoch that anything dumped may carry. */
export type StandIn = (control: MongoDump['control'], epoch: number) => Document;

export interface DumpedCollection {
  readonly name: string;
  readonly documents: number;
}

export interface MongoDump {
  readonly database: string;
  /** Null: every collection as of one moment. Otherwise why not. */
  readonly inconsistent: string | null;
  /** When it began, by the server's clock. */
  readonly at: Date;
  /** Marks. */
  readonly pending: number;
  readonly control: { readonly epoch: number; readonly revision: number; readonly body: unknown } | null;
  readonly collections: readonly DumpedCollection[];
  /** Collections that are there and not in the dump. */
  readonly leftOut: readonly string[];
}

/** Whether the server lets a session read everything as of one moment. */
async function openSnapshot({ client, db }: MongoSession, { collections }: Codec): Promise<Session | string> {
  const session = client.startSession({ snapshot: true });
  try {
    await db.collection(collections.user).findOne({}, { session, projection: { _id: 1 } });
    // A server may take the wish and not heed it; one that does says which moment it reads.
    if (Reflect.get(session, 'snapshotTime') !== undefined) return session;
    await session.endSession();
    return 'the server does not say as of which moment it reads';
  } catch (error) {
    await session.endSession();
    const mapped = toStoreError(error, 'read');
    if (isServerError(mapped)) return `the server reads no snapshot (${codeOf(mapped)})`;
    throw mapped;
  }
}

const isServerError = (error: unknown): error is Error =>
  error instanceof Error && error.name === 'MongoServerError';
const codeOf = (error: Error): string => {
  const { codeName, code } = error as { codeName?: unknown; code?: unknown };
  return String(codeName ?? code ?? 'unknown');
};

/** The history that a snapshot needs is gone. */
const isTooOld = (error: unknown): boolean =>
  isServerError(error) && ['239', '246'].includes(String((error as { code?: unknown }).code));

/**
 * Dumps the whole database but its control record, for which `standIn` is dumped, so that a restore by other tools brings
 * the fence along. Throws `StoreUnavailable`.
 */
export async function dumpMongo(
  connection: MongoSession,
  codec: Codec,
  write: WriteFile,
  standIn: StandIn,
): Promise<MongoDump> {
  const opened = await openSnapshot(connection, codec);
  const dumping = { codec, write, standIn };
  try {
    const dump = await dumpAll(connection.db, dumping, typeof opened === 'string' ? null : opened);
    return { ...dump, inconsistent: typeof opened === 'string' ? opened : null };
  } catch (error) {
    if (typeof opened === 'string' || !isTooOld(error)) throw toStoreError(error, 'read');
    const dump = await dumpAll(connection.db, dumping, null);
    return { ...dump, inconsistent: 'the server does not keep its history for as long as this took' };
  } finally {
    if (typeof opened !== 'string') await opened.endSession();
  }
}

interface Dumping {
  readonly codec: Codec;
  readonly write: WriteFile;
  readonly standIn: StandIn;
}

async function dumpAll(
  db: Db,
  { codec, write, standIn }: Dumping,
  session: Session | null,
): Promise<Omit<MongoDump, 'inconsistent'>> {
  const facts = await readFacts(db, codec, session);
  const found = await db.listCollections({}, { nameOnly: false }).toArray();
  const leftOut: string[] = [];
  const collections: DumpedCollection[] = [];
  const last = dumpedLast(codec);
  const rank = (name: string) => last.indexOf(name);
  for (const { name, type, options = {} } of found.sort((a, b) => rank(a.name) - rank(b.name))) {
    if (name.startsWith('system.') || NOT_DUMPED.has(name)) continue;
    if (type !== undefined && type !== 'collection') {
      leftOut.push(name);
      continue;
    }
    const counter = { documents: 0 };
    await write(`${name}.bson`, documentsOf(db, name, session, counter));
    const indexes = await db.collection(name).listIndexes().toArray();
    await write(`${name}.metadata.json`, once(metadata(name, options, indexes)));
    collections.push({ name, documents: counter.documents });
  }
  // Not of one moment: what was dumped last may carry an epoch that was announced meanwhile.
  const latest = session === null ? await readRecord(db, {}) : facts.control;
  const epoch = Math.max(facts.control?.epoch ?? 0, latest?.epoch ?? 0);
  await write(`${CONTROL}.bson`, once(serialize(standIn(facts.control, epoch))));
  await write(`${CONTROL}.metadata.json`, once(metadata(CONTROL, {}, [])));
  return { database: db.databaseName, ...facts, collections, leftOut };
}

type Facts = Pick<MongoDump, 'at' | 'pending' | 'control'>;

async function readFacts(db: Db, { collections }: Codec, session: Session | null): Promise<Facts> {
  const options = session === null ? {} : { session };
  let pending = 0;
  for (const name of Object.values(collections)) {
    pending += await db.collection(name).countDocuments(MARKED, options);
  }
  const control = await readRecord(db, options);
  const hello = await db.command({ hello: 1 });
  const at = hello['localTime'] instanceof Date ? hello['localTime'] : new Date();
  return { at, pending, control };
}

async function readRecord(db: Db, options: { readonly session?: Session }): Promise<MongoDump['control']> {
  const record = await db
    .collection<{ _id: string; epoch: number; revision: number; body: string }>(CONTROL)
    .findOne({ _id: 'control' }, options);
  return (
    record && { epoch: record.epoch, revision: record.revision, body: JSON.parse(record.body) as unknown }
  );
}

async function* documentsOf(
  db: Db,
  name: string,
  session: Session | null,
  counter: { documents: number },
): AsyncGenerator<Uint8Array> {
  const cursor = db.collection(name).find(
    {},
    {
      raw: true,
      batchSize: BATCH,
      ...(session === null ? {} : { session }),
    },
  );
  try {
    while (await cursor.hasNext()) {
      for (const bytes of takeBuffered(cursor)) {
        counter.documents += 1;
        yield bytes;
      }
    }
  } finally {
    await cursor.close().catch(() => {});
  }
}

function metadata(name: string, options: Document, indexes: readonly Document[]): Uint8Array {
  const body = { options, indexes, collectionName: name, type: 'collection' };
  return Buffer.from(EJSON.stringify(body, { relaxed: false }));
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
