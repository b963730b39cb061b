/** Writes whose outcome nobody knows, begun while no mirror was on. */
import { describe, expect, it, onTestFinished } from 'vitest';
import type { WriteOperation } from '../../cutover/late-writes.ts';
import { move } from '../../cutover/operator/index.ts';
import { READS } from '../../cutover/router.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Repository, Store } from '../../db/port.ts';
import { ENTITIES } from '../../db/records.ts';
import { EACH } from '../contract/cases/each.ts';
import { freshId, NOW, newAccount, newSession, signUp } from '../contract/fixtures.ts';
import { openEngine } from '../support/engine.ts';
import { createMemoryStore, type Hooks, type MemoryStore } from '../support/memory/store.ts';
import { eventually } from '../support/wait.ts';
import { createWorld, REQUEST } from './operator-world.ts';
import { moveMode } from './support/control.ts';

const LOST = new StoreUnavailable('mongo', 'unknown', 'timeout');
const DONE = { revokedReason: 'logout' };

async function openSystem() {
  const hooks: { -readonly [K in keyof Hooks]: Hooks[K] } = {};
  const stores = {
    mongo: createMemoryStore({
      name: 'mongo',
      hooks: {
        before: (operation) => hooks.before?.(operation),
        after: (operation) => hooks.after?.(operation),
      },
    }),
    postgres: createMemoryStore({ name: 'postgres' }),
  };
  const { engine } = await openEngine('mongo-only', { stores, date: () => NOW });
  onTestFinished(() => engine.stop(1_000));
  const account = newAccount();
  await engine.repository.createAccount(account);
  const sessionId = account.session.id;
  const logout = () =>
    engine.repository.revokeSession({ sessionId, userId: null, reason: 'logout', now: NOW });
  const held = (store: keyof typeof stores) => stores[store].tables.session.get(sessionId);
  const startMirror = () => moveMode(stores.mongo, 'dual-write', NOW.getTime());
  return { ...stores, engine, hooks, logout, held, startMirror };
}

it('one that has landed reaches the mirror, though nobody writes the record again', async () => {
  const { hooks, logout, held, startMirror } = await openSystem();
  hooks.after = ({ name }) => {
    if (name === 'revokeSession') throw LOST;
  };
  await expect(logout()).rejects.toBe(LOST);
  expect(held('mongo')).toMatchObject({ record: DONE, pendingAt: null });
  delete hooks.after;
  // Told that it is logged out, on the ground of a write without a mark.
  expect(await logout()).toBe(false);
  await startMirror();
  await eventually(() => expect(held('postgres')?.record).toMatchObject(DONE));
  expect(held('mongo')?.record.stamp).toEqual({ epoch: 1, version: 3 });
});

it('one that is still on its way finds another stamp than it has read', async () => {
  const { hooks, logout, held, startMirror } = await openSystem();
  hooks.before = ({ name }) => {
    if (name === 'revokeSession') throw LOST;
  };
  await expect(logout()).rejects.toBe(LOST);
  await startMirror();
  await eventually(() => expect(held('postgres')?.record).toMatchObject({ revokedReason: null }));
  expect(held('mongo')?.record).toMatchObject({ stamp: { epoch: 1, version: 2 }, revokedReason: null });
});

it('a record that comes into being only after the copy is found, and reaches the mirror', async () => {
  const world = createWorld();
  onTestFinished(() => world.stop());
  const { mongo, postgres } = world.stores;
  const [engine] = await world.start(1, 'mongo-only');
  if (engine === undefined) throw new Error('one was started');
  const account = newAccount();
  world.hooks.mongo = {
    before: ({ name }) => {
      if (name === 'createAccount') throw LOST;
    },
  };
  const lost = engine.repository.createAccount(account).catch((error: unknown) => error);
  expect(await world.clock.run(lost)).toBe(LOST);
  world.mend('mongo');
  await world.clock.run(move(world.context, { ...REQUEST, to: 'dual-write' }));
  await world.clock.pass(60_000);
  await world.clock.run(mongo.at({ epoch: 1, pending: false }).createAccount(account));
  await world.clock.pass(10_000);
  expect(postgres.tables.user.get(account.user.id)?.record).toMatchObject({ email: account.user.email });
  expect(postgres.tables.session.has(account.session.id)).toBe(true);
  expect(postgres.tables.verificationToken.has(account.token.id)).toBe(true);
});

it('one that was answered is left to the copy', async () => {
  const { engine, mongo, logout, held, startMirror } = await openSystem();
  expect(await logout()).toBe(true);
  await startMirror();
  await eventually(() => expect(engine.status().effective).toBe('dual-write'));
  const account = newAccount();
  await engine.repository.createAccount(account);
  await eventually(async () => expect(await mongo.replica.countMarks()).toMatchObject({ count: 0 }));
  expect([held('mongo')?.record.stamp, held('postgres')]).toEqual([{ epoch: 1, version: 2 }, undefined]);
});

it('however many there are, nobody who stops waits for all of them', async () => {
  const world = createWorld();
  const [engine] = await world.start(1, 'mongo-only');
  if (engine === undefined) throw new Error('one was started');
  const accounts = Array.from({ length: 50 }, () => newAccount());
  for (const account of accounts) await world.clock.run(engine.repository.createAccount(account));
  world.hooks.mongo = {
    after: ({ name }) => {
      if (name === 'endSessions') throw LOST;
    },
  };
  for (const { user } of accounts) {
    const ending = engine.repository.endSessions({ userId: user.id, now: world.clock.date() });
    await expect(world.clock.run(ending)).rejects.toBe(LOST);
  }
  // From now on it hangs, until its own limit.
  world.hooks.mongo = {
    before: async ({ name }) => {
      if (name !== 'touch') return;
      await world.clock.sleep(2_000);
      throw LOST;
    },
  };
  await world.clock.run(move(world.context, REQUEST));
  const startMs = world.clock.elapsedMs();
  await world.stop();
  expect(world.clock.elapsedMs() - startMs).toBeLessThan(10_000);
});

it('nor for each read of a store that hangs', async () => {
  const world = createWorld();
  const [engine] = await world.start(1, 'mongo-only');
  if (engine === undefined) throw new Error('one was started');
  world.hooks.mongo = {
    before: ({ name }) => {
      if (name === 'endSessions') throw LOST;
    },
  };
  for (let i = 0; i < 2_000; i += 1) {
    const ending = engine.repository.endSessions({ userId: freshId(), now: world.clock.date() });
    await expect(ending).rejects.toBe(LOST);
  }
  let reads = 0;
  world.hooks.mongo = {
    before: async ({ name }) => {
      if (name !== 'read') return;
      reads += 1;
      await world.clock.sleep(1_900);
    },
  };
  await world.clock.run(move(world.context, REQUEST));
  await world.clock.pass(1_000);
  expect(reads).toBeGreaterThan(0);
  const startMs = world.clock.elapsedMs();
  await world.stop();
  expect(world.clock.elapsedMs() - startMs).toBeLessThan(4_000);
});

it('one that cannot be marked is told of now and then', async () => {
  const lines: string[] = [];
  const world = createWorld({ ...SILENT, warn: (_, message) => lines.push(message) });
  onTestFinished(() => world.stop());
  const [engine] = await world.start(1, 'mongo-only');
  if (engine === undefined) throw new Error('one was started');
  const { user } = await world.clock.run(signUp(engine.repository));
  world.hooks.mongo = {
    before: ({ name }) => {
      if (name === 'touch') throw new TypeError('permission denied');
    },
    after: ({ name }) => {
      if (name === 'endSessions') throw LOST;
    },
  };
  const ending = engine.repository.endSessions({ userId: user.id, now: world.clock.date() });
  await expect(world.clock.run(ending)).rejects.toBe(LOST);
  await world.clock.run(move(world.context, REQUEST));
  lines.length = 0;
  await world.clock.pass(61_000);
  const told = lines.filter((line) => line.includes('late write'));
  expect(told.length).toBeGreaterThan(0);
  expect(told.length).toBeLessThanOrEqual(3);
});

/** What the store holds, by entity and id. */
function contentsOf({ tables }: MemoryStore): ReadonlyMap<string, object> {
  const all = ENTITIES.flatMap((entity) =>
    [...tables[entity]].map(([id, { record }]) => [`${entity} ${id}`, record] as const),
  );
  return new Map(all);
}

describe('whatever was written without a mark, and nobody was told of, reaches the mirror:', () => {
  const CASES: typeof EACH = {
    ...EACH,
    async openSession(repo) {
      const { user, session } = await signUp(repo);
      const opened = newSession(user.id);
      await repo.openSession({ session: opened, replacesId: session.id, sessionsMax: 9, now: NOW });
    },
  };
  const isWrite = (name: keyof Repository): name is WriteOperation =>
    name !== 'purge' && !READS.some((read) => read === name);

  it.each((Object.keys(CASES) as (keyof Repository)[]).filter(isWrite))('%s', async (operation) => {
    const world = createWorld();
    onTestFinished(() => world.stop());
    const { mongo, postgres } = world.stores;
    const written = new Set<string>();
    const answers: unknown[] = [];
    const deaf: Store = {
      ...mongo,
      at(context) {
        const repo = mongo.at(context);
        const act = repo[operation] as (...args: unknown[]) => Promise<unknown>;
        const lost = async (...args: unknown[]) => {
          const before = contentsOf(mongo);
          answers.push(await act(...args));
          for (const [name, record] of contentsOf(mongo)) if (before.get(name) !== record) written.add(name);
          throw LOST;
        };
        return { ...repo, [operation]: lost };
      },
    };
    const [engine] = await world.start(1, 'mongo-only', { mongo: deaf });
    if (engine === undefined) throw new Error('one was started');
    // The case goes on with the answer that its caller never got.
    const ask = engine.repository[operation] as (...args: unknown[]) => Promise<unknown>;
    const asked = (...args: unknown[]) =>
      ask(...args).catch((error: unknown) => {
        expect(error).toBe(LOST);
        return answers.pop();
      });
    await world.clock.run(CASES[operation]({ ...engine.repository, [operation]: asked }));
    await world.clock.run(move(world.context, { ...REQUEST, to: 'dual-write' }));
    await world.clock.pass(10_000);
    // Whose sessions are erased along with a user, the operation itself does not say.
    if (operation === 'eraseUser')
      for (const name of written) if (name.startsWith('session')) written.delete(name);
    expect(written.size).toBeGreaterThan(0);
    const [held, mirrored] = [contentsOf(mongo), contentsOf(postgres)];
    for (const name of written) expect([name, mirrored.get(name)]).toEqual([name, held.get(name)]);
  });
});
