/**
 * Where each field of a record is found in a document. The first name is the old service's, and the one we write;
 * the others are variants seen in the wild, read in this order when it is absent. A dot goes into a document or array.
 */
type Names = readonly [own: string, ...variants: readonly string[]];

export const USER_FIELDS = {
  email: ['email', 'emailAddress', 'email_address', 'mail', 'emails.0.address', 'emails.0.value'],
  name: ['name', 'fullName', 'full_name', 'displayName', 'username', 'profile.name'],
  passwordHash: ['password', 'passwordHash', 'password_hash', 'hashedPassword', 'services.password.bcrypt'],
  isVerified: [
    'isVerified',
    'verified',
    'is_verified',
    'emailVerified',
    'isEmailVerified',
    'email_verified',
    'verifiedAt',
    'emailVerifiedAt',
    'confirmedAt',
    'confirmed',
    'emails.0.verified',
    // Last: where any of the others is there, these say whether the account is in use.
    'active',
    'isActive',
    'status',
  ],
  verifiedWith: ['verifiedWith'],
  sessionGeneration: ['sessionGeneration'],
  resetGeneration: ['resetGeneration'],
  createdAt: ['createdAt', 'created_at', 'created', 'registeredAt'],
  updatedAt: ['updatedAt', 'updated_at', 'updated', 'modifiedAt'],
  deletedAt: ['deletedAt', 'deleted_at', 'isDeleted', 'deleted'],
} as const satisfies Record<string, Names>;

export const TOKEN_FIELDS = {
  userId: ['userId', 'user_id', 'user', 'owner'],
  token: ['token'],
  nonce: ['nonce'],
  generation: ['generation'],
  createdAt: ['createdAt', 'created_at', 'created'],
  expiresAt: ['expiresAt', 'expires_at', 'expireAt', 'expires', 'expiry'],
  mailDueAt: ['mailDueAt'],
} as const satisfies Record<string, Names>;

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
} as const;
