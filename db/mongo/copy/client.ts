/**
 * The bulk copy's own connection to MongoDB. Raw documents come out as bytes, each decoded by itself: one that no
 * driver can read must not take its batch along.
 */
import { type Document, deserialize, EJSON, serialize } from 'bson';
import mongoose from 'mongoose';
import type { Codec } from '../../canonical.ts';
import type { Entity } from '../../records.ts';
import { BSON } from '../url.ts';

export interface MongoBulkOptions {
  readonly url: string;
  /** Connections. */
  readonly poolMax: number;
  /** Bound on each look-up and each write, ms. */
  readonly timeoutMs: number;
  readonly codec: Codec;
}

export interface MongoBulk {
  readonly codec: Codec;
  readonly db: mongoose.mongo.Db;
  readonly timeoutMs: number;
  collection(entity: Entity): mongoose.mongo.Collection<Document>;
  close(): Promise<void>;
}

/** A server that does not answer from an index reads a whole collection before the first batch. */
const BATCH_TIMEOUT_MS = 300_000;

/** Opens without a word to the server. */
export function openMongoBulk(options: MongoBulkOptions): MongoBulk {
  const client = new mongoose.mongo.MongoClient(options.url, {
    appName: 'auth-copy',
    maxPoolSize: options.poolMax,
    serverSelectionTimeoutMS: 5_000,
    connectTimeoutMS: 5_000,
    socketTimeoutMS: Math.max(BATCH_TIMEOUT_MS, options.timeoutMs + 1_000),
    readPreference: 'primary',
    readConcern: { level: 'majority' },
    writeConcern: { w: 'majority', journal: true },
    retryWrites: false,
    ...BSON,
  });
  const db = client.db();
  const { codec } = options;
  return {
    codec,
    db,
    timeoutMs: options.timeoutMs,
    collection: (entity) => db.collection(codec.collections[entity]),
    close: () => client.close(),
  };
}

/**
 * The bytes as canonical extended JSON. As base64 where that would not give the very bytes back: they are no BSON or no
 * UTF-8, a field is there twice, or is named like extended JSON.
 */
export function toExtendedJson(bytes: Uint8Array): string {
  try {
    const json = EJSON.stringify(deserialize(bytes, EXACT), { relaxed: false });
    if (isSameBytes(serialize(EJSON.parse(json, { relaxed: false })), bytes)) return json;
  } catch {
    // Told below.
  }
  return JSON.stringify({ $bytes: Buffer.from(bytes).toString('base64') });
}

const EXACT = { promoteValues: false, promoteLongs: false, bsonRegExp: true } as const;

const isSameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** The document that `toExtendedJson` wrote; null when a driver cannot write those bytes again. */
export function fromExtendedJson(text: string): Document | null {
  const given: unknown = JSON.parse(text);
  const { $bytes, ...rest } = given as Readonly<Record<string, unknown>>;
  if (typeof $bytes !== 'string' || Object.keys(rest).length > 0)
    return EJSON.parse(text, { relaxed: false });
  const bytes = Buffer.from($bytes, 'base64');
  try {
    const document = deserialize(bytes, EXACT);
    return isSameBytes(serialize(document), bytes) ? document : null;
  } catch {
    return null;
  }
}

/** Any single value of BSON as text, and back: exact, unlike JSON. */
export const packValue = (value: unknown): string => Buffer.from(serialize({ v: value })).toString('base64');
export const unpackValue = (packed: string): unknown =>
  deserialize(Buffer.from(packed, 'base64'), { bsonRegExp: true })['v'];
