/**
 * The collections as mongoose models. Fields whose type varies between legacy documents are `Mixed`, so that no cast
 * ever alters or refuses what the old service stored; the canonical function is what reads them.
 */
import mongoose, { type Connection, type Model } from 'mongoose';
import type { Codec, Doc } from '../canonical.ts';
import { ENTITIES, type Entity } from '../records.ts';

export const LIMITS_COLLECTION = 'limits';
/** Ids of users whose erasure has begun and whose sessions may not all have been scrubbed yet. */
export const ERASURES_COLLECTION = 'erasures';

/** A document of any `_id` type. */
export type StoredDoc = Doc & { readonly _id: unknown };
export type Models = { readonly [E in Entity]: Model<StoredDoc> };

/** Defines the models on a connection of our own; mongoose's global one is never touched. */
export function defineModels(connection: Connection, codec: Codec): Models {
  const models = ENTITIES.map((entity) => {
    const { Mixed } = mongoose.Schema.Types;
    const fields = codec.tops(entity).map((field) => [field, Mixed] as const);
    const schema = new mongoose.Schema<StoredDoc>(Object.fromEntries(fields), {
      collection: codec.collections[entity],
      strict: true,
      versionKey: false,
      minimize: false,
      autoIndex: false,
      autoCreate: false,
      bufferCommands: false,
    });
    return [entity, connection.model<StoredDoc>(entity, schema)] as const;
  });
  return Object.fromEntries(models) as Models;
}
