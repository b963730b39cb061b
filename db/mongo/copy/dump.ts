/** Collections out to files and back in, in the format of mongodump: `NAME.bson` and `NAME.metadata.json`. */
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { deserialize, EJSON } from 'bson';
import type mongoose from 'mongoose';
import type { MongoBulk } from './client.ts';

/** What belongs to processes that run, or is made anew by itself. */
const PASSING = new Set(['cutover_leases', 'limits']);

export interface DumpedCollection {
  readonly collection: string;
  readonly documents: number;
}

/** Said with each read: the client's own concern would win over the session's. */
const SNAPSHOT = { level: 'snapshot' } as const;
const BATCH = 1_000;
const INSERT_BATCH = 500;

/** Every collection as it was at one moment where the server can say so; `isOneMoment` tells whether it could. */
export async function dumpCollections(
  bulk: MongoBulk,
  open: (file: string) => Writable,
): Promise<{ readonly collections: readonly DumpedCollection[]; readonly isOneMoment: boolean }> {
  const infos = await bulk.db.listCollections({}, { nameOnly: false }).toArray();
  const names = infos
    .filter((info) => info.type !== 'view' && !info.name.startsWith('system.') && !PASSING.has(info.name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const isOneMoment = await readsSnapshots(bulk, names[0]?.name);
  const session = isOneMoment ? bulk.db.client.startSession({ snapshot: true }) : undefined;
  const collections: DumpedCollection[] = [];
  try {
    for (const info of names) {
      const indexes = await bulk.db.collection(info.name).listIndexes().toArray();
      const options = 'options' in info ? (info.options ?? {}) : {};
      const metadata = open(`${info.name}.metadata.json`);
      metadata.end(
        EJSON.stringify(
          { options, indexes, collectionName: info.name, type: 'collection' },
          { relaxed: false },
        ),
      );
      await finished(metadata);
      const documents = await dumpOne(bulk, info.name, open(`${info.name}.bson`), session);
      collections.push({ collection: info.name, documents });
    }
  } finally {
    await session?.endSession();
  }
  return { collections, isOneMoment };
}

async function readsSnapshots(bulk: MongoBulk, name: string | undefined): Promise<boolean> {
  if (name === undefined) return false;
  const session = bulk.db.client.startSession({ snapshot: true });
  try {
    await bulk.db.collection(name).findOne({}, { session, readConcern: SNAPSHOT, projection: { _id: 1 } });
    return true;
  } catch {
    return false;
  } finally {
    await session.endSession();
  }
}

async function dumpOne(
  bulk: MongoBulk,
  name: string,
  out: Writable,
  session: mongoose.mongo.ClientSession | undefined,
): Promise<number> {
  const options = session === undefined ? {} : { session, readConcern: SNAPSHOT };
  const cursor = bulk.db.collection(name).find({}, { raw: true, batchSize: BATCH, ...options });
  let count = 0;
  for await (const bytes of cursor) {
    count += 1;
    if (!out.write(bytes)) await new Promise<void>((resolve) => out.once('drain', () => resolve()));
  }
  out.end();
  await finished(out);
  return count;
}

/** Whether there is no document in any collection. */
export async function isEmptyMongo(bulk: MongoBulk): Promise<boolean> {
  for (const { name } of await bulk.db.listCollections({}, { nameOnly: true }).toArray()) {
    if (name.startsWith('system.')) continue;
    if ((await bulk.db.collection(name).findOne({}, { projection: { _id: 1 } })) !== null) return false;
  }
  return true;
}

/** Makes the collection anew, its indexes after its documents. */
export async function restoreCollection(
  bulk: MongoBulk,
  name: string,
  metadata: string,
  documents: Readable,
): Promise<number> {
  const collection = bulk.db.collection(name);
  await collection.drop().catch(() => false);
  let count = 0;
  let batch: Uint8Array[] = [];
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    const options = { promoteValues: false, promoteLongs: false, validation: { utf8: false } };
    await collection.insertMany(batch.map((bytes) => deserialize(bytes, options)) as never[], {
      ordered: true,
    });
    count += batch.length;
    batch = [];
  };
  for await (const bytes of splitDocuments(documents)) {
    batch.push(bytes);
    if (batch.length === INSERT_BATCH) await flush();
  }
  await flush();
  const { indexes = [] } = EJSON.parse(metadata) as {
    readonly indexes?: readonly mongoose.mongo.IndexDescriptionInfo[];
  };
  for (const {
    key,
    v: _v,
    ns: _ns,
    ...options
  } of indexes as readonly (mongoose.mongo.IndexDescriptionInfo & { ns?: string })[]) {
    if (options.name !== '_id_') await collection.createIndex(key as never, options as never);
  }
  return count;
}

/** BSON documents one after another: each begins with its own length. */
export async function* splitDocuments(stream: Readable): AsyncGenerator<Uint8Array> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    for (;;) {
      if (rest.length < 4) break;
      const length = rest.readInt32LE(0);
      if (length < 5) throw new RangeError('not a file of BSON documents');
      if (rest.length < length) break;
      yield rest.subarray(0, length);
      rest = rest.subarray(length);
    }
  }
  if (rest.length > 0) throw new RangeError('the file ends within a document');
}
