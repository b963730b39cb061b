/** Documents as bytes, out of a cursor that is told `raw`. */
import { deserialize } from 'bson';
import type mongoose from 'mongoose';

type Cursor = mongoose.mongo.AbstractCursor;

/** Where a cursor keeps the server's last answer. */
interface Answer {
  toBytes(): Uint8Array;
  clear(): void;
}

/**
 * Takes what the cursor has at hand, `max` documents or so. The driver looks for the fields of each even so, and throws
 * where it finds none: one such document must not take its batch along.
 */
export function takeBuffered(cursor: Cursor, max = Number.POSITIVE_INFINITY): readonly Uint8Array[] {
  const waiting = cursor.bufferedCount();
  try {
    return cursor.readBufferedDocuments(max) as unknown as readonly Uint8Array[];
  } catch (error) {
    const answer: Partial<Answer> = Reflect.get(cursor, 'documents') ?? {};
    const bytes = answer.toBytes?.();
    if (bytes === undefined || answer.clear === undefined) throw error;
    const all = documentsIn(bytes);
    // Some may have been taken before.
    const left = all.slice(all.length - waiting);
    answer.clear();
    return left;
  }
}

function documentsIn(answer: Uint8Array): readonly Uint8Array[] {
  const fieldsAsRaw = { firstBatch: true, nextBatch: true };
  const { cursor } = deserialize(answer, { fieldsAsRaw, validation: { utf8: false } });
  return cursor.firstBatch ?? cursor.nextBatch;
}
