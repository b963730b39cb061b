/** A server that speaks another language than English, of which it needs no more than its severities here. */
import { afterAll, describe, expect, inject, it } from 'vitest';
import { createPool } from '../../db/postgres/pool.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { newAccount, signUp } from '../contract/fixtures.ts';
import { applyTo, sessionAt, userAt } from '../contract/replica/records.ts';
import { createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { TIMEOUT_MS } from '../support/stores.ts';
import { openTranslatingProxy } from './translating-proxy.ts';

const TIMES = { statementTimeoutMs: TIMEOUT_MS, connectTimeoutMs: TIMEOUT_MS };

describe('a server in Russian', async () => {
  const server = inject('postgresUrl');
  const name = newDatabaseName();
  const own = await createDatabase(server, name);
  const proxy = await openTranslatingProxy(own);
  const url = proxy.through(own);
  const store = await openPostgresStore({ url, ...TIMES });
  const pool = createPool({ url, poolMax: 1, ...TIMES });
  afterAll(async () => {
    await Promise.all([store.close(), pool.end()]);
    await proxy.close();
    await dropDatabase(server, name);
  });
  const none = await store.books.readControl();
  await store.migrate(() => {});
  const repo = store.at({ epoch: 1, pending: false });

  it('holds nothing before the first migration', () => {
    expect(none).toBeNull();
  });

  it('says that an address is taken', async () => {
    const { user } = await signUp(repo);
    const email = user.email ?? '';
    await expect(repo.createAccount(newAccount({ email }))).rejects.toMatchObject({ name: 'EmailTaken' });
  });

  it('says why a mirrored record has no place', async () => {
    const { user } = await signUp(repo);
    expect(await applyTo(store, 'session', sessionAt([1, 1], 'nobody'))).toEqual(['user-missing']);
    const { email, emailKey } = user;
    expect(await applyTo(store, 'user', userAt([1, 1], { email, emailKey }))).toEqual(['clash']);
  });

  it('leaves open what became of a write when it ends its connection', async () => {
    const client = await pool.connect();
    const ending = client.query(
      `with ended as materialized (select pg_terminate_backend(pg_backend_pid()), pg_sleep(60))
       select from ended`,
      [],
    );
    await expect(ending).rejects.toMatchObject({
      name: 'StoreUnavailable',
      reason: 'connection-lost',
      outcome: 'unknown',
      cause: { severity: 'ВАЖНО', code: '57P01' },
    });
    client.release();
    expect(pool.use()).toMatchObject({ used: 0, idle: 0 });
  });
});
