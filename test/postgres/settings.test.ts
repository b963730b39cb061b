/** A database whose sessions begin otherwise than PostgreSQL's own defaults say, in all that an operator may have set for it. */
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { createPool } from '../../db/postgres/pool.ts';
import { poolerProblems } from '../../db/postgres/pooler.ts';
import { sessionProblems } from '../../db/postgres/session.ts';
import { openPostgresStore, type PostgresStoreOptions } from '../../db/postgres/store.ts';
import { logIn, NOW, parallel, sessionOf, signUp, userOf } from '../contract/fixtures.ts';
import { asSuperuser, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { TIMEOUT_MS } from '../support/stores.ts';
import { answered, askingUrl, createOddDatabase, QUESTION } from './odd-settings.ts';
import { poolingTransactions } from './transaction-pooler.ts';

const TIMES = { statementTimeoutMs: TIMEOUT_MS, connectTimeoutMs: TIMEOUT_MS };

describe('a database with settings of its own', async () => {
  const server = inject('postgresUrl');
  const name = newDatabaseName();
  const url = await createOddDatabase(server, name);
  const closing: (() => Promise<unknown>)[] = [];
  afterAll(async () => {
    await Promise.all(closing.map((close) => close()));
    await dropDatabase(server, name);
  });
  const open = async (options: Pick<PostgresStoreOptions, 'url'>) => {
    const store = await openPostgresStore({ ...TIMES, assuranceTimeoutMs: TIMEOUT_MS, ...options });
    closing.push(() => store.close());
    return store;
  };
  const store = await open({ url });
  await store.migrate(() => {});

  it('gives records back as they were written', async () => {
    const repo = store.at({ epoch: 1, pending: true });
    const { user, session } = await signUp(repo, { name: 'back\\slash Ångström 👩‍💻' });
    expect(await userOf(repo, user.id)).toMatchObject(user);
    expect(await sessionOf(repo, session.id)).toMatchObject(session);
    expect(await store.assurance()).toMatchObject({ marks: 3 });
  });

  it('lets whoever loses a race find that out, as anywhere', async () => {
    const repo = store.at({ epoch: 1, pending: false });
    const { user } = await signUp(repo);
    await parallel(6, () => logIn(repo, user.id));
    expect(await parallel(6, () => repo.endSessions({ userId: user.id, now: NOW }))).toEqual(
      Array.from({ length: 6 }, () => 'done'),
    );
  });

  it.each([
    ['a URL without options', url, '4096'],
    ['a URL with its own', askingUrl(url), '1234'],
  ])('%s: connections have what is relied on', async (_, own, workMem) => {
    expect(await (await open({ url: own })).sessionProblems()).toEqual([]);
    const pool = createPool({ url: own, poolMax: 1, ...TIMES });
    closing.push(() => pool.end());
    const client = await pool.connect();
    const { rows } = await client.query(QUESTION, []).finally(() => client.release());
    expect(rows).toEqual([answered(String(TIMEOUT_MS * 0.75), workMem)]);
  });

  it('is told that a pooler gives a session one connection after another', async () => {
    const real = new pg.Pool({ connectionString: server, max: 3 });
    closing.push(() => real.end());
    expect(await poolerProblems(poolingTransactions(real))).toEqual([
      expect.stringMatching(/pool_mode = session$/),
    ]);
    const direct = createPool({ url, poolMax: 2, ...TIMES });
    closing.push(() => direct.end());
    expect(await poolerProblems(direct)).toEqual([]);
  });

  it('is told which limits a pooler has dropped; shorter ones will do', async () => {
    const plain = new pg.Pool({ connectionString: server, options: '-c lock_timeout=7000' });
    closing.push(() => plain.end());
    const db = new Kysely<object>({ dialect: new PostgresDialect({ pool: plain }) });
    expect(await sessionProblems(db, { lock_timeout: 7_500, statement_timeout: 10_000 })).toContain(
      'PostgreSQL runs with statement_timeout = 0: set it to 10000',
    );
    expect(await sessionProblems(db, { lock_timeout: 7_500 })).not.toContainEqual(
      expect.stringContaining('lock_timeout'),
    );
  });

  it('is told of what no connection can choose', async () => {
    await asSuperuser(server, `alter database ${name} set session_replication_role = replica`);
    expect(await (await open({ url })).sessionProblems()).toEqual([
      'PostgreSQL runs with session_replication_role = replica: set it to origin',
    ]);
  });
});
