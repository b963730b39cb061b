/** Reads one field of a document into a record's, noting what was done. */

import type { Doc } from '../bson.ts';
import { bsonType, isDoc } from '../bson.ts';
import { decodeId, encodeId } from '../ids.ts';
import { clean, type Notes, reject } from './findings.ts';
import { firstOf, type Read, readBoolean, readCount, readDate, readNumber, readText } from './scalars.ts';

/** Field names, the written one first. */
export type Names = readonly [own: string, ...variants: readonly string[]];

/** The document was written by this service, so nothing in it needs guessing. */
export function isStamped(doc: Doc): boolean {
  return Object.hasOwn(doc, 'version');
}

/** What the field holds, by `reader`; null when it is absent or unreadable (then noted). */
export function read<T>(doc: Doc, names: Names, notes: Notes, reader: (value: unknown) => Read<T>): T | null {
  const found = firstOf(doc, names);
  if (found === null) return null;
  const result = reader(found.value);
  if (found.path !== names[0]) clean(notes, names[0], 'other-field');
  if ('unusable' in result) {
    clean(notes, names[0], result.unusable);
    return null;
  }
  clean(notes, names[0], ...result.reasons);
  return result.value;
}

/** As `read`, but the record cannot be without it. */
export function need<T>(
  doc: Doc,
  names: Names,
  notes: Notes,
  reader: (value: unknown) => Read<T>,
  standIn: T,
): T {
  const found = firstOf(doc, names);
  if (found === null) return reject(notes, names[0], 'missing', standIn);
  const result = reader(found.value);
  if (found.path !== names[0]) clean(notes, names[0], 'other-field');
  if ('unusable' in result) return reject(notes, names[0], result.unusable, standIn);
  clean(notes, names[0], ...result.reasons);
  return result.value;
}

export const text = (doc: Doc, names: Names, notes: Notes): string | null =>
  read(doc, names, notes, readText);
export const date = (doc: Doc, names: Names, notes: Notes): Date | null => read(doc, names, notes, readDate);
export const count = (doc: Doc, names: Names, notes: Notes): number =>
  read(doc, names, notes, readCount) ?? 0;
export const flag = (doc: Doc, names: Names, notes: Notes): boolean =>
  read(doc, names, notes, readBoolean) ?? false;

/** The id from `_id`; the document is bad without one. */
export function idOf(doc: Doc, notes: Notes): string {
  if (!Object.hasOwn(doc, '_id') || doc['_id'] === undefined) return reject(notes, '_id', 'missing', '');
  if (Object.keys(doc).every((field) => field === '_id' || field === '__v')) reject(notes, '_id', 'stub', '');
  // What cannot be read exactly can name another document as well.
  if (typeof doc['_id'] === 'string' && doc['_id'].includes('\ufffd'))
    return reject(notes, '_id', 'invalid-utf8', '');
  try {
    return encodeId(doc['_id']);
  } catch {
    return reject(notes, '_id', 'unreadable', '');
  }
}

/** When the ObjectId was made; null for other ids. */
export function dateOfId(doc: Doc): Date | null {
  const id = doc['_id'];
  return bsonType(id) === 'ObjectId' ? (id as { getTimestamp(): Date }).getTimestamp() : null;
}

/** When it was created: the field, else its ObjectId, else what the caller knows. */
export function createdAt(doc: Doc, names: Names, notes: Notes, otherwise: Date | null): Date {
  const own = date(doc, names, notes);
  if (own !== null) return own;
  clean(notes, names[0], 'derived');
  return dateOfId(doc) ?? otherwise ?? new Date(0);
}

/** The id of the document referred to. Old services wrote ObjectIds, their digits, or a whole populated document. */
export function reference(doc: Doc, names: Names, notes: Notes): string {
  return need(doc, names, notes, isStamped(doc) ? readExactId : readReference, '');
}

function readExactId(value: unknown): Read<string> {
  try {
    return { value: encodeId(value), reasons: [] };
  } catch {
    return { unusable: 'unreadable' };
  }
}

function readReference(value: unknown): Read<string> {
  if (typeof value === 'string') {
    const digits = value.trim().toLowerCase();
    if (/^[0-9a-f]{24}$/.test(digits)) return { value: digits, reasons: ['reference-as-text'] };
    return value === '' ? { unusable: 'empty' } : readExactId(value);
  }
  if (bsonType(value) === 'DBRef') return converted(readReference((value as { readonly oid: unknown }).oid));
  if (isDoc(value)) {
    const inner = firstOf(value, ['_id', '$id', '$oid']);
    return inner === null || isDoc(inner.value)
      ? { unusable: 'not-a-scalar' }
      : converted(readReference(inner.value));
  }
  if (Array.isArray(value)) return { unusable: 'not-a-scalar' };
  return readNumber(value) === null && typeof value === 'boolean'
    ? { unusable: 'unreadable' }
    : readExactId(value);
}

function converted(read: Read<string>): Read<string> {
  return 'value' in read ? { value: read.value, reasons: ['converted'] } : read;
}

/** How an id is written where another document refers to it. */
export function referenceValue(id: string): unknown {
  const value = decodeId(id);
  if (value === undefined) throw new TypeError('not an id of this service');
  return value;
}
