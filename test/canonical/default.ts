/** Readers and writers under the default mapping. */

import { ADDED_FIELDS, SESSION_FIELDS } from '../../db/canonical/fields.ts';
import type { Canonical } from '../../db/canonical.ts';
import { DEFAULT_CODEC, DEFAULT_MAPPING, type Doc } from '../../db/canonical.ts';
import type { Entity, RecordOf } from '../../db/records.ts';

const { read } = DEFAULT_CODEC;

export const canonicalUser = (doc: Doc) => read('user', doc);
export const canonicalVerificationToken = (doc: Doc) => read('verificationToken', doc);
export const canonicalResetToken = (doc: Doc) => read('resetToken', doc);
export const canonicalSession = (doc: Doc) => read('session', doc);

export const CANONICAL: { readonly [E in Entity]: (doc: Doc) => Canonical<RecordOf[E]> } = {
  user: canonicalUser,
  verificationToken: canonicalVerificationToken,
  resetToken: canonicalResetToken,
  session: canonicalSession,
};

export const toDocument = <E extends Entity>(entity: E, record: RecordOf[E]): Doc =>
  DEFAULT_CODEC.toDocument(entity, record);

const { user, resetToken } = DEFAULT_MAPPING;

/** Every name of a field that is read from a document. */
export const FIELD_NAMES: readonly string[] = [
  ...new Set([
    ...user.email,
    ...user.name,
    ...user.passwordHash,
    ...user.isVerified.from.map(({ path }) => path),
    ...[user.createdAt, user.updatedAt, user.deletedAt].flatMap(({ from }) => from),
    ...resetToken.userId.from,
    ...resetToken.token,
    ...resetToken.expiresAt.from,
    ...ADDED_FIELDS,
    ...SESSION_FIELDS,
  ]),
];
