/**
 * An instance of the old service may write beside us without raising versions. So a write also names what it read in
 * each field it changes, raw, and in the variants that field could have been read from.
 */
import { type Doc, TOKEN_FIELDS, USER_FIELDS } from '../canonical.ts';
import type { Entity } from '../records.ts';

const SOURCES: Readonly<Record<Entity, readonly (readonly string[])[]>> = {
  user: Object.values(USER_FIELDS),
  verificationToken: Object.values(TOKEN_FIELDS),
  resetToken: Object.values(TOKEN_FIELDS),
  session: [],
};

/** The top-level fields that decide what these document fields were read as. */
export function guardedFields(entity: Entity, fields: readonly string[]): readonly string[] {
  const all = fields.flatMap((field) => SOURCES[entity].find(([own]) => own === field) ?? [field]);
  return [...new Set(all.map((path) => path.split('.')[0] ?? path))];
}

/** A filter that holds only while these fields are as they were read. */
export function guard(doc: Doc, fields: readonly string[]): Doc {
  return Object.fromEntries(
    fields.filter((field) => isComparable(doc[field])).map((field) => [field, asRead(doc, field)]),
  );
}

function asRead(doc: Doc, field: string): Doc {
  return Object.hasOwn(doc, field) ? { $eq: doc[field] } : { $exists: false };
}

/** Text that was broken UTF-8 reads as U+FFFD and would never match what is stored. */
function isComparable(value: unknown): boolean {
  return typeof value !== 'string' || !value.includes('\ufffd');
}
