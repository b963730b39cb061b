import type { Doc } from '../../canonical.ts';
import type { Entity } from '../../records.ts';
import { takeAll, takeBuffered } from '../buffered.ts';
import { type MongoBulk, packValue } from './client.ts';
import { type IdRange, mayCutAfter, type Query, queriesOf } from './ranges.ts';
import { isNameless, type RawDocument, toRaw } from './raw-document.ts';

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
 * way while this one is worked on. Each is bounded in time by the socket: a server counts `maxTimeMS` over all of them.
 */
export async function* scanRange(
  bulk: MongoBulk,
  entity: Entity,
  range: IdRange,
  options: ScanOptions,
): AsyncGenerator<Batch> {
  for (const query of queriesOf(range)) yield* scanQuery(bulk, entity, range, query, options);
}

async function* scanQuery(
  bulk: MongoBulk,
  entity: Entity,
  range: IdRange,
  { filter, bounds }: Query,
  { batchMax, where }: ScanOptions,
): AsyncGenerator<Batch> {
  const isBounded = Object.keys(bounds).length > 0;
  const cursor = bulk.collection(entity).find((where ? { $and: [filter, where] } : filter) as never, {
    sort: { _id: 1 },
    // What else must hold may have an index of its own.
    ...((where === undefined || isBounded) && { hint: { _id: 1 } }),
    ...bounds,
    batchSize: batchMax,
    raw: true,
    noCursorTimeout: false,
  });
  let ahead = cursor.hasNext();
  // The lower bound is the last document of what was before.
  let isFirst = 'min' in bounds;
  try {
    let documents: RawDocument[] = [];
    while (await ahead) {
      const taken = takeBuffered(cursor, batchMax - documents.length).map(toRaw);
      const [first] = taken;
      if (isFirst && first !== undefined && packedId(first) === range.after) taken.shift();
      isFirst = false;
      documents.push(...taken);
      ahead = cursor.hasNext();
      // Whoever asks for the next batch learns of the failure; nobody may.
      ahead.catch(() => {});
      if (documents.length < batchMax) continue;
      yield { documents, cut: cutAfter(range, documents) };
      documents = [];
    }
    if (documents.length > 0) yield { documents, cut: cutAfter(range, documents) };
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
  const options = { raw: true, maxTimeMS: bulk.timeoutMs } as const;
  const cursor = bulk.collection(entity).find({ _id: { $in: [..._ids] } } as never, options);
  return (await takeAll(cursor)).map(toRaw);
}

function cutAfter(range: IdRange, documents: readonly RawDocument[]): string | null {
  const last = documents.at(-1);
  return last === undefined || !mayCutAfter(range, last.doc?.['_id']) ? null : packedId(last);
}

/** Null: an `_id` that the driver would write otherwise stands in another place. */
const packedId = ({ doc, id }: RawDocument): string | null =>
  doc === null || isNameless(id) ? null : packValue(doc['_id']);
