/** Reads one field of a document into a record's, noting what was done. */

import type { Doc } from '../bson.ts';
import { bsonType, isDoc } from '../bson.ts';
import { decodeId, encodeId } from '../ids.ts';
import type { Stamp } from '../records.ts';
import { readDate } from './dates.ts';
import { KEY_FIELDS, STORE_FIELDS } from './fields.ts';
import { clean, type Notes, reject } from './findings.ts';
import type { TimeForm } from './mapping.ts';
import { at, type Path, pathOf } from './paths.ts';
import { type Read, readCount, readNumber, readText } from './scalars.ts';

/** Where a field is found, the written place first, by which findings name it. */
export interface Field {
  readonly name: string;
  readonly paths: readonly Path[];
  /** Of a time: how this service writes it. */
  readonly as?: TimeForm;
}

export const fieldAt = (paths: readonly string[]): Field => ({
  name: paths[0] ?? '',
  paths: paths.map(pathOf),
});

/** A field with one name under every mapping. */
export const ownField = (name: string): Field => fieldAt([name]);

/** Where a value was found. */
export interface FoundAt<P> {
  readonly at: P;
  readonly value: unknown;
}

/**
 * The first of these places that holds something other than null. Text without a character is passed over where a later
 * place holds something; in a document of ours it is what was written.
 */
export function firstAmong<P>(doc: Doc, places: readonly P[], pathAt: (place: P) => Path): FoundAt<P> | null {
  let blank: FoundAt<P> | null = null;
  for (const place of places) {
    const value = at(doc, pathAt(place));
    if (value === undefined || value === null) continue;
    if (!isBlank(value) || isStamped(doc)) return { at: place, value };
    blank ??= { at: place, value };
  }
  return blank;
}

export const isBlank = (value: unknown): boolean => typeof value === 'string' && value.trim() === '';

/** The first of these paths that holds something, as `firstAmong`. */
export function firstOf(
  doc: Doc,
  paths: readonly Path[],
): { readonly path: Path; readonly value: unknown } | null {
  const found = firstAmong(doc, paths, (path) => path);
  return found && { path: found.at, value: found.value };
}

/** An epoch rises by one with each change of authority; seconds since 1970 under that name are far above. */
export const EPOCH_MAX = 1_000_000;

/**
 * The document was written by this service, so nothing in it needs guessing: each of its writes sets both numbers. A
 * `version` alone, or text, is another program's.
 */
export function isStamped(doc: Doc): boolean {
  return isNumberUpTo(doc, 'epoch', EPOCH_MAX) && isNumberUpTo(doc, 'version', Number.MAX_SAFE_INTEGER);
}

function isNumberUpTo(doc: Doc, field: string, max: number): boolean {
  const value = Object.hasOwn(doc, field) ? doc[field] : undefined;
  // What was stored as extended JSON was not stored by this service.
  if (typeof value === 'string' || isDoc(value)) return false;
  const read = readCount(value);
  return 'value' in read && read.value <= max;
}

/** The stamp of a document, (0, 0) without one of this service's. */
export function stampOf(doc: Doc): Stamp {
  if (!isStamped(doc)) return { epoch: 0, version: 0 };
  return { epoch: Number(doc['epoch']), version: Number(doc['version']) };
}

/** Since when a document waits for the mirror; null where it does not. Without a stamp the field is the old service's. */
export function markOf(doc: Doc): Date | null {
  const at = doc[STORE_FIELDS.pendingAt];
  return at instanceof Date && isStamped(doc) ? at : null;
}

const { epoch, version, pendingAt } = STORE_FIELDS;

/** As `stampOf`; fields of those names that are none of this service's are noted, since the first write here goes over them. */
export function stamp(doc: Doc, notes: Notes): Stamp {
  if (!isStamped(doc)) {
    for (const field of [epoch, version, pendingAt]) {
      if (Object.hasOwn(doc, field) && doc[field] !== null) clean(notes, field, 'foreign-stamp');
    }
  }
  return stampOf(doc);
}

/** What the field holds, by `reader`; null when it is absent or unreadable (then noted). */
export function read<T>(doc: Doc, field: Field, notes: Notes, reader: (value: unknown) => Read<T>): T | null {
  const found = firstOf(doc, field.paths);
  if (found === null) return null;
  const result = reader(found.value);
  if (found.path !== field.paths[0]) clean(notes, field.name, 'other-field');
  if ('unusable' in result) {
    clean(notes, field.name, result.unusable);
    return null;
  }
  clean(notes, field.name, ...result.reasons);
  return result.value;
}

/** As `read`, but the record cannot be without it. */
export function need<T>(
  doc: Doc,
  field: Field,
  notes: Notes,
  reader: (value: unknown) => Read<T>,
  standIn: T,
): T {
  const found = firstOf(doc, field.paths);
  if (found === null) return reject(notes, field.name, 'missing', standIn);
  const result = reader(found.value);
  if (found.path !== field.paths[0]) clean(notes, field.name, 'other-field');
  if ('unusable' in result) return reject(notes, field.name, result.unusable, standIn);
  clean(notes, field.name, ...result.reasons);
  return result.value;
}

export const text = (doc: Doc, field: Field, notes: Notes): string | null =>
  read(doc, field, notes, readText);
export const date = (doc: Doc, field: Field, notes: Notes): Date | null =>
  read(doc, field, notes, (value) => readDate(value, isStamped(doc) ? field.as : 'date'));
export const count = (doc: Doc, field: Field, notes: Notes): number =>
  read(doc, field, notes, readCount) ?? 0;

const HEX24 = /^[0-9a-f]{24}$/;

const BARE: ReadonlySet<string> = new Set(['_id', '__v', ...KEY_FIELDS]);

/** The id from `_id`; the document is bad without one. */
export function idOf(doc: Doc, notes: Notes): string {
  if (!Object.hasOwn(doc, '_id') || doc['_id'] === undefined) return reject(notes, '_id', 'missing', '');
  if (Object.keys(doc).every((field) => BARE.has(field))) reject(notes, '_id', 'stub', '');
  // What cannot be read exactly can name another document as well.
  if (typeof doc['_id'] === 'string' && doc['_id'].includes('\ufffd'))
    return reject(notes, '_id', 'invalid-utf8', '');
  // A reference to it by the same text would be taken for an ObjectId's: see `text-id` in docs/mapping.md.
  if (typeof doc['_id'] === 'string' && HEX24.test(doc['_id'])) clean(notes, '_id', 'digits-as-id');
  try {
    return encodeId(doc['_id']);
  } catch {
    return reject(notes, '_id', 'unreadable', '');
  }
}

/** When the ObjectId was made; null for other ids. */
function dateOfId(doc: Doc): Date | null {
  const id = doc['_id'];
  return bsonType(id) === 'ObjectId' ? (id as { getTimestamp(): Date }).getTimestamp() : null;
}

/** When it was created: the field, else its ObjectId, else what the caller knows. */
export function createdAt(doc: Doc, field: Field, notes: Notes, otherwise: Date | null): Date {
  const own = date(doc, field, notes);
  if (own !== null) return own;
  clean(notes, field.name, 'derived');
  return dateOfId(doc) ?? otherwise ?? new Date(0);
}

/** The id of the document referred to. Old services wrote ObjectIds, their digits, or a whole populated document. */
export function reference(
  doc: Doc,
  field: Field & { readonly isText?: boolean; readonly isTextId?: boolean },
  notes: Notes,
): string {
  const isExact = isStamped(doc) && field.isText !== true;
  const reader = isExact ? readExactId : field.isTextId === true ? readTextId : readReference;
  return need(doc, field, notes, reader, '');
}

const readTextId = (value: unknown): Read<string> =>
  typeof value === 'string' && value !== '' ? readExactId(value) : readReference(value);

function readExactId(value: unknown): Read<string> {
  try {
    return { value: encodeId(value), reasons: [] };
  } catch {
    return { unusable: 'unreadable' };
  }
}

const REFERENCE_IN_DOC = ['_id', '$id', '$oid', 'id'].map(pathOf);
const OID = pathOf('$oid');
/** As a shell, or Node, prints an ObjectId. */
const PRINTED_ID = /^(?:new )?ObjectId\((["'])([0-9a-f]{24})\1\)$/i;

function readReference(value: unknown): Read<string> {
  if (typeof value === 'string') {
    const text = value.trim();
    const digits = (PRINTED_ID.exec(text)?.[2] ?? text).toLowerCase();
    if (/^[0-9a-f]{24}$/.test(digits)) return { value: digits, reasons: ['reference-as-text'] };
    return value === '' ? { unusable: 'empty' } : readExactId(value);
  }
  if (bsonType(value) === 'DBRef') return converted(readReference((value as { readonly oid: unknown }).oid));
  if (isDoc(value)) {
    const inner = firstOf(value, REFERENCE_IN_DOC);
    if (inner === null) return { unusable: 'not-a-scalar' };
    const digits = isDoc(inner.value) ? at(inner.value, OID) : inner.value;
    return digits === undefined || isDoc(digits)
      ? { unusable: 'not-a-scalar' }
      : converted(readReference(digits));
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
