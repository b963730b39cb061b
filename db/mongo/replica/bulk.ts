import mongoose from 'mongoose';
import type { Doc } from '../../canonical.ts';
import { StoreUnavailable } from '../../errors.ts';
import type { Entity } from '../../records.ts';
import type { Client } from '../client.ts';
import { isTransient } from '../errors.ts';

/** The driver's own type knows no other `_id` than an ObjectId. */
export type BulkOperation =
  | { readonly insertOne: { readonly document: Doc } }
  | { readonly updateOne: { readonly filter: Doc; readonly update: Doc } }
  | { readonly replaceOne: { readonly filter: Doc; readonly replacement: Doc } }
  | { readonly updateMany: { readonly filter: Doc; readonly update: readonly Doc[] } };

/** Why the server refused one operation. */
export interface Failure {
  readonly code: number;
  /** Of the unique index that refused. */
  readonly indexName: string | null;
}

export interface BulkResult {
  /** How many documents were found or made; 0 where any failed, since then it must be asked anyway. */
  readonly written: number;
  /** How many of those found are no longer as they were; 0 where any failed. */
  readonly modified: number;
  /** By the operation's place. */
  readonly failures: ReadonlyMap<number, Failure>;
}

/** Writes in one go, in any order. Throws `StoreUnavailable` when part of it may have been written and part not. */
export async function bulkWrite(
  client: Client,
  entity: Entity,
  operations: readonly BulkOperation[],
): Promise<BulkResult> {
  return client.write(async ({ models, maxTimeMS }) => {
    try {
      const options = { ordered: false, maxTimeMS } as const;
      const result = await models[entity].collection.bulkWrite(operations as never[], options);
      const { insertedCount, matchedCount, modifiedCount } = result;
      return { written: matchedCount + insertedCount, modified: modifiedCount, failures: new Map() };
    } catch (error) {
      if (!(error instanceof mongoose.mongo.MongoBulkWriteError)) throw error;
      return { written: 0, modified: 0, failures: failuresOf(error) };
    }
  });
}

function failuresOf(error: mongoose.mongo.MongoBulkWriteError): ReadonlyMap<number, Failure> {
  const errors = Array.isArray(error.writeErrors) ? error.writeErrors : [error.writeErrors];
  const isDurable = error.result.getWriteConcernError() === undefined;
  if (errors.length === 0 || !isDurable || errors.some(({ code }) => isTransient(Number(code)))) {
    throw new StoreUnavailable('mongo', 'unknown', 'timeout', { cause: error });
  }
  return new Map(
    errors.map(({ index, code, errmsg }) => [
      index,
      { code: Number(code), indexName: /index:\s*(?:\S*\$)?(\S+)/.exec(errmsg ?? '')?.[1] ?? null },
    ]),
  );
}
