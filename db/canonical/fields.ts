/** Names of fields that are the same under every mapping. */

/** Sessions are ours alone, so each field has the record's name. */
export const SESSION_FIELDS = [
  'userId',
  'generation',
  'tokenHash',
  'previousTokenHash',
  'rotation',
  'keyId',
  'createdAt',
  'rotatedAt',
  'idleExpiresAt',
  'expiresAt',
  'revokedAt',
  'revokedReason',
  'userAgent',
] as const;

/** Fields that only the documents have: marks and keys of this store. */
export const STORE_FIELDS = {
  /** `emailKey(email)` under a unique index; `false` when the document is not to have one (see `emailKeyDuplicate`). */
  emailKey: 'emailKey',
  /** On a legacy account whose key an older one holds, differing in letter case only. */
  emailKeyDuplicate: 'emailKeyDuplicate',
  epoch: 'epoch',
  version: 'version',
  /** When the mark for the mirror was first set; absent without one. */
  pendingAt: 'pendingAt',
  /** Of a user: the session that the last change of the password was made from (`db/mongo/kept-session.ts`). */
  keptSession: 'keptSession',
} as const;

/** What the pass over e-mail keys adds to every user's document, even to one that means nothing. */
export const KEY_FIELDS: readonly string[] = [STORE_FIELDS.emailKey, STORE_FIELDS.emailKeyDuplicate];

/** Fields of a record that no old service has. */
export const ADDED_FIELDS = [
  'verifiedWith',
  'sessionGeneration',
  'resetGeneration',
  'nonce',
  'generation',
  'mailDueAt',
] as const;

/** Nothing of the old service's can be mapped to these. */
export const OWN_FIELDS: ReadonlySet<string> = new Set([
  '_id',
  '__v',
  ...Object.values(STORE_FIELDS),
  ...ADDED_FIELDS,
]);
