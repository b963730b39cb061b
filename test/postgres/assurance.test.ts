import pg from 'pg';
import { afterAll, describe, expect, it, vi } from 'vitest';
import type { Store } from '../../db/port.ts';
import { openPostgresStore, type PostgresStoreOptions } from '../../db/postgres/store.ts';
import { NOW, parallel, signUp } from '../contract/fixtures.ts';
import { asSuperuser } from '../support/databases.ts';
import { freezePostgres } from '../support/faults.ts';
import { newPostgresDatabase, ownPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';

const CONTEXT = { epoch: 1, pending: true };
/** The store's own time-outs are far longer than what an assurance may take. */
const PATIENT = { statementTimeoutMs: 20_000, connectTimeoutMs: 20_000, assuranceTimeoutMs: 10_000 };
/** Refused before long; on a busy machine also where it could be given. */
const BRIEF = { assuranceTimeoutMs: 500 };

type Options = Pick<PostgresStoreOptions, 'url' | 'assuranceTimeoutMs'> & { readonly poolMax?: number };

/** Opens stores that are closed before what was registered earlier is taken down. */
function opener(): (options: Options) => Promise<Store> {
  const stores: Store[] = [];
  afterAll(() => Promise.all(stores.map((store) => store.close())));
  return async (options) => {
    const store = await openPostgresStore({ ...PATIENT, ...options });
    stores.push(store);
    return store;
  };
}

describe('assurance', async () => {
  const url = await newPostgresDatabase();
  const open = opener();

  it('is given while every connection of the pool hangs, and those are counted', async () => {
    const store = await open({ url, poolMax: 2 });
    const repo = store.at(CONTEXT);
    const { user } = await signUp(repo);
    const locker = new pg.Client({ connectionString: url });
    await locker.connect();
    await locker.query('begin');
    await locker.query('select from users where id = $1 for update', [user.id]);
    const hanging = parallel(3, () => repo.endSessions({ userId: user.id, now: NOW }));
    await eventually(() => {
      expect(store.poolUse()).toEqual({ used: 2, idle: 0, waiting: 1, max: 2 });
    });
    expect(await store.assurance()).toEqual({ marks: 3, notes: {} });
    expect(store.poolUse()).toEqual({ used: 2, idle: 0, waiting: 1, max: 2 });
    await locker.query('rollback');
    await locker.end();
    expect(await hanging).toEqual(['done', 'done', 'done']);
    expect(store.poolUse()).toEqual({ used: 0, idle: 2, waiting: 0, max: 2 });
  });

  it('says what was decided upon, and never came here', async () => {
    const store = await open({ url });
    const { user } = await signUp(store.at({ epoch: 1, pending: false }));
    const states = ['held', 'moved', 'accepted', 'dropped'];
    for (const id of [...states, user.id]) {
      const state = states.includes(id) ? id : 'accepted';
      await asSuperuser(
        url,
        `insert into copy_quarantine (entity, record_id, run, state, reasons, document, put_at)
         values ('user', $1, 'r', $2, '[]', '', now())`,
        [id, state],
      );
    }
    const users = [...states, user.id, 'unknown'].map((id) => ({ entity: 'user', id }) as const);
    const names = [...users, { entity: 'session', id: 'accepted' } as const];
    const behind = new Set(['user/accepted', 'user/dropped']);
    expect(await store.leftBehind(names)).toEqual(behind);
    expect(await store.replica.leftBehind(names)).toEqual(behind);
    expect(await store.replica.toLeaveBehind(names)).toEqual(new Set([...behind, `user/${user.id}`]));
    expect(await store.replica.leftBehind([])).toEqual(new Set());

    const query = vi.spyOn(pg.Client.prototype, 'query');
    try {
      const each = await Promise.all(names.map((name) => store.leftBehind([name])));
      expect(each.flatMap((those) => [...those])).toEqual([...behind]);
      const questions = query.mock.calls.filter(
        ([given]) => (given as unknown as pg.QueryConfig).name === 'left-behind',
      );
      expect(questions).toHaveLength(1);
    } finally {
      query.mockRestore();
    }
  });

  it('keeps one connection for any number of questions', async () => {
    const store = await open({ url: `${url}?application_name=counted` });
    await parallel(20, () => store.assurance());
    await parallel(20, () => store.leftBehind([{ entity: 'user', id: 'accepted' }]));
    await store.assurance();
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    const { rows } = await admin.query(
      `select count(*)::int as count from pg_stat_activity
       where datname = current_database() and application_name = 'counted'`,
    );
    expect(rows).toEqual([{ count: 1 }]);
    await admin.end();
  });

  it('is refused at once without a server', async () => {
    const store = await open({ url: 'postgres://nobody@127.0.0.1:1/nothing' });
    await expect(store.assurance()).rejects.toMatchObject({ outcome: 'none', reason: 'connect' });
  });

  it('comes back after its connection was lost', async () => {
    const store = await open({ url: `${url}?application_name=lost` });
    await store.assurance();
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    const { rowCount } = await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'lost'`,
    );
    expect(rowCount).toBe(1);
    await admin.end();
    await eventually(() => store.assurance());
  });
});

describe('assurance of a frozen server', async () => {
  const server = await ownPostgres();
  const open = opener();
  const first = await open({ url: server.url, ...BRIEF });
  await first.migrate(() => {});

  it('is refused long before the store’s own time-outs, connected or not, and given again afterwards', async () => {
    const [connected, fresh] = [first, await open({ url: server.url, ...BRIEF })];
    expect(await eventually(() => connected.assurance())).toEqual({ marks: 0, notes: {} });
    await connected.ping();
    const frozen = await freezePostgres(server);
    try {
      const order: string[] = [];
      const reading = connected
        .at(CONTEXT)
        .findUser('a')
        .finally(() => order.push('read'));
      for (const store of [connected, fresh, connected]) {
        await expect(store.assurance()).rejects.toMatchObject({ name: 'StoreUnavailable', outcome: 'none' });
        order.push('refused');
      }
      expect(order).toEqual(['refused', 'refused', 'refused']);
      frozen.thaw();
      await reading;
      for (const store of [connected, fresh]) await eventually(() => store.assurance());
    } finally {
      frozen.thaw();
    }
  });
});
