/** Which fields of a document have to be written so that it means a given record. */
import { isSame } from '../apply.ts';
import { type Codec, STORE_FIELDS, type Written, withValues } from '../canonical.ts';
import { UnfaithfulWrite } from '../errors.ts';
import { encodeId } from '../ids.ts';
import type { Entity, RecordOf } from '../records.ts';
import type { StoredDoc } from './models.ts';

/**
 * The fields that do not mean the record yet, read as a document of ours: a stamp alone would make a legacy shape be
 * read differently. With them it is read back as the record, or nothing is to be written: throws `UnfaithfulWrite`.
 */
export function fieldsToSet<E extends Entity>(
  codec: Codec,
  entity: E,
  doc: StoredDoc,
  record: RecordOf[E],
): readonly Written[] {
  const want = codec.write(entity, record).filter(({ path: { text } }) => text !== '_id');
  const set = new Map<string, Written>();
  // Setting one field can change what another, absent one is derived from.
  for (;;) {
    const read = codec.read(entity, { ...withValues(doc, [...set.values()]), ...record.stamp });
    const before = 'record' in read ? plainOf(codec.write(entity, read.record)) : nothingRead(codec, entity);
    const differing = want.filter(({ path: { text }, plain }) => !isSameValue(before.get(text), plain));
    const changed = differing.filter(({ path: { text } }) => !set.has(text));
    if (changed.length === 0) {
      const lost = differing.map(({ path: { text } }) => text).filter((text) => !DERIVED.has(text));
      if (lost.length > 0) throw new UnfaithfulWrite(entity, record.id, lost);
      return [...set.values()];
    }
    for (const field of changed) set.set(field.path.text, field);
  }
}

/** Never read: a mirror may let the key go while the address stays (`Replica.releaseEmailKey`). */
const DERIVED: ReadonlySet<string> = new Set([STORE_FIELDS.emailKey]);

const plainOf = (fields: readonly Written[]): ReadonlyMap<string, unknown> =>
  new Map(fields.map(({ path, plain }) => [path.text, plain]));

/** Of a document that means no record every field is written, but for a password that is to stay refused. */
const nothingRead = (codec: Codec, entity: Entity): ReadonlyMap<string, unknown> =>
  new Map(entity === 'user' ? [[codec.path(entity, 'passwordHash').text, '']] : []);

/** References are objects of the driver, which compare by their text. */
function isSameValue(a: unknown, b: unknown): boolean {
  return isSame(a, b) || Object.is(a, b) || (isReference(a) && isReference(b) && encodeId(a) === encodeId(b));
}

function isReference(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !(value instanceof Date);
}
