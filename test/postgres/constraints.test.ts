import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { type Database, TABLES } from '../../db/postgres/database.ts';
import { newRow } from '../../db/postgres/writes.ts';
import { freshHash, NOW, newSession, newUser, newVerificationToken } from '../contract/fixtures.ts';
import { newPostgresDatabase } from '../support/stores.ts';

const CONTEXT = { epoch: 0, pending: false };
const CHECK = '23514';

describe('constraints', async () => {
  const pool = new pg.Pool({ connectionString: await newPostgresDatabase(), max: 1 });
  afterAll(() => pool.end());
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });

  const user = () => newRow('user', newUser(), CONTEXT);
  const token = () => newRow('verificationToken', newVerificationToken('nobody'), CONTEXT);
  const reset = () => ({ ...token(), generation: 0 });
  const owner = user();
  await db.insertInto('users').values(owner).execute();
  const session = () => newRow('session', newSession(owner.id), CONTEXT);

  const tombstone = { email: null, email_key: null, name: '', password_hash: null, deleted_at: NOW };
  const users: readonly [string, object, string][] = [
    ['a living user without an address', { email: null, email_key: null }, CHECK],
    ['an address without its key', { email_key: null }, CHECK],
    ['an empty address', { email: '', email_key: '' }, CHECK],
    ['an empty id', { id: '' }, CHECK],
    ['a tombstone with an address', { ...tombstone, email: 'a@b.c', email_key: 'a@b.c' }, CHECK],
    ['a tombstone with a name', { ...tombstone, name: 'Jo' }, CHECK],
    ['a tombstone with a password', { ...tombstone, password_hash: 'x' }, CHECK],
    ['an unverified user with a token used', { verified_with: 'token' }, CHECK],
    ['a negative session generation', { session_generation: -1 }, CHECK],
    ['a negative reset generation', { reset_generation: -1 }, CHECK],
    ['a negative version', { version: -1 }, CHECK],
    ['a negative epoch', { epoch: -1 }, CHECK],
    ['a number past 32 bits', { version: 2 ** 31 }, '22003'],
    ['a second user of an address', { email_key: owner.email_key }, '23505'],
    ['a second user of an id', { id: owner.id }, '23505'],
    ['a NUL in a name', { name: 'a\0b' }, '22021'],
  ];
  it.each(users)('users refuse %s', async (_, wrong, code) => {
    const row = { ...user(), ...wrong };
    await expect(db.insertInto('users').values(row).execute()).rejects.toMatchObject({ code });
  });

  it('users accept many tombstones', async () => {
    for (let index = 0; index < 2; index++) {
      await db
        .insertInto('users')
        .values({ ...user(), ...tombstone })
        .execute();
    }
  });

  const tokens: readonly [string, object][] = [
    ['a hash that is none', { token_hash: 'clear text' }],
    ['a hash in upper case', { token_hash: freshHash().toUpperCase().replace(/\d/g, 'A') }],
    ['a hash with a line end', { token_hash: `${freshHash()}\n` }],
    ['an empty user id', { user_id: '' }],
    ['a negative version', { version: -1 }],
  ];
  it.each(tokens)('tokens refuse %s', async (_, wrong) => {
    const refused = { code: CHECK };
    const verification = db.insertInto('verification_tokens').values({ ...token(), ...wrong });
    await expect(verification.execute()).rejects.toMatchObject(refused);
    const resets = db.insertInto('password_reset_tokens').values({ ...reset(), ...wrong });
    await expect(resets.execute()).rejects.toMatchObject(refused);
  });

  it('tokens need no user', async () => {
    await db.insertInto('verification_tokens').values(token()).execute();
    await db.insertInto('password_reset_tokens').values(reset()).execute();
  });

  const sessions: readonly [string, object, string][] = [
    ['a session without its user', { user_id: 'nobody' }, '23503'],
    ['a revocation without a reason', { revoked_at: NOW }, CHECK],
    ['a reason without a time', { revoked_reason: 'logout' }, CHECK],
    ['a reason nobody knows', { revoked_at: NOW, revoked_reason: 'whim' }, CHECK],
    ['a hash that is none', { token_hash: 'clear text' }, CHECK],
    ['a predecessor that is no hash', { previous_token_hash: 'clear text' }, CHECK],
    ['a negative rotation', { rotation: -1 }, CHECK],
    ['a negative generation', { generation: -1 }, CHECK],
    ['a missing life', { expires_at: null }, '23502'],
  ];
  it.each(sessions)('sessions refuse %s', async (_, wrong, code) => {
    const row = { ...session(), ...wrong };
    await expect(db.insertInto('sessions').values(row).execute()).rejects.toMatchObject({ code });
  });

  it('a user with sessions cannot be deleted', async () => {
    await db.insertInto('sessions').values(session()).execute();
    const deletion = db.deleteFrom('users').where('id', '=', owner.id).execute();
    await expect(deletion).rejects.toMatchObject({ code: '23503' });
  });

  it('every column reads back as the type that Kysely was told', async () => {
    await db.insertInto('rate_limits').values({ key: 'k', level: 0.5, touched_at: NOW }).execute();
    const expected = new Map([
      ['text', 'string'],
      ['integer', 'number'],
      ['double precision', 'number'],
      ['boolean', 'boolean'],
      ['timestamp with time zone', 'Date'],
    ]);
    for (const table of [...Object.values(TABLES), 'rate_limits']) {
      const { rows: columns } = await pool.query<{ name: string; type: string }>(
        'select column_name as name, data_type as type from information_schema.columns where table_name = $1',
        [table],
      );
      const { rows } = await pool.query<Record<string, unknown>>(`select * from ${table} limit 1`);
      for (const { name, type } of columns) {
        const value = rows[0]?.[name];
        if (value === null) continue;
        expect([name, value instanceof Date ? 'Date' : typeof value]).toEqual([name, expected.get(type)]);
      }
    }
  });

  it('ids are ordered by their bytes', async () => {
    const { rows } = await pool.query(
      `select table_name from information_schema.columns
       where column_name = 'id' and data_type = 'text' and table_schema = 'public' and collation_name is distinct from 'C'`,
    );
    expect(rows).toEqual([]);
  });
});
