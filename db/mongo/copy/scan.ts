import type { Doc } from '../../canonical.ts';
import type { Entity } from '../../records.ts';
import { decodeDocument, type MongoBulk, packValue, recordIdOf } from './client.ts';
import { type IdRange, mayCutAfter, rangeFilter } from './ranges.ts';

/** One document: its bytes, and what they say. */
export interface RawDocument {
  readonly bytes: Uint8Array;
  /** Null: the bytes cannot be decoded. */
  readonly doc: Doc | null;
  readonly id: string;
}

export interface Batch {
  readonly documents: readonly RawDocument[];
  /** Where a range may be cut after this batch; null: not here. */
  readonly cut: string | null;
}

export interface ScanOptions {
  /** Documents in a batch at most. */
  readonly batchMax: number;
  /** What else must hold of the documents. */
  readonly where?: Doc;
}

/**
 * Documents of a range in the order of `_id`, in batches: never more than two of them in memory. The next one is on its
 * way while this one is worked on.
 */
export async function* scanRange(
  bulk: MongoBulk,
  entity: Entity,
  range: IdRange,
  { batchMax, where }: ScanOptions,
): AsyncGenerator<Batch> {
  const filter = where === undefined ? rangeFilter(range) : { $and: [rangeFilter(range), where] };
  const cursor = bulk.collection(entity).find(filter as never, {
    sort: { _id: 1 },
    batchSize: batchMax,
    raw: true,
    noCursorTimeout: false,
    maxTimeMS: bulk.timeoutMs,
  });
  let ahead = cursor.hasNext();
  try {
    let documents: RawDocument[] = [];
    while (await ahead) {
      for (const bytes of cursor.readBufferedDocuments(batchMax - documents.length)) {
        documents.push(
          toRaw(bytes as unknown as Uint8Array, `${entity}-${range.after ?? ''}-${documents.length}`),
        );
      }
      ahead = cursor.hasNext();
      // Whoever asks for the next batch learns of the failure; nobody may.
      ahead.catch(() => {});
      if (documents.length < batchMax) continue;
      yield { documents, cut: cutAfter(documents) };
      documents = [];
    }
    if (documents.length > 0) yield { documents, cut: cutAfter(documents) };
  } finally {
    await ahead.catch(() => {});
    await cursor.close().catch(() => {});
  }
}

/** The documents with these `_id`s, as bytes. */
export async function readRaw(
  bulk: MongoBulk,
  entity: Entity,
  _ids: readonly unknown[],
): Promise<readonly RawDocument[]> {
  if (_ids.length === 0) return [];
  const found = await bulk
    .collection(entity)
    .find({ _id: { $in: [..._ids] } } as never, { raw: true, maxTimeMS: bulk.timeoutMs })
    .toArray();
  return found.map((bytes, place) => toRaw(bytes as unknown as Uint8Array, `${entity}-read-${place}`));
}

function toRaw(bytes: Uint8Array, place: string): RawDocument {
  const doc = decodeDocument(bytes);
  return { bytes, doc, id: recordIdOf(doc, place) };
}

function cutAfter(documents: readonly RawDocument[]): string | null {
  const doc = documents.at(-1)?.doc ?? null;
  if (doc === null || !mayCutAfter(doc['_id'])) return null;
  try {
    return packValue(doc['_id']);
  } catch {
    // Read, but nothing this driver could write, such as a document with a field `_bsontype`.
    return null;
  }
}
