import type { Kyselify } from 'drizzle-orm/kysely';
import type { Selectable } from 'kysely';
import type { Entity } from '../records.ts';
import type { passwordResetTokens, rateLimits, sessions, users, verificationTokens } from './schema.ts';

/**
 * Kysely's types, derived from the Drizzle tables. Kysely bypasses Drizzle's run-time mapping, so a derived type is
 * true only for columns that `pg` itself returns as declared: text, integer, double precision, boolean, and
 * timestamptz as a Date. A test reads every column back; `bigint`, `numeric` and `json` would need a type of their own.
 */
export interface Database {
  users: Kyselify<typeof users>;
  verification_tokens: Kyselify<typeof verificationTokens>;
  password_reset_tokens: Kyselify<typeof passwordResetTokens>;
  sessions: Kyselify<typeof sessions>;
  rate_limits: Kyselify<typeof rateLimits>;
}

export type Row<T extends keyof Database> = Selectable<Database[T]>;

export const TABLES = {
  user: 'users',
  verificationToken: 'verification_tokens',
  resetToken: 'password_reset_tokens',
  session: 'sessions',
} as const satisfies Record<Entity, keyof Database>;
