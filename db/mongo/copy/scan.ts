import type { Doc } from '../../canonical.ts';
import type { DocumentId } from '../../ids.ts';
import type { Entity } from '../../records.ts';
import { underWay } from '../../under-way.ts';
import { takeBuffered } from '../buffered.ts';
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

/** A batch ends here as well: of large documents a thousand would not fit. One document may be larger by itself. */
const BATCH_BYTES_MAX = 2 * 1024 * 1024;

/**
 * Documents of a range in the order of `_id`, in batches: never more than two of the server's answers in memory, and of
 * them no more than a batch decoded. The next one is on its way while this one is worked on. Each is bounded in time by the
 * socket: a server counts `maxTimeMS` over all of them.
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
  let ahead = await underWay(cursor.hasNext());
  // The lower bound is the last document of what was before.
  let isFirst = 'min' in bounds;
  try {
    let documents: RawDocument[] = [];
    let bytes = 0;
    while (await ahead()) {
      const taken = takeBuffered(cursor);
      ahead = await underWay(cursor.hasNext());
      for (const each of taken) {
        const raw = toRaw(each);
        const isRepeated = isFirst && packedId(raw) === range.after;
        isFirst = false;
        if (isRepeated) continue;
        documents.push(raw);
        bytes += each.byteLength;
        if (documents.length < batchMax && bytes < BATCH_BYTES_MAX) continue;
        yield { documents, cut: cutAfter(range, documents) };
        documents = [];
        bytes = 0;
      }
    }
    if (documents.length > 0) yield { documents, cut: cutAfter(range, documents) };
  } finally {
    await ahead().catch(() => {});
    await cursor.close().catch(() => {});
  }
}

/** The documents with these `_id`s, one by one: whoever keeps none of them has only one decoded at a time. */
export async function* eachRaw(
  bulk: MongoBulk,
  entity: Entity,
  _ids: readonly DocumentId[],
): AsyncGenerator<RawDocument> {
  if (_ids.length === 0) return;
  const options = { raw: true, maxTimeMS: bulk.timeoutMs } as const;
  const cursor = bulk.collection(entity).find({ _id: { $in: [..._ids] } } as never, options);
  try {
    while (await cursor.hasNext()) for (const bytes of takeBuffered(cursor)) yield toRaw(bytes);
  } finally {
    await cursor.close().catch(() => {});
  }
}

/** The document with this `_id`, as bytes. */
export async function readRaw(bulk: MongoBulk, entity: Entity, _id: DocumentId): Promise<RawDocument | null> {
  for await (const raw of eachRaw(bulk, entity, [_id])) return raw;
  return null;
}

function cutAfter(range: IdRange, documents: readonly RawDocument[]): string | null {
  const last = documents.at(-1);
  return last === undefined || !mayCutAfter(range, last.doc?.['_id']) ? null : packedId(last);
}

/** Null: an `_id` that the driver would write otherwise stands in another place. */
const packedId = ({ doc, id }: RawDocument): string | null =>
  doc === null || isNameless(id) ? null : packValue(doc['_id']);
