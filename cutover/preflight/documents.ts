/** A dry classification: what a copy would clean, refuse or leave, without a word to the other store. */
import { createHash } from 'node:crypto';
import type { Codec } from '../../db/canonical.ts';
import { emailKey } from '../../db/email.ts';
import { decodeDocument, recordIdOf } from '../../db/mongo/copy/client.ts';
import type { MongoSession } from '../../db/mongo/snapshot/client.ts';
import { countDocuments, readDocuments } from '../../db/mongo/snapshot/inspect.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import { classify, countsOf, createCounts } from '../copy/classify.ts';
import type { BadLine, Documents } from './types.ts';

const EXAMPLES_MAX = 20;

export interface Dry {
  readonly documents: readonly Documents[];
  readonly read: number;
}

/** `sample` null: every document, read once, never more than a batch of them in memory. */
export async function classifyDocuments(
  session: MongoSession,
  { codec, sample, expiredBefore, signal }: DryOptions,
): Promise<Dry> {
  const documents: Documents[] = [];
  for (const entity of ENTITIES) {
    documents.push(
      await classifyEntity(session, entity, { codec, sample, expiredBefore, ...(signal && { signal }) }),
    );
  }
  return { documents, read: documents.reduce((sum, each) => sum + each.read, 0) };
}

interface DryOptions {
  readonly codec: Codec;
  readonly sample: number | null;
  readonly expiredBefore: Date;
  readonly signal?: AbortSignal;
}

async function classifyEntity(
  session: MongoSession,
  entity: Entity,
  { codec, sample, expiredBefore, signal }: DryOptions,
): Promise<Documents> {
  const collection = codec.collections[entity];
  const counts = createCounts();
  const examples: BadLine[] = [];
  const keys = sample === null && entity === 'user' ? createKeys() : null;
  const tally = { read: 0, expired: 0, bad: 0 };
  for await (const batch of readDocuments(session, collection, sample)) {
    signal?.throwIfAborted();
    for (const bytes of batch) {
      tally.read += 1;
      const doc = decodeDocument(bytes);
      const result = classify(codec, entity, doc, expiredBefore, counts);
      if (result.kind === 'expired') tally.expired += 1;
      if (
        result.kind === 'good' &&
        keys !== null &&
        'email' in result.record &&
        result.record.email !== null
      ) {
        keys.add(emailKey(result.record.email));
      }
      if (result.kind !== 'bad') continue;
      tally.bad += 1;
      const id = recordIdOf(doc, `${entity}-${tally.read}`);
      for (const { field, reason } of result.flaws) {
        if (examples.length < EXAMPLES_MAX) examples.push({ id, field, reason });
      }
    }
  }
  const all = counts.toJson();
  return {
    entity,
    collection,
    total: sample === null ? tally.read : await countDocuments(session, collection),
    ...tally,
    cleaned: countsOf(all, `clean:${entity}.`),
    unknownFields: countsOf(all, `unknown:${entity}.`),
    examples,
    duplicates: keys?.shared() ?? null,
  };
}

const FIRST_SIZE = 1_024;

/** Which keys came more than once, at eight bytes each. */
function createKeys() {
  let keys = new BigUint64Array(FIRST_SIZE);
  let length = 0;
  return {
    add(key: string): void {
      if (length === keys.length) {
        const grown = new BigUint64Array(keys.length * 2);
        grown.set(keys);
        keys = grown;
      }
      keys[length] = createHash('sha256').update(key).digest().readBigUInt64LE();
      length += 1;
    },
    /** How many keys are like an earlier one. */
    shared(): number {
      const sorted = keys.subarray(0, length).sort();
      return sorted.reduce((sum, key, at) => sum + (at > 0 && key === sorted[at - 1] ? 1 : 0), 0);
    },
  };
}
