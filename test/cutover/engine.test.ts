/** How an instance begins, which stores it says it reaches, and what it leaves. */
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createEngine } from '../../cutover/engine.ts';
import type { Mode } from '../../cutover/mode.ts';
import { readStatus } from '../../cutover/operator/index.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { newAccount } from '../contract/fixtures.ts';
import { createWorld, type World } from './operator-world.ts';

let world: World;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.stop());

const run = <T>(promise: Promise<T>) => world.clock.run(promise);

describe('an instance says which stores it reaches', () => {
  const reaches = async () =>
    (await run(readStatus(world.context, { watchMs: 1_500 }))).instances.map((each) => each.reaches);

  it('and does not reach one that does not let its user read the record', async () => {
    await world.start(1, 'mongo-only');
    expect(await reaches()).toEqual([['mongo', 'postgres']]);
    world.hooks.postgres = {
      before: ({ name }) => {
        if (name === 'readControl') throw new StoreUnavailable('postgres', 'none', 'forbidden');
      },
    };
    await world.clock.pass(6_000);
    expect(await reaches()).toEqual([['mongo']]);
    world.mend('postgres');
    await world.clock.pass(6_000);
    expect(await reaches()).toEqual([['mongo', 'postgres']]);
  });

  it('and takes its row out of the authority, though that had not answered when it was last asked', async () => {
    await world.start(1, 'mongo-only');
    const { books } = world.stores.mongo;
    expect(await run(books.readLeases())).toHaveLength(1);
    world.cut('mongo');
    await world.clock.pass(1_500);
    world.mend('mongo');
    await world.stop();
    expect(await run(books.readLeases())).toEqual([]);
  });

  it('and leaves its row while one of its operations is under way, for which others then wait', async () => {
    const [engine] = await world.start(1, 'mongo-only');
    if (engine === undefined) throw new Error('one was started');
    const { books, tables } = world.stores.mongo;
    const gate = Promise.withResolvers<void>();
    world.hooks.mongo = {
      before: ({ name }) => (name === 'createAccount' ? gate.promise : undefined),
    };
    const signup = engine.repository.createAccount(newAccount());
    await world.stop();
    expect(tables.user.size).toBe(0);
    expect(await run(books.readLeases())).toHaveLength(1);
    gate.resolve();
    await run(signup);
  });
});

describe('an instance that cannot prepare a store', () => {
  const start = (store: StoreName, reason: StoreUnavailable['reason'], firstMode: Mode = 'mongo-only') => {
    const { stores, clock } = world;
    const prepare = async (given: Store) => {
      if (given.name === store) throw new StoreUnavailable(store, 'none', reason);
    };
    const engine = createEngine({
      stores,
      environment: clock,
      telemetry: SILENT,
      firstMode,
      retentionMs: 1,
      storeTimeoutMs: 2_000,
      digestKey: new Uint8Array(32),
      prepare,
    });
    onTestFinished(() => run(engine.stop(0)));
    return { engine, started: run(engine.start()) };
  };

  it.each([
    ['mongo', 'timeout', 'MongoDB does not answer in time'],
    ['postgres', 'read-only', 'PostgreSQL answers, but takes no writes'],
    ['postgres', 'connect', 'PostgreSQL cannot be reached'],
  ] as const)('waits for %s and says what is in the way: %s', async (store, reason, problem) => {
    const { engine, started } = start(store, reason);
    await started;
    expect(engine.status()).toMatchObject({ problem });
  });

  it.each([
    ['mongo', 'mongo-only', /^MongoDB does not let its user .* `npm run migrate`/],
    ['postgres', 'dual-write', /^PostgreSQL does not let its user .* `npm run migrate`/],
  ] as const)('does not start where %s does not let it', async (store, mode, says) => {
    await expect(start(store, 'forbidden', mode).started).rejects.toThrow(says);
  });

  it.each([
    ['mongo-only', 'postgres'],
    ['postgres-only', 'mongo'],
  ] as const)('begins in %s, which does not use %s, at the first start', async (mode, store) => {
    const { engine, started } = start(store, 'forbidden', mode);
    await started;
    expect(engine.status()).toMatchObject({ effective: mode, standing: 'serving', problem: null });
    expect(await run(world.stores[store].books.readControl())).toBeNull();
  });
});
