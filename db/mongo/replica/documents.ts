/** From a stored document, whatever shape it has, to the update that makes it mean a given record. */
import { type Doc, STORE_FIELDS, toDocument } from '../../canonical.ts';
import { decodeId, encodeId } from '../../ids.ts';
import type { Entity, RecordOf, Stamp, UserRecord } from '../../records.ts';
import { fieldsToSet } from '../fields-to-set.ts';
import { guard, guardedFields } from '../guard.ts';
import type { StoredDoc } from '../models.ts';
import { bareFields, foreignFields } from '../writes.ts';

const { emailKey: KEY, emailKeyDuplicate: DUPLICATE, pendingAt: PENDING_AT } = STORE_FIELDS;

/** No reader sees it, an index on the address does: see `releaseUpdate`. */
const RELEASED = '\u2060';

export interface Update {
  readonly filter: Doc;
  readonly update: Doc;
}

/** Writes the record over the document, if that is still as it was read. What we do not own, or could not read, stays. */
export function applyUpdate<E extends Entity>(entity: E, doc: StoredDoc, record: RecordOf[E]): Update {
  const set: Record<string, unknown> = { ...fieldsToSet(entity, doc, record) };
  const want = toDocument(entity, record);
  for (const field of forcedFields(entity, doc, record)) set[field] = want[field];
  const unset = [
    PENDING_AT,
    ...(KEY in set ? [DUPLICATE] : []),
    ...(isTombstone(entity, record) ? foreignFields(doc, entity, record) : []),
    // A mark only ever comes with a new stamp, which the filter would not match.
  ].filter((field) => Object.hasOwn(doc, field));
  return {
    filter: filterFor(entity, doc, Object.keys(set)),
    update: {
      $set: { ...set, ...record.stamp },
      ...(unset.length === 0 ? {} : { $unset: Object.fromEntries(unset.map((field) => [field, ''])) }),
    },
  };
}

/** Raises the stamp of a document that goes on meaning the same record, and marks it. */
export function touchUpdate<E extends Entity>(
  entity: E,
  doc: StoredDoc,
  record: RecordOf[E],
  to: Stamp,
): Update {
  const set = fieldsToSet(entity, doc, { ...record, stamp: to });
  return {
    filter: filterFor(entity, doc, Object.keys(set)),
    update: { $set: { ...set, ...to }, $min: { [PENDING_AT]: new Date() } },
  };
}

/**
 * Frees the key. The address stays readable, but no longer is the same text: an old unique index on it would still
 * refuse the next holder. Null when it is free.
 */
export function releaseUpdate(doc: StoredDoc, user: UserRecord): Update | null {
  if (user.emailKey === null || isReleased(doc)) return null;
  const { email } = doc;
  return {
    filter: filterFor('user', doc, ['email', KEY]),
    update: {
      $set: {
        ...(typeof email === 'string' ? { email: email + RELEASED } : {}),
        [KEY]: false,
        [DUPLICATE]: user.emailKey,
      },
    },
  };
}

/** The stamp of a document that cannot be read otherwise. */
export function stampOf(doc: Doc): Stamp {
  const number = (value: unknown) => (typeof value === 'number' && value > 0 ? value : 0);
  return { epoch: number(doc[STORE_FIELDS.epoch]), version: number(doc[STORE_FIELDS.version]) };
}

/** Holds only while stamp, and what these fields were read from, are as they were. */
export function filterFor(entity: Entity, doc: StoredDoc, fields: readonly string[]): Doc {
  const { version, epoch } = STORE_FIELDS;
  return { _id: { $eq: doc._id }, ...guard(doc, [version, epoch, ...guardedFields(entity, fields)]) };
}

/** The `_id`s of these ids; what is no id names no document. */
export function decodeIds(ids: readonly string[]): readonly unknown[] {
  return ids.map(decodeId).filter((id) => id !== undefined);
}

/** The id of a document; null for one that has none of ours. */
export function idOf(doc: StoredDoc): string | null {
  try {
    return encodeId(doc._id);
  } catch {
    return null;
  }
}

function forcedFields<E extends Entity>(entity: E, doc: StoredDoc, record: RecordOf[E]): readonly string[] {
  // A tombstone also overwrites what was read as nothing, such as a clear-text password.
  if (isTombstone(entity, record)) return bareFields(doc, entity, record);
  return entity === 'user' && isReleased(doc) ? ['email', KEY] : [];
}

function isTombstone<E extends Entity>(entity: E, record: RecordOf[E]): boolean {
  return entity === 'user' && 'deletedAt' in record && record.deletedAt !== null;
}

function isReleased(doc: Doc): boolean {
  const { email } = doc;
  return doc[KEY] === false && typeof email === 'string' && email.endsWith(RELEASED);
}
