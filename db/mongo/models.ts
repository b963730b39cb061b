/**
 * The collections as mongoose models. Fields whose type varies between legacy documents are `Mixed`, so that no cast
 * ever alters or refuses what the old service stored; the canonical function is what reads them.
 */
import mongoose, { type Connection, type Model } from 'mongoose';
import type { Doc } from '../canonical.ts';
import { SESSION_FIELDS, STORE_FIELDS, TOKEN_FIELDS, USER_FIELDS } from '../canonical.ts';
import { ENTITIES, type Entity } from '../records.ts';

export const COLLECTIONS: Readonly<Record<Entity, string>> = {
  user: 'users',
  verificationToken: 'verification_tokens',
  resetToken: 'password_reset_tokens',
  session: 'sessions',
};

export const LIMITS_COLLECTION = 'limits';
/** Ids of users whose erasure has begun and whose sessions may not all have been scrubbed yet. */
export const ERASURES_COLLECTION = 'erasures';

const FIELDS: Readonly<Record<Entity, readonly string[]>> = {
  user: Object.values(USER_FIELDS).map(([own]) => own),
  verificationToken: Object.values(TOKEN_FIELDS).map(([own]) => own),
  resetToken: Object.values(TOKEN_FIELDS).map(([own]) => own),
  session: SESSION_FIELDS,
};

/** A document of any `_id` type. */
export type StoredDoc = Doc & { readonly _id: unknown };
export type Models = { readonly [E in Entity]: Model<StoredDoc> };

/** Defines the models on a connection of our own; mongoose's global one is never touched. */
export function defineModels(connection: Connection): Models {
  const models = ENTITIES.map((entity) => {
    const { Mixed } = mongoose.Schema.Types;
    const fields = ['_id', ...FIELDS[entity], ...Object.values(STORE_FIELDS)];
    const schema = new mongoose.Schema<StoredDoc>(Object.fromEntries(fields.map((field) => [field, Mixed])), {
      collection: COLLECTIONS[entity],
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
