/** The indexes every query of the repository relies on. */
import type mongoose from 'mongoose';
import { type Codec, STORE_FIELDS } from '../canonical.ts';
import type { Entity } from '../records.ts';
import { LIMITS_COLLECTION } from './models.ts';

export interface IndexSpec {
  readonly name: string;
  readonly key: Readonly<Record<string, 1 | -1>>;
  readonly unique?: true;
  readonly sparse?: true;
  readonly partialFilterExpression?: mongoose.mongo.Document;
}

/** Documents that were moved out of their collections. */
export const ASIDE_COLLECTION = 'cutover_aside';

export const INDEX_NAMES = { emailKey: 'auth_email_key', unkeyed: 'auth_unkeyed' } as const;

/** Every mail's time lies after this. */
export const MAIL_DUE_FROM = new Date(0);

/** Every mark is younger than this; a query that repeats the bound is sure of the index. */
export const PENDING_FROM = new Date(0);

const PENDING: IndexSpec = {
  name: 'auth_pending_at',
  key: { [STORE_FIELDS.pendingAt]: 1, _id: 1 },
  partialFilterExpression: { [STORE_FIELDS.pendingAt]: { $gt: PENDING_FROM } },
};

/** By collection. */
export type Indexes = Readonly<Record<string, readonly IndexSpec[]>>;

function mailedToken(codec: Codec, entity: Entity): readonly IndexSpec[] {
  return [
    ...codec.sources(entity, codec.path(entity, 'token')).map(({ text }, place) => ({
      name: place === 0 ? 'auth_token' : `auth_token_${place + 1}`,
      key: { [text]: 1 } as const,
    })),
    { name: 'auth_user', key: { [codec.path(entity, 'userId').text]: 1 } },
    { name: 'auth_expires', key: { [codec.path(entity, 'expiresAt').text]: 1 } },
    {
      name: 'auth_mail_due',
      key: { mailDueAt: 1 },
      // The query repeats this bound, or no planner would use the index.
      partialFilterExpression: { mailDueAt: { $gt: MAIL_DUE_FROM } },
    },
    PENDING,
  ];
}

export function indexesFor(codec: Codec): Indexes {
  const { collections } = codec;
  return {
    [collections.user]: [
      {
        name: INDEX_NAMES.emailKey,
        key: { emailKey: 1 },
        unique: true,
        partialFilterExpression: { emailKey: { $type: 'string' } },
      },
      // Not partial: it is what finds the documents without a key, and shows at no cost that there are none.
      { name: INDEX_NAMES.unkeyed, key: { emailKey: 1, _id: 1 } },
      {
        name: 'auth_email_key_duplicate',
        key: { emailKeyDuplicate: 1 },
        // Sparse, not partial by type: a planner must see that an equality never needs what is left out.
        sparse: true,
      },
      { name: 'auth_email', key: { [codec.path('user', 'email').text]: 1 } },
      PENDING,
    ],
    [collections.verificationToken]: mailedToken(codec, 'verificationToken'),
    [collections.resetToken]: mailedToken(codec, 'resetToken'),
    [collections.session]: [
      { name: 'auth_user', key: { userId: 1 } },
      { name: 'auth_expires', key: { expiresAt: 1 } },
      PENDING,
    ],
    cutover_log: [{ name: 'log_at', key: { at: 1, _id: 1 } }],
    cutover_notes: [{ name: 'notes_first_at', key: { kind: 1, firstAt: 1, key: 1 } }],
    [ASIDE_COLLECTION]: [
      { name: 'aside_moved_at', key: { movedAt: 1 } },
      { name: 'aside_record', key: { recordId: 1 } },
      { name: 'aside_owner', key: { owner: 1 } },
    ],
    [LIMITS_COLLECTION]: [{ name: 'auth_touched', key: { touchedAt: 1 } }],
  };
}
