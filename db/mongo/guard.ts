/**
 * An instance of the old service may write beside us without raising versions. So a write also names what it read in
 * each field it changes, raw, and in the variants that field could have been read from.
 */
import { at, type Codec, type Doc, type Path, pathOf, STORE_FIELDS } from '../canonical.ts';
import type { Entity } from '../records.ts';

export const STAMP: readonly Path[] = [pathOf(STORE_FIELDS.version), pathOf(STORE_FIELDS.epoch)];

/** The places that decide what was read where these are written. */
export function guarded(codec: Codec, entity: Entity, paths: readonly Path[]): readonly Path[] {
  return paths.flatMap((path) => codec.sources(entity, path));
}

/** A filter that holds only while these places are as they were read. */
export function guard(doc: Doc, paths: readonly Path[]): Doc {
  const read = paths.map((path) => ({ path, value: at(doc, path) }));
  return Object.fromEntries(
    read
      .filter(({ path, value }) => isComparable(value) && !isUndefined(doc, path, value))
      .map(({ path, value }) => [path.text, value === undefined ? { $exists: false } : { $eq: value }]),
  );
}

/** BSON's own `undefined`, of old shells: it is there, and equals nothing that a driver can send. */
function isUndefined(doc: Doc, { steps, top }: Path, value: unknown): boolean {
  if (value !== undefined) return false;
  const holder = steps.length === 1 ? doc : at(doc, { text: '', steps: steps.slice(0, -1), top });
  return typeof holder === 'object' && holder !== null && Object.hasOwn(holder, steps.at(-1) ?? '');
}

/**
 * Text that was broken UTF-8 reads as U+FFFD, and a date outside of JavaScript's as none, which the driver would send as that of
 * 1970: neither would ever match what is stored.
 */
function isComparable(value: unknown): boolean {
  if (value instanceof Date) return !Number.isNaN(value.getTime());
  return typeof value !== 'string' || !value.includes('\ufffd');
}
