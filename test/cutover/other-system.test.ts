/** A URL leads to another system's database: nothing that stands there is followed, and nothing is written there. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromControl, OtherSystem, readControl } from '../../cutover/control.ts';
import { assertCopyable, authorityNow } from '../../cutover/copy/ready.ts';
import { createEngine, type EngineOptions, StartRefused } from '../../cutover/engine.ts';
import type { Mode } from '../../cutover/mode.ts';
import { move, readStatus } from '../../cutover/operator/index.ts';
import type { ControlRecord } from '../../cutover/protocol/types.ts';
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import { newAccount } from '../contract/fixtures.ts';
import { createWorld, FORCED, REQUEST, type World } from './operator-world.ts';
import { listen } from './support/mirror.ts';

let world: World;
let told: ReturnType<typeof listen>;
beforeEach(() => {
  told = listen();
  world = createWorld(told.telemetry);
});
afterEach(() => world.stop());

const run = <T>(promise: Promise<T>) => world.clock.run(promise);
const recordIn = (store: StoreName) => run(readControl(world.stores[store]));

/** From now on this store is another system's, in this mode. */
async function becomeOther(store: StoreName, epoch: number, mode: Mode): Promise<ControlRecord> {
  const { books } = world.stores[store];
  const own = await recordIn(store);
  if (own === null) throw new Error('a system was begun');
  const other: ControlRecord = { ...own, system: 'another', epoch, mode, revision: own.revision + 1 };
  expect(await run(books.replaceControl(own, fromControl(other)))).toBe(true);
  return other;
}

function engineOf(firstMode: Mode = 'mongo-only', stores: EngineOptions['stores'] = world.stores) {
  return createEngine({
    stores,
    environment: world.clock,
    telemetry: told.telemetry,
    firstMode,
    retentionMs: 30 * 86_400_000,
    storeTimeoutMs: 2_000,
    digestKey: new Uint8Array(32),
  });
}

describe('a store of another system', () => {
  it('keeps a process from starting, whichever of the two has come further', async () => {
    await world.start(1, 'mongo-only');
    await world.stop();
    for (const epoch of [1, 9]) {
      await becomeOther('postgres', epoch, 'postgres-only');
      const before = await Promise.all([recordIn('mongo'), recordIn('postgres')]);
      const engine = engineOf();
      await expect(run(engine.start())).rejects.toThrow(StartRefused);
      expect(engine.status()).toMatchObject({ effective: null, standing: 'no-record' });
      await run(engine.stop(0));
      expect(await Promise.all([recordIn('mongo'), recordIn('postgres')])).toEqual(before);
    }
  });

  it.each([1, 9])('is neither followed nor written to by who runs, at epoch %i', async (epoch) => {
    const [engine] = await world.start(1, 'dual-write');
    if (engine === undefined) throw new Error('one was started');
    const other = await becomeOther('postgres', epoch, 'postgres-only');
    await world.clock.pass(10_000);
    const { user, token, session } = newAccount();
    await run(engine.repository.createAccount({ user, token, session }));
    await world.clock.pass(60_000);
    expect(engine.status()).toMatchObject({ effective: 'dual-write', standing: 'serving', epoch: 1 });
    expect(engine.status().mirror.standsBecause).toMatch(/PostgreSQL .* another system: DATABASE_URL/);
    expect(world.stores.postgres.tables.user.size).toBe(0);
    expect(await recordIn('postgres')).toEqual(other);
    expect((await recordIn('mongo'))?.copy.kind).toBe('complete');
    const errors = told.logs.filter(({ level }) => level === 'error').map(({ message }) => message);
    expect(errors.filter((message) => message.includes('another system'))).toHaveLength(1);
  });

  it('is not written to by who finds it behind an outage', async () => {
    const [engine] = await world.start(1, 'dual-write');
    if (engine === undefined) throw new Error('one was started');
    world.hooks.postgres = {
      before() {
        throw new StoreUnavailable('postgres', 'none', 'connect');
      },
    };
    const { user, token, session } = newAccount();
    await run(engine.repository.createAccount({ user, token, session }));
    await world.clock.pass(60_000);
    world.hooks.postgres = {};
    await becomeOther('postgres', 1, 'postgres-only');
    await world.clock.pass(60_000);
    expect(world.stores.postgres.tables.user.size).toBe(0);
    expect(engine.status().mirror.standsBecause).toMatch(/another system/);
    const [row] = await run(world.stores.mongo.books.readLeases());
    expect(row?.body).toMatchObject({ facts: { reaches: ['mongo'] } });
  });

  it('is mirrored to again as soon as the URL leads home', async () => {
    const [engine] = await world.start(1, 'dual-write');
    if (engine === undefined) throw new Error('one was started');
    const own = await recordIn('postgres');
    const other = await becomeOther('postgres', 9, 'postgres-only');
    await world.clock.pass(10_000);
    const { user, token, session } = newAccount();
    await run(engine.repository.createAccount({ user, token, session }));
    await world.clock.pass(10_000);
    if (own === null) throw new Error('a system was begun');
    expect(await run(world.stores.postgres.books.replaceControl(other, fromControl(own)))).toBe(true);
    await world.clock.pass(60_000);
    expect(engine.status().mirror).toMatchObject({ standsBecause: null, pending: 0 });
    expect(world.stores.postgres.tables.user.has(user.id)).toBe(true);
  });

  it('that takes the place of the authority is not served from', async () => {
    const [engine] = await world.start(1, 'mongo-only');
    await becomeOther('mongo', 1, 'mongo-only');
    await world.clock.pass(60_000);
    expect(engine?.status().standing).toBe('no-lease');
    expect(engine?.status().problem).toMatch(/MongoDB .* another system: MONGO_URL/);
  });

  it('is told by every verb of the operator, and changed by none', async () => {
    await world.start(1, 'dual-write');
    const other = await becomeOther('postgres', 9, 'postgres-only');
    const mine = await recordIn('mongo');
    const { context } = world;
    await expect(run(readStatus(context, { watchMs: 0 }))).rejects.toThrow(OtherSystem);
    await expect(run(move(context, FORCED))).rejects.toThrow(OtherSystem);
    await expect(run(move(context, { ...REQUEST, direction: 'rollback' }))).rejects.toThrow(OtherSystem);
    await expect(run(assertCopyable(world, 'mongo'))).rejects.toThrow(OtherSystem);
    await expect(run(authorityNow(world))).rejects.toThrow(OtherSystem);
    expect(await recordIn('postgres')).toEqual(other);
    expect(await recordIn('mongo')).toEqual(mine);
  });

  it('does not keep an operator without its URL from doing without a mirror', async () => {
    await world.start(1, 'dual-write');
    const other = await becomeOther('postgres', 9, 'postgres-only');
    const alone = { ...world.context, stores: { mongo: world.stores.mongo, postgres: null } };
    const { kind, after } = await run(move(alone, { ...REQUEST, direction: 'rollback' }));
    expect({ kind, mode: after?.mode }).toEqual({ kind: 'done', mode: 'mongo-only' });
    expect(await recordIn('postgres')).toEqual(other);
  });

  it('is not what an older version has begun, which names none', async () => {
    await world.start(1, 'dual-write');
    const own = await recordIn('postgres');
    if (own === null) throw new Error('a system was begun');
    const { system: _, ...nameless } = own;
    expect(await run(world.stores.postgres.books.replaceControl(own, fromControl(nameless)))).toBe(true);
    await world.stop();
    await world.start(1, 'dual-write');
    expect((await run(readStatus(world.context, { watchMs: 0 }))).mode).toBe('dual-write');
  });
});

it('of two instances that begin a system at once both stores name the one that came first', async () => {
  let created = 0;
  world.hooks.mongo = {
    // Whoever comes first does not hear of it, so that the other one tells PostgreSQL.
    after: ({ name }) => {
      if (name !== 'createControl') return;
      created += 1;
      if (created === 1) throw new StoreUnavailable('mongo', 'unknown', 'timeout');
    },
  };
  const engines = [engineOf(), engineOf()];
  await run(Promise.all(engines.map((engine) => engine.start())));
  await world.clock.pass(10_000);
  const [mongo, postgres] = [await recordIn('mongo'), await recordIn('postgres')];
  expect(mongo?.system).toEqual(expect.any(String));
  expect(postgres?.system).toBe(mongo?.system);
  for (const engine of engines) await run(engine.stop(0));
});

it('of two that begin at once in postgres-only, one of them without MongoDB, PostgreSQL names both stores', async () => {
  const [both, alone] = [
    engineOf('postgres-only'),
    engineOf('postgres-only', { mongo: null, postgres: world.stores.postgres }),
  ];
  let isBegun = false;
  world.hooks.postgres = {
    async before({ name }) {
      if (name !== 'createControl' || isBegun) return;
      isBegun = true;
      await alone.start();
    },
  };
  await run(both.start());
  const [mongo, postgres] = [await recordIn('mongo'), await recordIn('postgres')];
  expect(postgres?.system).toEqual(expect.any(String));
  expect(mongo?.system).toBe(postgres?.system);
  for (const engine of [both, alone]) {
    expect(engine.status()).toMatchObject({ effective: 'postgres-only', problem: null });
    await run(engine.stop(0));
  }
});
