/** A dump back into a database. */
import { type Document, deserialize, EJSON, serialize } from 'bson';
import type { ControlEntry, Json } from '../../replica.ts';
import { duplicateKey, toStoreError } from '../errors.ts';
import type { MongoSession } from './client.ts';

/** A document may have 16 MiB, and a little more inside the server. */
const DOCUMENT_BYTES_MAX = 17 * 1024 * 1024;
const BATCH_DOCUMENTS = 1_000;
const BATCH_BYTES = 8 * 1024 * 1024;

/** Whether no collection holds a document; a collection that is there and empty does not count. */
export async function isEmptyMongo({ db }: MongoSession): Promise<boolean> {
  try {
    for (const { name, type } of await db.listCollections().toArray()) {
      if (name.startsWith('system.')) continue;
      if (type === 'view') return false;
      const one = await db.collection(name).findOne({}, { projection: { _id: 1 } });
      if (one !== null) return false;
    }
    return true;
  } catch (error) {
    throw toStoreError(error, 'read');
  }
}

/** Drops what is there. */
export async function emptyMongo({ db }: MongoSession): Promise<void> {
  try {
    for (const { name } of await db.listCollections().toArray()) {
      if (!name.startsWith('system.')) await db.collection(name).drop();
    }
  } catch (error) {
    throw toStoreError(error, 'write');
  }
}

export interface Loaded {
  readonly documents: number;
  /** Documents that the driver cannot write with the very bytes they had, such as broken text. */
  readonly altered: number;
  /** It has a validator, which was restored switched off. */
  readonly isValidatorOff: boolean;
}

/** One collection: options, documents, then indexes. */
export async function loadCollection(
  { db }: MongoSession,
  name: string,
  metadata: string,
  bytes: AsyncIterable<Uint8Array>,
): Promise<Loaded> {
  const { options, indexes } = EJSON.parse(metadata, { relaxed: true }) as {
    readonly options?: Document;
    readonly indexes?: readonly Document[];
  };
  try {
    // Documents may be older than the rule, and writing past it takes a privilege that the migration role does not have.
    const isValidatorOff = options?.['validator'] !== undefined;
    await db.createCollection(name, { ...options, ...(isValidatorOff ? { validationLevel: 'off' } : {}) });
    const collection = db.collection(name);
    const loaded = { documents: 0, altered: 0, isValidatorOff };
    for await (const batch of batchesOf(bytes)) {
      const documents = batch.map(exactly);
      loaded.altered += documents.filter((document, at) => isAltered(document, batch[at])).length;
      await collection.insertMany(documents, { ordered: false, ignoreUndefined: false });
      loaded.documents += documents.length;
    }
    for (const { key, ns: _, ...index } of (indexes ?? []).filter((each) => each['name'] !== '_id_')) {
      await collection.createIndex(key, index);
    }
    return loaded;
  } catch (error) {
    throw toStoreError(error, 'write');
  }
}

/** Every value as the type it has, so that it is written as it was. */
function exactly(bytes: Uint8Array): Document {
  return deserialize(bytes, {
    promoteValues: false,
    promoteLongs: false,
    bsonRegExp: true,
    validation: { utf8: false },
  });
}

const isAltered = (document: Document, bytes: Uint8Array | undefined): boolean =>
  bytes === undefined || Buffer.compare(serialize(document, { ignoreUndefined: false }), bytes) !== 0;

/** Cuts a stream of documents into batches: never more than one of them, and a piece of the file, in memory. */
async function* batchesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Uint8Array[]> {
  let batch: Uint8Array[] = [];
  let size = 0;
  for await (const document of documentsIn(chunks)) {
    batch.push(document);
    size += document.length;
    if (batch.length < BATCH_DOCUMENTS && size < BATCH_BYTES) continue;
    yield batch;
    [batch, size] = [[], 0];
  }
  if (batch.length > 0) yield batch;
}

async function* documentsIn(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let at = 0;
    while (rest.length - at >= 4) {
      const length = rest.readInt32LE(at);
      if (length < 5 || length > DOCUMENT_BYTES_MAX) throw new Error('this is no file of BSON documents');
      if (rest.length - at < length) break;
      yield rest.subarray(at, at + length);
      at += length;
    }
    rest = rest.subarray(at);
  }
  if (rest.length > 0) throw new Error('the last BSON document is cut off');
}

const CONTROL = 'cutover_control';

/** A control record as the books keep it. */
export const controlDocument = ({ epoch, revision, body }: ControlEntry): Document => ({
  _id: 'control',
  epoch,
  revision,
  body: JSON.stringify(body),
});

/** Puts the first control record there; false when there is one. */
export async function putFirstControl({ db }: MongoSession, control: ControlEntry): Promise<boolean> {
  try {
    await db.collection(CONTROL).insertOne(controlDocument(control));
    return true;
  } catch (error) {
    if (duplicateKey(error) !== null) return false;
    throw toStoreError(error, 'write');
  }
}

/** The control record that is there; null: none. */
export async function firstControl({ db }: MongoSession): Promise<ControlEntry | null> {
  try {
    const doc = await db.collection<Document & { _id: string }>(CONTROL).findOne({ _id: 'control' });
    if (doc === null) return null;
    const { epoch, revision, body } = doc as unknown as {
      readonly epoch: number;
      readonly revision: number;
      readonly body: string;
    };
    return { epoch, revision, body: JSON.parse(body) as Json };
  } catch (error) {
    throw toStoreError(error, 'read');
  }
}

/** Replaces the record that this restore put there. */
export async function finishControl(
  { db }: MongoSession,
  { epoch, revision, body }: ControlEntry,
): Promise<void> {
  const filter = { _id: 'control', epoch, revision } as never;
  try {
    await db.collection(CONTROL).updateOne(filter, { $set: { body: JSON.stringify(body) } });
  } catch (error) {
    throw toStoreError(error, 'write');
  }
}
