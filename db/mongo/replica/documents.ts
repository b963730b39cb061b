/** From a stored document, whatever shape it has, to the update that makes it mean a given record. */
import {
  assignments,
  at,
  type Codec,
  type Doc,
  type Path,
  pathOf,
  STORE_FIELDS,
  type Written,
} from '../../canonical.ts';
import { encodeId } from '../../ids.ts';
import type { Entity, RecordOf, Stamp, UserRecord } from '../../records.ts';
import { fieldsToSet } from '../fields-to-set.ts';
import { guard, guarded, STAMP } from '../guard.ts';
import { settingWithMark } from '../mark.ts';
import type { StoredDoc } from '../models.ts';
import { bareDocument } from '../writes.ts';
import type { BulkOperation } from './bulk.ts';

const { emailKey: KEY, emailKeyDuplicate: DUPLICATE, pendingAt: PENDING_AT } = STORE_FIELDS;

/** No reader sees it, an index on the address does: see `releaseUpdate`. */
const RELEASED = '\u2060';

export interface Update {
  readonly filter: Doc;
  readonly update: Doc;
}

/** Writes the record over the document, if that is still as it was read. What we do not own, or could not read, stays. */
export function applyOver<E extends Entity>(
  codec: Codec,
  entity: E,
  doc: StoredDoc,
  record: RecordOf[E],
): BulkOperation {
  // A tombstone also overwrites what was read as nothing, such as a clear-text password.
  if (isTombstone(entity, record)) {
    const { replacement, paths } = bareDocument(codec, entity, record, null);
    return { replaceOne: { filter: filterFor(codec, entity, doc, paths), replacement } };
  }
  const changed = fieldsToSet(codec, entity, doc, record);
  const forced = entity === 'user' && isReleased(codec, doc) ? [emailPath(codec).text, KEY] : [];
  const all = withForced(codec.write(entity, record), changed, forced);
  const set = assignments(doc, all);
  const unset = [
    PENDING_AT,
    ...(KEY in set ? [DUPLICATE] : []),
    // A mark only ever comes with a new stamp, which the filter would not match.
  ].filter((field) => Object.hasOwn(doc, field));
  return {
    updateOne: {
      filter: filterFor(
        codec,
        entity,
        doc,
        all.map(({ path }) => path),
      ),
      update: {
        $set: { ...set, ...record.stamp },
        ...(unset.length === 0 ? {} : { $unset: Object.fromEntries(unset.map((field) => [field, ''])) }),
      },
    },
  };
}

/** Raises the stamp of a document that goes on meaning the same record, and marks it. */
export function touchUpdate<E extends Entity>(
  codec: Codec,
  entity: E,
  doc: StoredDoc,
  record: RecordOf[E],
  to: Stamp,
): Update {
  const changed = fieldsToSet(codec, entity, doc, { ...record, stamp: to });
  return {
    filter: filterFor(
      codec,
      entity,
      doc,
      changed.map(({ path }) => path),
    ),
    update: settingWithMark(doc, { ...assignments(doc, changed), ...to }, true),
  };
}

/**
 * Frees the key. The address stays readable, but no longer is the same text: an old unique index on it would still
 * refuse the next holder. Null when it is free. `user` is null for a document that means none: only its address is in the way.
 */
export function releaseUpdate(codec: Codec, doc: StoredDoc, user: UserRecord | null): Update | null {
  if (isReleased(codec, doc)) return null;
  const path = emailPath(codec);
  const email = at(doc, path);
  if (user === null ? typeof email !== 'string' : user.emailKey === null) return null;
  return {
    filter: filterFor(codec, 'user', doc, [path, pathOf(KEY)]),
    update: {
      $set: {
        ...(typeof email === 'string' ? { [path.text]: email + RELEASED } : {}),
        [KEY]: false,
        ...(user === null ? {} : { [DUPLICATE]: user.emailKey }),
      },
    },
  };
}

/** Holds only while stamp, and what these fields were read from, are as they were. */
export function filterFor(codec: Codec, entity: Entity, doc: StoredDoc, paths: readonly Path[]): Doc {
  return { _id: { $eq: doc._id }, ...guard(doc, [...STAMP, ...guarded(codec, entity, paths)]) };
}

/** The id of a document; null for one that has none of ours. */
export function idOf(doc: StoredDoc): string | null {
  try {
    return encodeId(doc._id);
  } catch {
    return null;
  }
}

const emailPath = (codec: Codec): Path => codec.path('user', 'email');

function withForced(
  all: readonly Written[],
  changed: readonly Written[],
  forced: readonly string[],
): readonly Written[] {
  const missing = forced.filter((text) => !changed.some(({ path }) => path.text === text));
  return [...changed, ...all.filter(({ path }) => missing.includes(path.text))];
}

function isTombstone<E extends Entity>(entity: E, record: RecordOf[E]): boolean {
  return entity === 'user' && 'deletedAt' in record && record.deletedAt !== null;
}

function isReleased(codec: Codec, doc: Doc): boolean {
  const email = at(doc, emailPath(codec));
  return doc[KEY] === false && typeof email === 'string' && email.endsWith(RELEASED);
}
