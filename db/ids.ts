/**
 * Ids are strings that clients already know. An ObjectId is its 24 hex digits and a string is mostly itself; every
 * other `_id` is its BSON bytes behind a tilde. Numbers that MongoDB holds for the same `_id` get the same id.
 */
import { randomBytes } from 'node:crypto';
import { deserialize, ObjectId, serialize } from 'bson';
import { bsonType, isDoc } from './bson.ts';

/** No index takes longer keys than some 2,700 bytes, and other columns stand beside an id. */
export const ID_BYTES_MAX = 2_000;

/** What a document has as `_id`: anything but `undefined`, which a query would take for null, so for whatever has no such field. */
export type DocumentId = NonNullable<unknown> | null;

const HEX24 = /^[0-9a-f]{24}$/;

/** A new id: 4 bytes of seconds, 8 random bytes, as 24 hex digits; sorts by second like an ObjectId. */
export function newId(now: Date): string {
  return secondsOf(now.getTime()) + randomBytes(8).toString('hex');
}

/** Below every id that was made from that second on. */
export function idAt(ms: number): string {
  return secondsOf(Math.max(0, ms)) + '0'.repeat(16);
}

function secondsOf(ms: number): string {
  return (Math.floor(ms / 1000) >>> 0).toString(16).padStart(8, '0');
}

/** The id of a document's `_id`. Injective; always text that PostgreSQL takes. Throws on what BSON cannot hold. */
export function encodeId(value: unknown): string {
  if (typeof value === 'string') return encodeText(value);
  if (bsonType(value) === 'ObjectId') return (value as ObjectId).toHexString();
  if (value === undefined) throw new TypeError('an id cannot be undefined');
  // Deserialising promotes Int32, Double and Long alike, as MongoDB's unique index on _id does.
  const promoted = deserialize(serialize({ v: value })) as { readonly v: unknown };
  if (typeof promoted.v === 'string') return encodeText(promoted.v);
  if (isCondition(promoted.v)) throw new TypeError('a query would take it for a condition');
  return `~b${base64url(serialize({ v: promoted.v }))}`;
}

/** What MongoDB does not compare with but looks for by: a pattern, or operators. No `_id` may be one, and clients send ids. */
function isCondition(value: unknown): boolean {
  if (value instanceof RegExp || bsonType(value) === 'BSONRegExp') return true;
  return isDoc(value) && Object.keys(value).some((key) => key.startsWith('$'));
}

/**
 * The order in which both stores have ids of text: that of their UTF-8 bytes. JavaScript's own, `<` and `sort()`, goes by
 * UTF-16, where what lies above U+FFFF comes before U+E000, so that no id may be compared by it.
 */
export function compareIds(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** The `_id` that has this id; undefined when none has. Numbers come back as MongoDB compares them, not by type. */
export function decodeId(id: string): DocumentId | undefined {
  if (HEX24.test(id)) return ObjectId.createFromHexString(id);
  const value = id.startsWith('~') ? decodeTagged(id) : id;
  return value !== undefined && isEncoded(value, id) ? (value as DocumentId) : undefined;
}

/** The `_id`s of these ids; what is no id names no document. The only way to a list that is put into a query. */
export function decodeIds(ids: readonly string[]): readonly DocumentId[] {
  return ids.map(decodeId).filter((id) => id !== undefined);
}

function encodeText(text: string): string {
  if (text.includes('\0') || !text.isWellFormed()) return `~u${base64url(Buffer.from(text, 'utf16le'))}`;
  return text === '' || text.startsWith('~') || HEX24.test(text) ? `~s${text}` : text;
}

function decodeTagged(id: string): unknown {
  const rest = id.slice(2);
  switch (id[1]) {
    case 's':
      return rest;
    case 'u':
      return Buffer.from(rest, 'base64url').toString('utf16le');
    case 'b':
      return decodeBson(Buffer.from(rest, 'base64url'));
    default:
      return undefined;
  }
}

function decodeBson(bytes: Uint8Array): unknown {
  try {
    return deserialize(bytes)['v'];
  } catch {
    return undefined;
  }
}

/** Ids arrive from clients too: only the one spelling that `encodeId` gives names a document. */
function isEncoded(value: unknown, id: string): boolean {
  try {
    return encodeId(value) === id;
  } catch {
    return false;
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
