/**
 * What verify knows of PostgreSQL: rows as text, and hashes of many, made by the server from its raw columns. The names
 * are written out once more on purpose: whatever the copier's own lists get wrong must not be wrong here as well.
 */
import type { Entity } from '../../records.ts';
import type { PostgresBulk } from './client.ts';

/** Milliseconds as text; an infinite time, which nothing writes, as what it is. */
const time = (column: string): string =>
  `case when isfinite(${column}) then (extract(epoch from ${column}) * 1000)::bigint::text else ${column}::text end`;

type Fields = readonly (readonly [field: string, expression: string])[];

const STAMP: Fields = [
  ['epoch', 'epoch'],
  ['version', 'version'],
];

const MAILED: Fields = [
  ['id', 'id'],
  ['userId', 'user_id'],
  ['tokenHash', 'token_hash'],
  ['nonce', 'nonce'],
  ['createdAt', time('created_at')],
  ['expiresAt', time('expires_at')],
  ['mailDueAt', time('mail_due_at')],
];

/** Each field of a record with the SQL that gives it. The stamp comes last. */
export const FINGERPRINT: Readonly<Record<Entity, Fields>> = {
  user: [
    ['id', 'id'],
    ['email', 'email'],
    ['emailKey', 'email_key'],
    ['name', 'name'],
    ['passwordHash', 'password_hash'],
    ['isVerified', 'is_verified'],
    ['verifiedWith', 'verified_with'],
    ['sessionGeneration', 'session_generation'],
    ['resetGeneration', 'reset_generation'],
    ['createdAt', time('created_at')],
    ['updatedAt', time('updated_at')],
    ['deletedAt', time('deleted_at')],
    ...STAMP,
  ],
  verificationToken: [...MAILED, ...STAMP],
  resetToken: [...MAILED, ['generation', 'generation'], ...STAMP],
  session: [
    ['id', 'id'],
    ['userId', 'user_id'],
    ['generation', 'generation'],
    ['tokenHash', 'token_hash'],
    ['previousTokenHash', 'previous_token_hash'],
    ['rotation', 'rotation'],
    ['keyId', 'key_id'],
    ['createdAt', time('created_at')],
    ['rotatedAt', time('rotated_at')],
    ['idleExpiresAt', time('idle_expires_at')],
    ['expiresAt', time('expires_at')],
    ['revokedAt', time('revoked_at')],
    ['revokedReason', 'revoked_reason'],
    ['userAgent', 'user_agent'],
    ...STAMP,
  ],
};

const TABLE: Readonly<Record<Entity, string>> = {
  user: 'users',
  verificationToken: 'verification_tokens',
  resetToken: 'password_reset_tokens',
  session: 'sessions',
};

const text = (entity: Entity): string =>
  `json_build_array(${FINGERPRINT[entity].map(([, expression]) => expression).join(', ')})::text`;

const unexpired = (entity: Entity, parameter: string): string =>
  entity === 'user' ? `${parameter}::timestamptz is not null` : `expires_at >= ${parameter}`;

/** Ids that MongoDB holds as ObjectIds, whose order is the same in both stores. */
const HEX = `length(id) = 24 and id ~ '^[0-9a-f]{24}$'`;

/** How many, and the MD5 of their texts, one after the other in the order of ids. */
export interface Digest {
  readonly count: number;
  readonly md5: string;
}

export interface HexRange {
  /** Excluded; null: from the first. */
  readonly after: string | null;
  /** Included; null: to the last. */
  readonly upTo: string | null;
}

const within = `(id > $1 or $1::text is null) and (id <= $2 or $2::text is null)`;

/** Of the first `limit` rows in a range of ObjectIds that are not past retention. */
export async function digestRange(
  bulk: PostgresBulk,
  entity: Entity,
  { after, upTo }: HexRange,
  { expiredBefore, limit }: { readonly expiredBefore: Date; readonly limit: number },
): Promise<Digest> {
  const [row] = await bulk.query<{ count: number; md5: string }>(
    `select count(*)::int as count, md5(coalesce(string_agg(text, '' order by id), '')) as md5
     from (select id, ${text(entity)} as text from ${TABLE[entity]}
           where ${within} and ${HEX} and ${unexpired(entity, '$3')} order by id limit $4) as hashed`,
    [after, upTo, expiredBefore, limit],
  );
  return row ?? { count: 0, md5: '' };
}

export interface RowText {
  readonly id: string;
  /** The fields as a JSON array, in the order of `FINGERPRINT`. */
  readonly text: string;
  readonly isMarked: boolean;
}

const ROW = (entity: Entity): string => `id, ${text(entity)} as text, pending_at is not null as "isMarked"`;

/** The first rows of a range of ObjectIds. */
export function rowsInRange(
  bulk: PostgresBulk,
  entity: Entity,
  { after, upTo }: HexRange,
  limit: number,
): Promise<readonly RowText[]> {
  return bulk.query<RowText & Record<string, unknown>>(
    `select ${ROW(entity)} from ${TABLE[entity]} where ${within} and ${HEX} order by id limit $3`,
    [after, upTo, limit],
  );
}

export function rowsById(
  bulk: PostgresBulk,
  entity: Entity,
  ids: readonly string[],
): Promise<readonly RowText[]> {
  return bulk.query<RowText & Record<string, unknown>>(
    `select ${ROW(entity)} from ${TABLE[entity]} where id = any($1::text[])`,
    [[...ids]],
  );
}

/** Which rows a sweep looks at: all, those of ids that are no ObjectIds, those written since, or a share by id. */
export interface RowFilter {
  readonly onlyOtherIds: boolean;
  readonly since: Date | null;
  /** From 0 to 1. */
  readonly share: number;
}

const SINCE: Readonly<Record<Entity, string>> = {
  user: 'greatest(created_at, updated_at, deleted_at)',
  verificationToken: 'created_at',
  resetToken: 'created_at',
  session: 'greatest(created_at, rotated_at, revoked_at)',
};

/** Rows past an id, in the order of ids. */
export function sweepRows(
  bulk: PostgresBulk,
  entity: Entity,
  filter: RowFilter,
  page: { readonly after: string; readonly upTo: string | null; readonly limit: number },
): Promise<readonly RowText[]> {
  return bulk.query<RowText & Record<string, unknown>>(
    `select ${ROW(entity)} from ${TABLE[entity]}
     where id > $1 and (id <= $6 or $6::text is null) and (not $2::boolean or not (${HEX}))
       and ($3::timestamptz is null or ${SINCE[entity]} >= $3)
       and ($4::float8 >= 1 or ('x' || substr(md5(id), 1, 8))::bit(32)::bigint < $4 * 4294967296)
     order by id limit $5`,
    [page.after, filter.onlyOtherIds, filter.since, filter.share, page.limit, page.upTo],
  );
}

/** How many rows there are, as the server last gathered; null: it never has. */
export async function estimateRows(bulk: PostgresBulk): Promise<number | null> {
  const [row] = await bulk.query<{ rows: number | null }>(
    `select sum(reltuples)::int as rows from pg_class
     where oid = any(array(select name::regclass from unnest($1::text[]) as name)) and reltuples >= 0`,
    [Object.values(TABLE)],
  );
  return row?.rows ?? null;
}
