/**
 * The one way from a stored document, legacy shapes included, to the canonical record, and back. Every reader of
 * MongoDB goes through it: the repository, the copy, the comparison.
 */

import type { Doc } from './bson.ts';
import type { Canonical } from './canonical/findings.ts';
import { canonicalSession } from './canonical/session.ts';
import { canonicalResetToken, canonicalVerificationToken } from './canonical/token.ts';
import { canonicalUser } from './canonical/user.ts';
import type { Entity, RecordOf } from './records.ts';

export type { Doc } from './bson.ts';
export { toDocument } from './canonical/documents.ts';
export { SESSION_FIELDS, STORE_FIELDS, TOKEN_FIELDS, USER_FIELDS } from './canonical/fields.ts';
export { type Canonical, type Finding, REASONS, type Reason } from './canonical/findings.ts';
export { canonicalSession } from './canonical/session.ts';
export { canonicalResetToken, canonicalVerificationToken, HASHED } from './canonical/token.ts';
export { canonicalUser } from './canonical/user.ts';

export const CANONICAL: { readonly [E in Entity]: (doc: Doc) => Canonical<RecordOf[E]> } = {
  user: canonicalUser,
  verificationToken: canonicalVerificationToken,
  resetToken: canonicalResetToken,
  session: canonicalSession,
};
