/**
 * All records of a store, read with a plain client of the store's own and laid out field by field: nothing here comes
 * from the code that wrote them, so that it cannot vouch for itself.
 */
import mongoose from 'mongoose';
import pg from 'pg';

export const TABLES = ['users', 'verification_tokens', 'password_reset_tokens', 'sessions'] as const;
export type Table = (typeof TABLES)[number];

/** By field, in PostgreSQL's names: times as ISO text; what is not there is null or missing. */
export type Row = Readonly<Record<string, string | number | boolean | null>>;

export interface Contents {
  /** By id. */
  readonly rows: Readonly<Record<Table, ReadonlyMap<string, Row>>>;
  /** Records that still wait for the mirror. */
  readonly marked: number;
}

type Fields = Readonly<Record<string, unknown>>;

const MARK = 'pending_at';

/** Another name for a user, seen only by whoever reads in the same transaction; it is rolled back. */
export interface Planted {
  readonly id: string;
  readonly name: string;
}

export async function readPostgres(url: string, planted: Planted | null = null): Promise<Contents> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('begin');
    if (planted !== null)
      await client.query('update users set name = $1 where id = $2', [planted.name, planted.id]);
    return await collect(async (table) => (await client.query<Fields>(`select * from ${table}`)).rows);
  } finally {
    // Not committed: this rolls back.
    await client.end();
  }
}

export async function readMongo(url: string, planted: Planted | null = null): Promise<Contents> {
  const client = new mongoose.mongo.MongoClient(url, { directConnection: true });
  const db = client.db();
  const readAll = (session?: mongoose.mongo.ClientSession): Promise<Contents> =>
    collect(async (table) => {
      const documents: Fields[] = await db
        .collection(table)
        .find({}, session && { session })
        .toArray();
      return documents.map((document) => toFields(table, document));
    });
  try {
    if (planted === null) return await readAll();
    const session = client.startSession();
    session.startTransaction();
    try {
      const _id = new mongoose.mongo.ObjectId(planted.id);
      await db.collection('users').updateOne({ _id }, { $set: { name: planted.name } }, { session });
      return await readAll(session);
    } finally {
      await session.abortTransaction();
      await session.endSession();
    }
  } finally {
    await client.close();
  }
}

async function collect(read: (table: Table) => Promise<readonly Fields[]>): Promise<Contents> {
  let marked = 0;
  const laidOut = async (table: Table): Promise<ReadonlyMap<string, Row>> => {
    const found = await read(table);
    marked += found.filter((fields) => (fields[MARK] ?? null) !== null).length;
    return new Map(found.map((fields) => [String(fields['id']), toRow(fields)]));
  };
  const rows = {
    users: await laidOut('users'),
    verification_tokens: await laidOut('verification_tokens'),
    password_reset_tokens: await laidOut('password_reset_tokens'),
    sessions: await laidOut('sessions'),
  };
  return { rows, marked };
}

/** What a document calls differently from a column; sessions never were the old service's. */
const RENAMED: Readonly<Record<string, string>> = { password: 'password_hash', token: 'token_hash' };

function toFields(table: Table, document: Fields): Fields {
  const entries = Object.entries(document).map(([field, value]) => {
    if (field === '_id') return ['id', String(value)] as const;
    const column = RENAMED[field] ?? snakeCase(field);
    const hash = table !== 'sessions' && field === 'token' && typeof value === 'string';
    return [column, hash ? value.replace(/^sha256:/, '') : value] as const;
  });
  return table === 'users' ? withoutStandIns(Object.fromEntries(entries)) : Object.fromEntries(entries);
}

/** What the old service keeps for itself, and what it does not know. */
const ITS_OWN: readonly string[] = ['__v', 'plan'];
/** What MongoDB needs between two writes that PostgreSQL does in one. */
const BETWEEN_WRITES = 'kept_session';
const NOT_YET: Fields = { epoch: 0, version: 0, session_generation: 0, reset_generation: 0 };

/** What a document says for "none", where old indexes and the old service want some value. */
function withoutStandIns(user: Fields): Fields {
  return {
    ...NOT_YET,
    ...Object.fromEntries(
      Object.entries(user).filter(([field]) => field !== BETWEEN_WRITES && !ITS_OWN.includes(field)),
    ),
    email: user['email'] === `erased-${user['id']}@invalid` ? null : user['email'],
    email_key: user['email_key'] === false ? null : user['email_key'],
    password_hash: user['password_hash'] === '' ? null : user['password_hash'],
  };
}

const snakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function toRow(fields: Fields): Row {
  const entries = Object.entries(fields).filter(([field]) => field !== MARK);
  return Object.fromEntries(entries.map(([field, value]) => [field, scalar(value)]));
}

function scalar(value: unknown): string | number | boolean | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  return String(value);
}
