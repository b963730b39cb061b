/** A document as bytes, read by itself, and what can be told of one that no driver reads or could ask for. Pure. */
import { createHash } from 'node:crypto';
import { deserialize, serialize } from 'bson';
import { bsonType } from '../../bson.ts';
import type { Doc } from '../../canonical.ts';
import { encodeId, ID_BYTES_MAX } from '../../ids.ts';

/** One document: its bytes, and what they say. */
export interface RawDocument {
  readonly bytes: Uint8Array;
  /** Null: the bytes cannot be decoded. */
  readonly doc: Doc | null;
  /** Its id; a name that no document has, always the same one, when nobody can ask for it by its `_id`. */
  readonly id: string;
}

export function toRaw(bytes: Uint8Array): RawDocument {
  const doc = decode(bytes);
  return { bytes, doc, id: idOf(bytes, doc) };
}

/** What the id of no document begins with. */
const NAMELESS = '~?';
export const isNameless = (id: string): boolean => id.startsWith(NAMELESS);

/** Where the bytes of a document go wrong: the field, or the byte at which nothing can be told any more. */
export function brokenField(bytes: Uint8Array): string | number {
  let end = 4;
  for (const element of elementsOf(bytes)) {
    if (element.end === null || decodeElement(bytes, element) === null) return element.name;
    end = element.end;
  }
  return end;
}

function decode(bytes: Uint8Array, exact = false): Doc | null {
  try {
    return deserialize(bytes, {
      promoteValues: !exact,
      promoteLongs: !exact,
      // A pattern that MongoDB takes may be none to JavaScript.
      bsonRegExp: true,
      validation: { utf8: false },
    });
  } catch {
    return null;
  }
}

function idOf(bytes: Uint8Array, doc: Doc | null): string {
  // Mostly it is one of these, which everybody reads and writes alike.
  if (bsonType(doc?.['_id']) === 'ObjectId') return encodeId(doc?.['_id']);
  const own = ownId(bytes, doc);
  if (own === null) return nameless('', bytes);
  const value: unknown = decode(own)?.['_id'];
  try {
    const id = encodeId(value);
    if (isExact(own, value) && Buffer.byteLength(id) <= ID_BYTES_MAX) return id;
  } catch {
    // Told below.
  }
  return nameless(typeof value === 'string' ? value : Buffer.from(own).toString('base64url'), own);
}

/** `_id` as a document of its own; null when there is none. */
function ownId(bytes: Uint8Array, doc: Doc | null): Uint8Array | null {
  if (doc !== null && !Object.hasOwn(doc, '_id')) return null;
  for (const element of elementsOf(bytes)) {
    if (element.name === '_id' && element.end !== null) return alone(bytes, { ...element, end: element.end });
  }
  return null;
}

/** Whether the driver would write the very bytes it has read. Numbers are found whatever their type. */
function isExact(own: Uint8Array, value: unknown): boolean {
  if (typeof value === 'number' || (typeof value === 'string' && !value.includes('\ufffd'))) return true;
  const doc = decode(own, true);
  return doc !== null && Buffer.compare(serialize(doc), own) === 0;
}

const CLUE_CHARS = 100;

/** Text that helps to find it, and a digest that tells it from others. */
function nameless(clue: string, bytes: Uint8Array): string {
  const text = clue.slice(0, CLUE_CHARS).replaceAll('\0', '').toWellFormed();
  const digest = createHash('sha256').update(bytes).digest('base64url').slice(0, 22);
  return `${NAMELESS}${text}.${digest}`;
}

interface Element {
  readonly name: string;
  /** Of the type, and behind the value; null: the value's length cannot be told. */
  readonly start: number;
  readonly end: number | null;
}

/** The elements of a document, up to the first whose end cannot be told. */
function* elementsOf(bytes: Uint8Array): Generator<Element> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const last = buffer.length - 1;
  for (let start = 4; start < last; ) {
    const nul = buffer.indexOf(0, start + 1);
    if (buffer[start] === 0 || nul < 0 || nul >= last) return;
    const length = lengthOf(buffer, buffer[start] ?? 0, nul + 1);
    const end = length === null || length < 0 || nul + 1 + length > last ? null : nul + 1 + length;
    yield { name: buffer.toString('utf8', start + 1, nul), start, end };
    if (end === null) return;
    start = end;
  }
}

const FIXED: Readonly<Record<number, number>> = {
  1: 8,
  6: 0,
  7: 12,
  8: 1,
  9: 8,
  10: 0,
  16: 4,
  17: 8,
  18: 8,
  19: 16,
  127: 0,
  255: 0,
};
/** By the length that the value begins with, and so much more. */
const SIZED: Readonly<Record<number, number>> = { 2: 4, 3: 0, 4: 0, 5: 5, 12: 16, 13: 4, 14: 4, 15: 0 };
const REGEX = 11;

function lengthOf(buffer: Buffer, type: number, at: number): number | null {
  const more = SIZED[type];
  if (more !== undefined) return at + 4 > buffer.length ? null : buffer.readInt32LE(at) + more;
  if (type !== REGEX) return FIXED[type] ?? null;
  const pattern = buffer.indexOf(0, at);
  const options = pattern < 0 ? -1 : buffer.indexOf(0, pattern + 1);
  return options < 0 ? null : options + 1 - at;
}

function alone(
  bytes: Uint8Array,
  { start, end }: { readonly start: number; readonly end: number },
): Uint8Array {
  const own = Buffer.alloc(4 + end - start + 1);
  own.writeInt32LE(own.length, 0);
  own.set(bytes.subarray(start, end), 4);
  return own;
}

const decodeElement = (bytes: Uint8Array, { start, end }: Element): Doc | null =>
  end === null ? null : decode(alone(bytes, { start, end }));
