/** Which fields of a document have to be written so that it means a given record. */
import { isSame } from '../apply.ts';
import { type Codec, type Written, withValues } from '../canonical.ts';
import { encodeId } from '../ids.ts';
import type { Entity, RecordOf } from '../records.ts';
import type { StoredDoc } from './models.ts';

/** Setting one field can change what another, absent one is derived from. */
const PASSES_MAX = 4;

/**
 * The fields that do not mean the record yet, read as a document of ours: a stamp alone would make a legacy shape be
 * read differently.
 */
export function fieldsToSet<E extends Entity>(
  codec: Codec,
  entity: E,
  doc: StoredDoc,
  record: RecordOf[E],
): readonly Written[] {
  const want = codec.write(entity, record);
  const set = new Map<string, Written>();
  for (let pass = 0; pass < PASSES_MAX; pass += 1) {
    const read = codec.read(entity, { ...withValues(doc, [...set.values()]), ...record.stamp });
    const before = 'record' in read ? plainOf(codec.write(entity, read.record)) : nothingRead(codec, entity);
    const changed = want.filter(
      ({ path: { text }, plain }) =>
        text !== '_id' &&
        !isSameValue(before.get(text), plain) &&
        !(set.has(text) && isSameValue(set.get(text)?.plain, plain)),
    );
    if (changed.length === 0) break;
    for (const field of changed) set.set(field.path.text, field);
  }
  return [...set.values()];
}

const plainOf = (fields: readonly Written[]): ReadonlyMap<string, unknown> =>
  new Map(fields.map(({ path, plain }) => [path.text, plain]));

/** Of a document that means no record every field is written, but for a password that is to stay refused. */
const nothingRead = (codec: Codec, entity: Entity): ReadonlyMap<string, unknown> =>
  new Map(entity === 'user' ? [[codec.path(entity, 'passwordHash').text, '']] : []);

/** References are objects of the driver, which compare by their text. */
function isSameValue(a: unknown, b: unknown): boolean {
  return isSame(a, b) || (isReference(a) && isReference(b) && encodeId(a) === encodeId(b));
}

function isReference(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !(value instanceof Date);
}
