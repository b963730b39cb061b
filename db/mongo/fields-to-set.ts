/** Which fields of a document have to be written so that it means a given record. */
import { isSame } from '../apply.ts';
import { CANONICAL, type Doc, toDocument } from '../canonical.ts';
import { encodeId } from '../ids.ts';
import type { Entity, RecordOf } from '../records.ts';
import type { StoredDoc } from './models.ts';

/** Setting one field can change what another, absent one is derived from. */
const PASSES_MAX = 4;

/** Of a document that means no record every field is written, but for a password that is to stay refused. */
const NOTHING_READ: Doc = { password: '' };

/**
 * The fields that do not mean the record yet, read as a document of ours: a stamp alone would make a legacy shape be
 * read differently.
 */
export function fieldsToSet<E extends Entity>(entity: E, doc: StoredDoc, record: RecordOf[E]): Doc {
  const want = toDocument(entity, record);
  let set: Doc = {};
  for (let pass = 0; pass < PASSES_MAX; pass += 1) {
    const read = CANONICAL[entity]({ ...doc, ...set, ...record.stamp });
    const before: Doc = 'record' in read ? toDocument(entity, read.record) : NOTHING_READ;
    const changed = Object.entries(want).filter(
      ([field, value]) =>
        field !== '_id' && !isSameValue(before[field], value) && !isSameValue(set[field], value),
    );
    if (changed.length === 0) break;
    set = { ...set, ...Object.fromEntries(changed) };
  }
  return set;
}

/** References are objects of the driver, which compare by their text. */
function isSameValue(a: unknown, b: unknown): boolean {
  return isSame(a, b) || (isReference(a) && isReference(b) && encodeId(a) === encodeId(b));
}

function isReference(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !(value instanceof Date);
}
