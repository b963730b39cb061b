/** Rows as PostgreSQL returns them ↔ canonical records. */
import type {
  Entity,
  MailedToken,
  New,
  RecordOf,
  ResetTokenRecord,
  SessionRecord,
  UserRecord,
} from '../records.ts';
import type { Row, TABLES } from './database.ts';

export type RowOf<E extends Entity> = Row<(typeof TABLES)[E]>;

export const fromRow: { readonly [E in Entity]: (row: RowOf<E>) => RecordOf[E] } = {
  user: (row): UserRecord => ({
    id: row.id,
    email: row.email,
    emailKey: row.email_key,
    name: row.name,
    passwordHash: row.password_hash,
    isVerified: row.is_verified,
    verifiedWith: row.verified_with,
    sessionGeneration: row.session_generation,
    resetGeneration: row.reset_generation,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at,
    stamp: { epoch: row.epoch, version: row.version },
  }),
  verificationToken: mailedFromRow,
  resetToken: (row): ResetTokenRecord => ({ ...mailedFromRow(row), generation: row.generation }),
  session: (row): SessionRecord => ({
    id: row.id,
    userId: row.user_id,
    generation: row.generation,
    tokenHash: row.token_hash,
    previousTokenHash: row.previous_token_hash,
    rotation: row.rotation,
    keyId: row.key_id,
    createdAt: row.created_at,
    rotatedAt: row.rotated_at,
    idleExpiresAt: row.idle_expires_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    revokedReason: row.revoked_reason,
    userAgent: row.user_agent,
    stamp: { epoch: row.epoch, version: row.version },
  }),
};

function mailedFromRow(row: RowOf<'verificationToken'>): MailedToken {
  return {
    id: row.id,
    userId: row.user_id,
    tokenHash: row.token_hash,
    nonce: row.nonce,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    mailDueAt: row.mail_due_at,
    stamp: { epoch: row.epoch, version: row.version },
  };
}

type Contents<E extends Entity> = Omit<RowOf<E>, 'epoch' | 'version' | 'pending_at'>;

/** The columns of a record without its stamp. */
export const toRow: { readonly [E in Entity]: (record: New<RecordOf[E]>) => Contents<E> } = {
  user: (record) => ({
    id: record.id,
    email: record.email,
    email_key: record.emailKey,
    name: record.name,
    password_hash: record.passwordHash,
    is_verified: record.isVerified,
    verified_with: record.verifiedWith,
    session_generation: record.sessionGeneration,
    reset_generation: record.resetGeneration,
    created_at: record.createdAt,
    updated_at: record.updatedAt,
    deleted_at: record.deletedAt,
  }),
  verificationToken: mailedToRow,
  resetToken: (record) => ({ ...mailedToRow(record), generation: record.generation }),
  session: (record) => ({
    id: record.id,
    user_id: record.userId,
    generation: record.generation,
    token_hash: record.tokenHash,
    previous_token_hash: record.previousTokenHash,
    rotation: record.rotation,
    key_id: record.keyId,
    created_at: record.createdAt,
    rotated_at: record.rotatedAt,
    idle_expires_at: record.idleExpiresAt,
    expires_at: record.expiresAt,
    revoked_at: record.revokedAt,
    revoked_reason: record.revokedReason,
    user_agent: record.userAgent,
  }),
};

function mailedToRow(record: New<MailedToken>): Contents<'verificationToken'> {
  return {
    id: record.id,
    user_id: record.userId,
    token_hash: record.tokenHash,
    nonce: record.nonce,
    created_at: record.createdAt,
    expires_at: record.expiresAt,
    mail_due_at: record.mailDueAt,
  };
}
