import mongoose from 'mongoose';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../db/embedded/ports.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import { freezeMongo } from '../support/faults.ts';
import { createLagProxy } from '../support/lag-proxy.ts';
import { ownMongo } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { isMongoWrite } from '../support/wire.ts';
import { legacyUser, NOW } from './legacy.ts';

const CONTEXT = { epoch: 0, pending: false };
/** Short, because most of what is asked here runs into it; a busy machine may, too. */
const TIMEOUT_MS = 500;

async function open(url: string, timeoutMs = TIMEOUT_MS) {
  const store = await openMongoStore({ url, timeoutMs });
  afterAll(() => store.close());
  return store;
}

describe('a server that is not there', () => {
  it('fails each operation as untouched, and never the opening', async () => {
    const store = await open('mongodb://127.0.0.1:1/auth');
    const repo = store.at(CONTEXT);
    const unavailable = { name: 'StoreUnavailable', outcome: 'none', reason: 'connect' };
    const asked = [
      store.ping(),
      repo.findUser('5f000000aaaaaaaaaaaaaaaa'),
      repo.endSessions({ userId: 'a', now: NOW }),
      store.limits.clear(['k']),
    ];
    await Promise.all(asked.map((each) => expect(each).rejects.toMatchObject(unavailable)));
  });
});

describe('a server of its own', () => {
  it('is used when it comes, outlasted when it stands still, and found again when it is back', async () => {
    const port = await freePort();
    const store = await open(`mongodb://127.0.0.1:${port}/auth`);
    await expect(store.ping()).rejects.toMatchObject({ name: 'StoreUnavailable' });

    const server = await ownMongo({ port });
    await eventually(() => store.ping(), { timeoutMs: 30_000 });
    const client = new mongoose.mongo.MongoClient(server.url);
    const doc = legacyUser();
    await client
      .db('auth')
      .collection('users')
      .insertOne(doc as never);
    await client.close();
    const repo = store.at(CONTEXT);
    const userId = String(doc._id);
    await eventually(async () => expect(await repo.findUser(userId)).toMatchObject({ id: userId }));

    const ice = await freezeMongo(server);
    try {
      const frozen = [
        repo.findUser(userId),
        repo.endSessions({ userId, now: NOW }),
        store.limits.hit([{ key: 'k', capacity: 1, windowMs: 1000, backoff: null }], NOW),
        store.ping(),
      ];
      for (const result of await Promise.allSettled(frozen)) {
        expect(result).toMatchObject({ status: 'rejected', reason: { name: 'StoreUnavailable' } });
      }
    } finally {
      ice.thaw();
    }
    await eventually(() => store.ping(), { timeoutMs: 30_000 });
    await eventually(async () => expect(await repo.endSessions({ userId, now: NOW })).toBe('done'));

    await server.stop();
    await expect(repo.findUser(userId)).rejects.toMatchObject({ name: 'StoreUnavailable' });
  });
});

describe('a server', async () => {
  const server = await ownMongo();

  it('is named by what it is', async () => {
    const store = await open(server.url, 10_000);
    expect(await store.describe()).toMatch(/^(MongoDB|SecantusDB|FerretDB) \d/);
    const client = new mongoose.mongo.MongoClient(server.url);
    const { secantusVersion } = await client.db().admin().command({ buildInfo: 1 });
    await client.close();
    if (secantusVersion !== undefined) expect(await store.describe()).toBe(`SecantusDB ${secantusVersion}`);
  });

  it('that stands still lets nobody wait for the time-outs of others, of whom one bucket has many', async () => {
    const store = await open(server.url);
    const hit = (key: string) =>
      store.limits.hit([{ key, capacity: 1e3, windowMs: 1e6, backoff: null }], NOW);
    await eventually(() => hit('office'));
    const ice = await freezeMongo(server);
    try {
      const crowd = Promise.allSettled(Array.from({ length: 25 }, () => hit('office')));
      let alone = 0;
      const done = crowd.then((results) => ({ results, meanwhile: alone }));
      for (; alone < 5; alone += 1) await expect(hit(`alone ${alone}`)).rejects.toThrow();
      const { results, meanwhile } = await done;
      expect(meanwhile).toBeLessThan(5);
      for (const result of results) {
        expect(result).toMatchObject({ status: 'rejected', reason: { name: 'StoreUnavailable' } });
      }
    } finally {
      ice.thaw();
    }
  });

  it('a write without an answer has an unknown outcome, and a read none', async () => {
    const proxy = await createLagProxy({ targetPort: Number(new URL(server.url).port) });
    onTestFinished(() => proxy.close());
    const store = await open(proxy.through(server.url));
    await eventually(() => store.ping());
    // This one alone stands still: were it the server, the driver might give it up before the write's time is over.
    const sent = proxy.holdNext(isMongoWrite);
    const clearing = store.limits.clear(['k']);
    await expect(clearing).rejects.toMatchObject({ outcome: 'unknown', reason: 'timeout' });
    expect(await sent).toBe(true);
    proxy.freeze();
    await expect(store.at(CONTEXT).findUser('a')).rejects.toMatchObject({ outcome: 'none' });
  });
});
