import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { migrate } from '../../db/postgres/migrate.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { NOW, newAccount, signUp } from '../contract/fixtures.ts';
import { asSuperuser, createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { TIMEOUT_MS } from '../support/stores.ts';

const ROLES = new URL('../../db/postgres/roles.sql', import.meta.url);
const DENIED = { code: '42501' };

describe('roles', async () => {
  const server = inject('postgresUrl');
  const name = newDatabaseName();
  const owner = await createDatabase(server, name);
  const sql = await readFile(ROLES, 'utf8');
  await asSuperuser(owner, sql);
  /** The same database under a role: options apply before the first statement. */
  const as = (role: string) => `${owner}?options=${encodeURIComponent(`-c role=${role}`)}`;
  await migrate(
    { url: as('auth_migration'), connectTimeoutMs: TIMEOUT_MS, migrationTimeoutMs: 30_000 },
    () => {},
  );

  const pools = ['auth_runtime', 'auth_backfill'].map((role) => ({
    role,
    pool: new pg.Pool({ connectionString: as(role), max: 1 }),
  }));
  const store = await openPostgresStore({ url: as('auth_runtime'), timeoutMs: TIMEOUT_MS });
  afterAll(async () => {
    await store.close();
    for (const { pool } of pools) await pool.end();
    await dropDatabase(server, name);
  });

  it('the script can be run again', async () => {
    await asSuperuser(owner, sql);
    await asSuperuser(owner, sql);
  });

  it('the run-time role may not make a schema, and is told so', async () => {
    const fresh = newDatabaseName();
    const own = await createDatabase(server, fresh);
    const bare = await openPostgresStore({
      url: `${own}?options=${encodeURIComponent('-c role=auth_runtime')}`,
      timeoutMs: TIMEOUT_MS,
    });
    try {
      await expect(bare.migrate(() => {})).rejects.toMatchObject({ reason: 'forbidden' });
    } finally {
      await bare.close();
      await dropDatabase(server, fresh);
    }
  });

  it('the run-time role does all the service needs', async () => {
    const repo = store.at({ epoch: 1, pending: true });
    const { user } = await signUp(repo);
    await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
    await repo.createAccount(newAccount());
    await repo.purge({ expiredBefore: new Date(8.64e15), limit: 10 });
    await store.limits.hit([{ key: 'k', capacity: 1, windowMs: 1, backoff: null }], NOW);
    await store.limits.purge(new Date());
    await store.ping();
    expect(await store.history()).toMatch(/^\d+\/[0-9A-F]{8}$/);
    await store.migrate(() => {});
  });

  const forbidden = [
    'alter table users add column extra text',
    'alter table users drop constraint users_stamp',
    'drop table sessions',
    'truncate sessions',
    'create table mine (id text)',
    'create index mine on users (name)',
    'drop index users_email_key_unique',
    'create schema mine',
    'create function mine() returns int language sql as $$ select 1 $$',
    "insert into schema_migrations (tag, hash) values ('9999_forged', 'x')",
    'delete from schema_migrations',
    'create role mine',
    'alter role auth_runtime superuser',
  ];
  for (const { role, pool } of pools) {
    it.each(forbidden)(`${role} may not: %s`, async (statement) => {
      await expect(pool.query(statement)).rejects.toMatchObject(DENIED);
    });
  }

  it('only the backfill role has a schema to stage in', async () => {
    const [runtime, backfill] = pools;
    await backfill?.pool.query('create unlogged table staging.users (like public.users)');
    await expect(runtime?.pool.query('select * from staging.users')).rejects.toMatchObject(DENIED);
    await backfill?.pool.query('drop table staging.users');
  });

  it('what was put aside is open to nobody but who may read the live tables', async () => {
    const holders = async (table: string) =>
      (
        await asSuperuser<{ grant: string }>(
          owner,
          `select grantee || ' ' || privilege_type as grant from information_schema.role_table_grants
           where table_schema = 'public' and table_name = $1 order by 1`,
          [table],
        )
      ).map((row) => row.grant);
    const live = await holders('users');
    expect(live.length).toBeGreaterThan(0);
    for (const table of ['copy_quarantine', 'copy_undo', 'cutover_aside']) {
      expect(await holders(table), table).toEqual(live);
    }
    const outsider = `outsider_${name}`;
    await asSuperuser(owner, `create role ${outsider}`);
    const pool = new pg.Pool({ connectionString: as(outsider), max: 1 });
    try {
      for (const table of ['users', 'copy_quarantine', 'copy_undo', 'cutover_aside']) {
        await expect(pool.query(`select * from public.${table}`)).rejects.toMatchObject(DENIED);
      }
    } finally {
      await pool.end();
      await asSuperuser(owner, `drop role ${outsider}`);
    }
  });
});
