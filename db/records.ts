/**
 * The four entities in their canonical form: what every store must be able to hold and give back unchanged.
 * All times are whole milliseconds (MongoDB keeps no more); ids are strings that clients already know.
 */

export const ENTITIES = ['user', 'verificationToken', 'resetToken', 'session'] as const;
export type Entity = (typeof ENTITIES)[number];

/**
 * Orders all states one record has ever had, across both stores: by `epoch` (which authority wrote it), then by
 * `version` (how often it was written). One stamp names one content. A legacy document without one counts as (0, 0).
 */
export interface Stamp {
  readonly epoch: number;
  readonly version: number;
}

export interface UserRecord {
  readonly id: string;
  /** As the user spelled it; null once erased. */
  readonly email: string | null;
  /** The normalised e-mail that is unique among living users (see `emailKey`); null once erased. */
  readonly emailKey: string | null;
  /** Empty once erased. */
  readonly name: string;
  /** A bcrypt hash, prefixed when the password was pre-hashed; null when the user has no usable password. */
  readonly passwordHash: string | null;
  readonly isVerified: boolean;
  /** Id of the verification token that was used; null when not verified, or verified before this service. */
  readonly verifiedWith: string | null;
  /** A session is alive only while it remembers this very number. */
  readonly sessionGeneration: number;
  /** A reset token works only while it remembers this very number. */
  readonly resetGeneration: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** Set on a tombstone: the user was erased, the id stays taken. */
  readonly deletedAt: Date | null;
  readonly stamp: Stamp;
}

/** What both kinds of mailed token have in common. */
export interface MailedToken {
  readonly id: string;
  /** May name a user who no longer exists, or (a decoy) never did. */
  readonly userId: string;
  /** SHA-256 of the token as mailed, 64 hex digits. */
  readonly tokenHash: string;
  /** The token is a keyed function of this, so that any instance can mail it again; null on legacy tokens. */
  readonly nonce: string | null;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** When another instance may send the mail; null once sent or when none is to be sent. */
  readonly mailDueAt: Date | null;
  readonly stamp: Stamp;
}

export type VerificationTokenRecord = MailedToken;

export interface ResetTokenRecord extends MailedToken {
  /** The user's `resetGeneration` this token was made under; 0 on legacy tokens. */
  readonly generation: number;
}

export const REVOCATION_REASONS = [
  'logout',
  'ended',
  'replaced',
  'reuse',
  'limit',
  'operator',
  'erased',
] as const;
export type RevocationReason = (typeof REVOCATION_REASONS)[number];

export interface SessionRecord {
  readonly id: string;
  readonly userId: string;
  /** The user's `sessionGeneration` this session was made under. */
  readonly generation: number;
  /** SHA-256 of the current refresh token, 64 hex digits. */
  readonly tokenHash: string;
  /** The immediate predecessor's hash: inside the leeway it gets the same successor again. */
  readonly previousTokenHash: string | null;
  /** How often the refresh token was rotated. */
  readonly rotation: number;
  /** Version of the key that derives the successors, fixed for the session's life so that keys can rotate. */
  readonly keyId: string;
  readonly createdAt: Date;
  /** When the current refresh token was issued; also the last use. */
  readonly rotatedAt: Date;
  /** The session ends when it is not refreshed until then; moved on by each rotation. */
  readonly idleExpiresAt: Date;
  /** The session ends then, however busy it is. Never moves. */
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
  readonly revokedReason: RevocationReason | null;
  /** As the client sent it at login, cut to 256 characters; null when absent or erased. */
  readonly userAgent: string | null;
  readonly stamp: Stamp;
}

export interface RecordOf {
  readonly user: UserRecord;
  readonly verificationToken: VerificationTokenRecord;
  readonly resetToken: ResetTokenRecord;
  readonly session: SessionRecord;
}

/** What a copy keeps of what it wrote over once the user is erased: there was something, and nobody may bring it back. */
export const ERASED = '';

/** A record as the caller makes it: the store adds the stamp. */
export type New<T> = Omit<T, 'stamp'>;

/** Negative when `a` is older than `b`, 0 when they are the same state, positive when newer. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.epoch - b.epoch || a.version - b.version;
}
