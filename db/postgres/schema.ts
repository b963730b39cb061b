/**
 * The one schema source of the PostgreSQL store: migrations are generated from it, Kysely's types derived from it.
 * Times carry milliseconds, because MongoDB keeps no more; numbers are `integer`, because `bigint` reads as a string.
 */
import type { RevocationReason } from '../records.ts';
import {
  bigint,
  boolean,
  check,
  customType,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  sql,
  text,
  timestamp,
  uniqueIndex,
} from './drizzle.ts';

/** Text in byte order: ranges over ids cut the same way here as in MongoDB, whatever the database's locale. */
const bytewise = customType<{ data: string; driverData: string }>({ dataType: () => 'text COLLATE "C"' });

const time = <N extends string>(name: N) =>
  timestamp(name, { withTimezone: true, precision: 3, mode: 'date' });

/** See `Stamp` in db/records.ts; a mark says that the mirror has not got this state yet. */
const stamped = {
  epoch: integer('epoch').notNull(),
  version: integer('version').notNull(),
  /** When the mark was first set; later writes under it leave this. */
  pendingAt: time('pending_at'),
};

export const users = pgTable(
  'users',
  {
    id: bytewise('id').primaryKey(),
    email: text('email'),
    emailKey: bytewise('email_key'),
    name: text('name').notNull(),
    passwordHash: text('password_hash'),
    isVerified: boolean('is_verified').notNull(),
    verifiedWith: bytewise('verified_with'),
    sessionGeneration: integer('session_generation').notNull(),
    resetGeneration: integer('reset_generation').notNull(),
    createdAt: time('created_at').notNull(),
    updatedAt: time('updated_at').notNull(),
    deletedAt: time('deleted_at'),
    ...stamped,
  },
  (t) => [
    uniqueIndex('users_email_key_unique').on(t.emailKey),
    index('users_pending_at').on(t.pendingAt, t.id).where(sql`${t.pendingAt} is not null`),
    check('users_id_filled', sql`${t.id} <> ''`),
    check('users_email_filled', sql`${t.email} <> '' and ${t.emailKey} <> ''`),
    check(
      'users_living_have_email',
      sql`(${t.deletedAt} is null) = (${t.email} is not null) and (${t.email} is null) = (${t.emailKey} is null)`,
    ),
    check(
      'users_tombstone_is_empty',
      sql`${t.deletedAt} is null or (${t.name} = '' and ${t.passwordHash} is null)`,
    ),
    check('users_verified_with', sql`${t.verifiedWith} is null or ${t.isVerified}`),
    check('users_generations', sql`${t.sessionGeneration} >= 0 and ${t.resetGeneration} >= 0`),
    check('users_stamp', sql`${t.epoch} >= 0 and ${t.version} >= 0`),
  ],
);

/** No foreign key to the user: a token may outlive its user's record, and a decoy never had one. */
const mailed = {
  id: bytewise('id').primaryKey(),
  userId: bytewise('user_id').notNull(),
  tokenHash: bytewise('token_hash').notNull(),
  nonce: text('nonce'),
  createdAt: time('created_at').notNull(),
  expiresAt: time('expires_at').notNull(),
  mailDueAt: time('mail_due_at'),
  ...stamped,
};

export const verificationTokens = pgTable('verification_tokens', mailed, (t) => [
  index('verification_tokens_token_hash').on(t.tokenHash),
  index('verification_tokens_expires_at').on(t.expiresAt),
  index('verification_tokens_mail_due_at').on(t.mailDueAt).where(sql`${t.mailDueAt} is not null`),
  index('verification_tokens_pending_at').on(t.pendingAt, t.id).where(sql`${t.pendingAt} is not null`),
  check('verification_tokens_ids_filled', sql`${t.id} <> '' and ${t.userId} <> ''`),
  check('verification_tokens_token_hash_hex', sql`${t.tokenHash} ~ '^[0-9a-f]{64}$'`),
  check('verification_tokens_stamp', sql`${t.epoch} >= 0 and ${t.version} >= 0`),
]);

export const passwordResetTokens = pgTable(
  'password_reset_tokens',
  { ...mailed, generation: integer('generation').notNull() },
  (t) => [
    index('password_reset_tokens_token_hash').on(t.tokenHash),
    index('password_reset_tokens_newest').on(t.userId, t.generation, t.createdAt, t.id),
    index('password_reset_tokens_expires_at').on(t.expiresAt),
    index('password_reset_tokens_mail_due_at').on(t.mailDueAt).where(sql`${t.mailDueAt} is not null`),
    index('password_reset_tokens_pending_at').on(t.pendingAt, t.id).where(sql`${t.pendingAt} is not null`),
    check('password_reset_tokens_ids_filled', sql`${t.id} <> '' and ${t.userId} <> ''`),
    check('password_reset_tokens_token_hash_hex', sql`${t.tokenHash} ~ '^[0-9a-f]{64}$'`),
    check('password_reset_tokens_generation', sql`${t.generation} >= 0`),
    check('password_reset_tokens_stamp', sql`${t.epoch} >= 0 and ${t.version} >= 0`),
  ],
);

/**
 * A rotation changes no indexed column, so PostgreSQL updates the row in place and the indexes stay small. Only where there is a
 * mirror it does, that of the mark.
 */
export const sessions = pgTable(
  'sessions',
  {
    id: bytewise('id').primaryKey(),
    userId: bytewise('user_id')
      .notNull()
      .references(() => users.id),
    generation: integer('generation').notNull(),
    tokenHash: bytewise('token_hash').notNull(),
    previousTokenHash: bytewise('previous_token_hash'),
    rotation: integer('rotation').notNull(),
    keyId: text('key_id').notNull(),
    createdAt: time('created_at').notNull(),
    rotatedAt: time('rotated_at').notNull(),
    idleExpiresAt: time('idle_expires_at').notNull(),
    expiresAt: time('expires_at').notNull(),
    revokedAt: time('revoked_at'),
    revokedReason: text('revoked_reason').$type<RevocationReason>(),
    userAgent: text('user_agent'),
    ...stamped,
  },
  (t) => [
    index('sessions_user_id').on(t.userId),
    index('sessions_unrevoked').on(t.userId).where(sql`${t.revokedAt} is null`),
    index('sessions_expires_at').on(t.expiresAt),
    index('sessions_pending_at').on(t.pendingAt, t.id).where(sql`${t.pendingAt} is not null`),
    check('sessions_ids_filled', sql`${t.id} <> '' and ${t.keyId} <> ''`),
    check(
      'sessions_token_hashes_hex',
      sql`${t.tokenHash} ~ '^[0-9a-f]{64}$' and ${t.previousTokenHash} ~ '^[0-9a-f]{64}$'`,
    ),
    check('sessions_revoked_with_reason', sql`(${t.revokedAt} is null) = (${t.revokedReason} is null)`),
    check(
      'sessions_revoked_reason_known',
      sql`${t.revokedReason} in ('logout', 'ended', 'replaced', 'reuse', 'limit', 'operator', 'erased')`,
    ),
    check('sessions_counters', sql`${t.generation} >= 0 and ${t.rotation} >= 0`),
    check('sessions_stamp', sql`${t.epoch} >= 0 and ${t.version} >= 0`),
  ],
);

/**
 * Buckets of `limits.ts`. A migration makes it UNLOGGED, which Drizzle cannot say: a crash empties it, a hit costs no
 * flush. No index but the key, so that every hit updates in place; retention may read the whole, small table.
 */
export const rateLimits = pgTable('rate_limits', {
  key: bytewise('key').primaryKey(),
  level: doublePrecision('level').notNull(),
  touchedAt: time('touched_at').notNull(),
});

/**
 * One row. Its epoch is a key, so that an apply that holds the row `for key share` keeps a change of authority waiting,
 * and no other change of the record.
 */
export const cutoverControl = pgTable(
  'cutover_control',
  {
    id: integer('id').primaryKey(),
    epoch: integer('epoch').notNull(),
    revision: integer('revision').notNull(),
    body: jsonb('body').notNull(),
  },
  (t) => [uniqueIndex('cutover_control_epoch').on(t.epoch), check('cutover_control_one', sql`${t.id} = 1`)],
);

export const cutoverLeases = pgTable('cutover_leases', {
  instance: bytewise('instance').primaryKey(),
  counter: integer('counter').notNull(),
  body: jsonb('body').notNull(),
});

export const cutoverLog = pgTable(
  'cutover_log',
  { id: bytewise('id').primaryKey(), at: time('at').notNull(), body: jsonb('body').notNull() },
  (t) => [index('cutover_log_at').on(t.at, t.id)],
);

export const cutoverNotes = pgTable(
  'cutover_notes',
  {
    kind: bytewise('kind').notNull(),
    key: bytewise('key').notNull(),
    body: jsonb('body').notNull(),
    firstAt: time('first_at').notNull(),
    lastAt: time('last_at').notNull(),
    times: integer('times').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.kind, t.key] }),
    index('cutover_notes_first_at').on(t.kind, t.firstAt, t.key),
  ],
);

/** Rows that were moved out of their table, whole, so that a person can still bring one back. */
export const cutoverAside = pgTable(
  'cutover_aside',
  {
    seq: bigint('seq', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    entity: text('entity').notNull(),
    recordId: bytewise('record_id').notNull(),
    epoch: integer('epoch').notNull(),
    version: integer('version').notNull(),
    reason: text('reason').notNull(),
    movedAt: time('moved_at').notNull(),
    body: jsonb('body').notNull(),
  },
  (t) => [
    index('cutover_aside_record').on(t.entity, t.recordId),
    index('cutover_aside_owner').on(sql`(${t.body} ->> 'user_id')`),
  ],
);

/** Runs of the bulk copy and of verify, in either direction: both stores are up while one runs. */
export const copyRuns = pgTable(
  'copy_runs',
  {
    id: bytewise('id').primaryKey(),
    kind: text('kind').notNull(),
    state: text('state').notNull(),
    body: jsonb('body').notNull(),
    startedAt: time('started_at').notNull(),
    updatedAt: time('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('copy_runs_one_active')
      .on(t.kind)
      .where(sql`${t.kind} = 'backfill' and ${t.state} in ('copying', 'merging', 'undoing')`),
  ],
);

/** Pieces of a run, handed out by jobs: the one who took one up last may close it. */
export const copyRanges = pgTable(
  'copy_ranges',
  {
    run: bytewise('run').notNull(),
    seq: integer('seq').notNull(),
    entity: text('entity').notNull(),
    bounds: jsonb('bounds').notNull(),
    state: text('state').notNull(),
    job: integer('job').notNull(),
    owner: text('owner'),
    counts: jsonb('counts').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.run, t.seq] }),
    index('copy_ranges_open').on(t.run, t.seq).where(sql`${t.state} = 'open'`),
  ],
);

/** What was found wrong with a document: names and reasons, never a value. */
export const copyFindings = pgTable(
  'copy_findings',
  {
    run: bytewise('run').notNull(),
    entity: text('entity').notNull(),
    recordId: bytewise('record_id').notNull(),
    field: text('field').notNull(),
    reason: text('reason').notNull(),
    /** Of the range that found it; null: a check of all ranges together. */
    range: integer('range'),
    detail: jsonb('detail'),
  },
  (t) => [primaryKey({ columns: [t.run, t.entity, t.recordId, t.field, t.reason] })],
);

/** Originals that were put aside, as canonical extended JSON. As secret as the live tables. */
export const copyQuarantine = pgTable(
  'copy_quarantine',
  {
    entity: text('entity').notNull(),
    recordId: bytewise('record_id').notNull(),
    run: bytewise('run').notNull(),
    state: text('state').notNull(),
    reasons: jsonb('reasons').notNull(),
    document: text('document').notNull(),
    putAt: time('put_at').notNull(),
    resolvedAt: time('resolved_at'),
    resolution: text('resolution'),
    /** The user whose it is; null: it does not say. */
    owner: bytewise('owner'),
  },
  (t) => [
    primaryKey({ columns: [t.entity, t.recordId] }),
    index('copy_quarantine_owner').on(t.owner).where(sql`${t.document} <> ''`),
    check('copy_quarantine_state', sql`${t.state} in ('held', 'moved', 'accepted', 'dropped')`),
  ],
);

/**
 * What a merge wrote over what, so that it can be undone exactly: no `before` where there was no record, and an empty one
 * where its user has been erased.
 */
export const copyUndo = pgTable(
  'copy_undo',
  {
    run: bytewise('run').notNull(),
    entity: text('entity').notNull(),
    recordId: bytewise('record_id').notNull(),
    epoch: integer('epoch').notNull(),
    version: integer('version').notNull(),
    before: text('before'),
    /** The user whose `before` is; null where there is none. */
    owner: bytewise('owner'),
  },
  (t) => [
    primaryKey({ columns: [t.run, t.entity, t.recordId] }),
    index('copy_undo_owner').on(t.owner).where(sql`${t.before} <> ''`),
  ],
);
