/**
 * The mapping without a file: the old service's own names first, which are the ones we write, then variants seen in the
 * wild, read in this order when it is absent.
 */
import type { Condition, Mapping, TokenMapping } from './mapping.ts';

const when = (path: string, given: Partial<Condition>): Condition => ({
  path,
  is: 'in',
  values: [],
  ifVerified: false,
  isGuess: true,
  unless: [],
  write: false,
  otherwise: null,
  ...given,
});

/** `used`, `isUsed`, `is_used`. */
const yesOrNo = (word: string): readonly string[] => [
  word,
  `is${word.charAt(0).toUpperCase()}${word.slice(1)}`,
  `is_${word}`,
];
const sinceWhen = (word: string): readonly string[] => [`${word}At`, `${word}_at`];
const flag = (word: string): readonly string[] => [...yesOrNo(word), ...sinceWhen(word)];

const USED: readonly Condition[] = [
  ...['used', 'consumed', 'redeemed', 'revoked', 'invalidated', 'deleted']
    .flatMap(flag)
    .map((path) => when(path, { is: 'truthy' })),
  ...['active', 'valid'].flatMap(yesOrNo).map((path) => when(path, { is: 'falsy' })),
  when('status', { values: ['used', 'consumed', 'redeemed', 'revoked', 'expired', 'invalid', 'cancelled'] }),
];

const TOKEN: TokenMapping = {
  userId: { from: ['userId', 'user_id', 'user', 'owner'], as: 'id' },
  token: ['token'],
  createdAt: { from: ['createdAt', 'created_at', 'created'], as: 'date' },
  expiresAt: { from: ['expiresAt', 'expires_at', 'expireAt', 'expires', 'expiry'], as: 'date' },
  used: USED,
};

const ACTIVE = yesOrNo('active');

const VERIFIED = [
  'isVerified',
  'verified',
  'is_verified',
  'emailVerified',
  'isEmailVerified',
  'is_email_verified',
  'email_verified',
  'verifiedAt',
  'verified_at',
  'emailVerifiedAt',
  'email_verified_at',
  'confirmedAt',
  'confirmed_at',
  'confirmed',
  'emails.0.verified',
  // Last: where any of the others is there, these say whether the account is in use.
  ...ACTIVE,
  'status',
];

const LOCKED_OUT = [
  'banned',
  'blocked',
  'suspended',
  'disabled',
  'deactivated',
  'locked',
  'closed',
  'archived',
];
const LOCKED_OUT_FLAGS: readonly Condition[] = [
  ...['banned', 'blocked', 'suspended', 'disabled', 'deactivated', 'locked'].flatMap((word) => [
    ...yesOrNo(word).map((path) => when(path, { is: 'truthy' })),
    // Of a lock that was lifted since, the time may have been left.
    ...sinceWhen(word).map((path) => when(path, { is: 'truthy', unless: yesOrNo(word) })),
  ]),
  // Unlike `active`, it is seldom said of an account that only waits for its address to be confirmed.
  ...yesOrNo('enabled').map((path) => when(path, { is: 'falsy' })),
];

export const DEFAULT_MAPPING: Mapping = {
  collections: {
    user: 'users',
    verificationToken: 'verification_tokens',
    resetToken: 'password_reset_tokens',
    session: 'sessions',
  },
  user: {
    email: ['email', 'emailAddress', 'email_address', 'mail', 'emails.0.address', 'emails.0.value'],
    name: ['name', 'fullName', 'full_name', 'displayName', 'username', 'profile.name'],
    nameParts: [],
    passwordHash: ['password', 'passwordHash', 'password_hash', 'hashedPassword'],
    isVerified: {
      from: VERIFIED.map((path) => ({ path, not: false, in: null, write: null })),
      as: 'boolean',
    },
    createdAt: { from: ['createdAt', 'created_at', 'created', 'registeredAt'], as: 'date' },
    updatedAt: { from: ['updatedAt', 'updated_at', 'updated', 'modifiedAt'], as: 'date' },
    deletedAt: { from: ['deletedAt', 'deleted_at', 'isDeleted', 'is_deleted', 'deleted'], as: 'date' },
    deleted: [when('status', { values: ['deleted', 'removed'] })],
    lockedOut: [
      when('status', { values: LOCKED_OUT }),
      when('status', { values: ['inactive'], ifVerified: true }),
      ...LOCKED_OUT_FLAGS,
      ...ACTIVE.map((path) => when(path, { is: 'falsy', ifVerified: true })),
    ],
    lastLoginAt: [
      ...['lastLoginAt', 'last_login_at', 'lastLogin', 'last_login'],
      ...['lastSignInAt', 'last_sign_in_at', 'current_sign_in_at'],
    ],
  },
  verificationToken: TOKEN,
  resetToken: TOKEN,
};
