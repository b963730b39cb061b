import mongoose from 'mongoose';
import pg from 'pg';
import { afterAll, describe, expect, inject, it } from 'vitest';
import type { StoreUnavailable } from '../../db/errors.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { NOW, newAccount, newSession, parallel, signUp } from '../contract/fixtures.ts';
import { freezeMongo, freezePostgres, freezeProcess } from './faults.ts';
import { createLagProxy, type LagProxy } from './lag-proxy.ts';
import { newMongoDatabase, newPostgresDatabase, ownMongo, ownPostgres } from './stores.ts';
import { eventually } from './wait.ts';
import { carries, isPostgresCommit, isRecordWrite } from './wire.ts';

const CONTEXT = { epoch: 1, pending: false };

async function failure(operation: Promise<unknown>): Promise<StoreUnavailable> {
  return operation.then(
    () => {
      throw new Error('the operation succeeded');
    },
    (error: StoreUnavailable) => error,
  );
}

/** Its connections may still be on their way out when the server stops, which is no error of a test's. */
function openPool(url: string, max: number): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

describe('a frozen PostgreSQL', async () => {
  const server = await ownPostgres();

  it('answers on no connection, old or new, until it is thawed, and then what it was asked', async () => {
    const pool = openPool(server.url, 3);
    await parallel(3, () => pool.query('select pg_sleep(0.05)'));
    const frozen = await freezePostgres(server);
    let answers = 0;
    const old = parallel(3, () => pool.query('select 1').then(() => (answers += 1)));
    const late = new pg.Client({ connectionString: server.url, connectionTimeoutMillis: 100 });
    late.on('error', () => {});
    await expect(late.connect()).rejects.toThrow('timeout');
    expect(answers).toBe(0);
    frozen.thaw();
    await old;
    expect(answers).toBe(3);
    await pool.end();
  });

  it('is not taken for frozen when something goes on answering', async () => {
    // Another server's address: its backends go on.
    const other = inject('postgresUrl');
    const frozen = freezePostgres({ pid: server.pid, url: other }, PATIENT_MS);
    await expect(frozen).rejects.toThrow('has answered');
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await client.end();
  });

  it('what runs busily on many processes stands as well', async () => {
    const pool = openPool(server.url, 8);
    const busy = parallel(8, () =>
      pool.query('select count(*)::int as n from generate_series(1, 300000) g where md5(g::text) <> $1', [
        '',
      ]),
    );
    for (let round = 0; round < 5; round += 1) (await freezeProcess(server)).thaw();
    for (const { rows } of await busy) expect(rows).toEqual([{ n: 300_000 }]);
    await pool.end();
  });
});

describe('a frozen MongoDB', async () => {
  const server = await ownMongo();

  it('does not answer until it is thawed', async () => {
    const limits = { socketTimeoutMS: 300, serverSelectionTimeoutMS: 300 };
    const client = new mongoose.mongo.MongoClient(server.url, limits);
    const ping = (): Promise<unknown> => client.db('admin').command({ ping: 1 });
    await eventually(ping);
    const frozen = await freezeMongo(server);
    await expect(ping()).rejects.toThrow();
    frozen.thaw();
    await eventually(ping);
    await client.close();
  });
});

interface Behind {
  readonly store: Store;
  /** Not through the proxy. */
  readonly direct: Store;
  /** Through the proxy as well, but gives up soon. */
  readonly hasty: Store;
  readonly proxy: LagProxy;
}

/** A machine may be busy. */
const PATIENT_MS = 10_000;
const HASTY_MS = 500;

async function behindProxy(
  open: (url: string, timeoutMs: number) => Promise<Store>,
  url: string,
): Promise<Behind> {
  const proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
  const store = await open(proxy.through(url), PATIENT_MS);
  const direct = await open(url, PATIENT_MS);
  await direct.migrate(() => {});
  const hasty = await open(proxy.through(url), HASTY_MS);
  afterAll(async () => {
    await Promise.all([store.close(), direct.close(), hasty.close()]);
    await proxy.close();
  });
  return { store, direct, hasty, proxy };
}

const STORES = {
  PostgreSQL: async () =>
    behindProxy(
      (url, timeoutMs) => openPostgresStore({ url, poolMax: 4, timeoutMs }),
      await newPostgresDatabase(),
    ),
  MongoDB: () =>
    behindProxy((url, timeoutMs) => openMongoStore({ url, poolMax: 4, timeoutMs }), newMongoDatabase()),
};

describe.each(Object.entries(STORES))('%s behind a proxy', async (name, open) => {
  const { store, direct, hasty, proxy } = await open();
  const repo = store.at(CONTEXT);

  it('is as it is without one', async () => {
    const { user } = await signUp(repo);
    expect(await direct.at(CONTEXT).findUser(user.id)).toMatchObject(user);
    expect(await repo.findUser(user.id)).toMatchObject(user);
    expect(proxy.stats()).toMatchObject({ repliesLost: 0, refused: 0 });
    expect(proxy.stats().bytesToServer).toBeGreaterThan(0);
  });

  it('answers later, all at once as one by one', async () => {
    await parallel(4, () => repo.findUser('a'));
    proxy.delay(60);
    const before = performance.now();
    await parallel(4, () => repo.findUser('a'));
    expect(performance.now() - before).toBeGreaterThanOrEqual(119);
    proxy.heal();
  });

  it('commits a write whose reply is lost, and the outcome is unknown', async () => {
    const { user } = await signUp(repo);
    const session = newSession(user.id);
    const lost = proxy.loseNextReplyAfterCommit(
      name === 'PostgreSQL' ? isPostgresCommit : carries(session.id),
    );
    const opening = { session, replacesId: null, sessionsMax: 10, now: NOW };
    expect(await failure(repo.openSession(opening))).toMatchObject({ outcome: 'unknown' });
    expect(await lost).toBe(true);
    expect((await direct.at(CONTEXT).findSession(session.id))?.session).toMatchObject(session);
    expect(proxy.stats().repliesLost).toBe(1);
    expect(await repo.findUser(user.id)).toMatchObject(user);
  });

  it('loses the replies to as many statements as it is told, of nothing else', async () => {
    const before = proxy.stats().repliesLost;
    const account = newAccount();
    proxy.loseReplies(1);
    expect(await failure(store.books.putNote('k', account.user.id, 1, NOW))).toMatchObject({
      outcome: 'unknown',
    });
    expect(proxy.stats().repliesLost).toBe(before + 1);
    await repo.createAccount(account);
    expect((await direct.books.notes('k', { limit: 10 })).map(({ key }) => key)).toEqual([account.user.id]);
  });

  it('tells what clients own from what instances write of themselves', async () => {
    const before = proxy.stats().repliesLost;
    proxy.loseReplies(1, isRecordWrite);
    await store.books.putNote('own', newAccount().user.id, 1, NOW);
    await repo.findUser('a');
    expect(proxy.stats().repliesLost).toBe(before);
    expect(await failure(repo.createAccount(newAccount()))).toMatchObject({ outcome: 'unknown' });
    expect(proxy.stats().repliesLost).toBe(before + 1);
  });

  it('holds one write on its way, while others pass, and it lands when it is healed', async () => {
    const key = newAccount().user.id;
    const held = proxy.holdNext(carries(key));
    const writing = store.books.putNote('held', key, 1, NOW).catch(() => {});
    expect(await held).toBe(true);
    await store.books.putNote('passes', key, 1, NOW);
    expect(await direct.books.notes('held', { limit: 10 })).toEqual([]);
    const never = proxy.holdNext(() => false);
    proxy.heal();
    expect(await never).toBe(false);
    await writing;
    await eventually(async () => (await direct.books.notes('held', { limit: 10 })).length === 1);
  });

  it('a loss that never came about is told when it is healed', async () => {
    const lost = proxy.loseNextReplyAfterCommit(() => false);
    proxy.heal();
    expect(await lost).toBe(false);
  });

  it('is unavailable while it is cut, and comes back', async () => {
    await repo.findUser('a');
    proxy.cut();
    expect(await failure(repo.findUser('a'))).toMatchObject({ name: 'StoreUnavailable', outcome: 'none' });
    await eventually(async () => {
      expect(await failure(store.ping())).toMatchObject({ name: 'StoreUnavailable' });
      return proxy.stats().refused > 0;
    });
    proxy.heal();
    await eventually(() => store.ping());
  });

  it('holds what is sent while frozen, and a write given up lands when it is healed', async () => {
    await eventually(() => parallel(4, () => hasty.at(CONTEXT).findUser('a')));
    const key = newAccount().user.id;
    proxy.freeze();
    expect(await failure(hasty.books.putNote('late', key, 1, NOW))).toMatchObject({ outcome: 'unknown' });
    expect(await direct.books.notes('late', { limit: 10 })).toEqual([]);
    expect(proxy.stats().heldBytes).toBeGreaterThan(0);
    proxy.heal();
    await eventually(async () => (await direct.books.notes('late', { limit: 10 })).length === 1);
    await eventually(() => hasty.ping());
    // Drivers look after their servers at times of their own.
    await eventually(() => proxy.stats().heldBytes === 0);
  });
});
