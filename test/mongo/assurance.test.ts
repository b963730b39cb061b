import { afterAll, describe, expect, it } from 'vitest';
import { openMongoStore } from '../../db/mongo/store.ts';
import { parallel, signUp } from '../contract/fixtures.ts';
import { freezeMongo } from '../support/faults.ts';
import { createLagProxy } from '../support/lag-proxy.ts';
import { newMongoDatabase, ownMongo } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';

const CONTEXT = { epoch: 1, pending: true };
/** The store’s own time-outs are far longer than what an assurance may take. */
const PATIENT = { timeoutMs: 20_000, assuranceTimeoutMs: 500 };

async function open(url: string, poolMax = 20) {
  const store = await openMongoStore({ url, poolMax, ...PATIENT, emailKeyPass: false });
  afterAll(() => store.close());
  return store;
}

describe('assurance', () => {
  it('is refused long before the store’s own time-outs without a server', async () => {
    const store = await open('mongodb://127.0.0.1:1/auth');
    await expect(store.assurance()).rejects.toMatchObject({ name: 'StoreUnavailable', outcome: 'none' });
  });

  it('is refused so by a frozen server, and given again afterwards', async () => {
    const server = await ownMongo();
    const store = await open(server.url);
    await signUp(store.at(CONTEXT));
    // A busy machine may take longer than that.
    expect(await eventually(() => store.assurance())).toEqual({ marks: 3, notes: {} });
    const frozen = await freezeMongo(server);
    try {
      let hasRead = false;
      const reading = store
        .at(CONTEXT)
        .findUser('a')
        .finally(() => {
          hasRead = true;
        });
      await expect(store.assurance()).rejects.toMatchObject({ name: 'StoreUnavailable', outcome: 'none' });
      expect(hasRead).toBe(false);
      frozen.thaw();
      await reading;
      expect(await eventually(() => store.assurance())).toEqual({ marks: 3, notes: {} });
    } finally {
      frozen.thaw();
    }
  });
});

describe('poolUse', () => {
  it('counts the connections that hang, and who waits for one', async () => {
    const url = newMongoDatabase();
    const proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
    const store = await open(proxy.through(url), 2);
    expect(store.poolUse()).toEqual({ used: 0, idle: 0, waiting: 0, max: 2 });
    const repo = store.at(CONTEXT);
    await parallel(4, () => repo.findUser('a'));
    expect(store.poolUse()).toEqual({ used: 0, idle: 2, waiting: 0, max: 2 });
    proxy.freeze();
    const hanging = parallel(3, () => repo.findUser('a'));
    await eventually(() => {
      expect(store.poolUse()).toEqual({ used: 2, idle: 0, waiting: 1, max: 2 });
    });
    proxy.heal();
    await hanging;
    expect(store.poolUse()).toEqual({ used: 0, idle: 2, waiting: 0, max: 2 });
    proxy.cut();
    await eventually(() => {
      expect(store.poolUse()).toEqual({ used: 0, idle: 0, waiting: 0, max: 2 });
    });
    await store.close();
    await proxy.close();
  });
});
