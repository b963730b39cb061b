/** Records, rows and settings that this version cannot read: another version's, restored, damaged, forbidden. */
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { OUTPUTS } from '../../cutover/cli/schemas.ts';
import { readControl } from '../../cutover/control.ts';
import type { Mode } from '../../cutover/mode.ts';
import {
  endSessions,
  eraseUser,
  failover,
  log,
  type MoveRequest,
  move,
  pending,
  planMove,
  readStatus,
  setSetting,
} from '../../cutover/operator/index.ts';
import { fenceEntry } from '../../cutover/snapshot/fence.ts';
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Json } from '../../db/replica.ts';
import { signUp } from '../contract/fixtures.ts';
import { openEngine } from '../support/engine.ts';
import { createMemoryStore } from '../support/memory/store.ts';
import { eventually } from '../support/wait.ts';
import { inside, json } from './cli-program.ts';
import { createWorld, FORCED, type World } from './operator-world.ts';

let world: World;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.stop());

const run = <T>(promise: Promise<T>) => world.clock.run(promise);
const go = (to: Mode, direction: MoveRequest['direction'] = 'promote') =>
  run(move(world.context, { ...FORCED, to, direction }));
const status = (watchMs = 1_500) => run(readStatus(world.context, { watchMs }));

async function startOne(mode: Mode) {
  const [engine] = await world.start(1, mode);
  if (engine === undefined) throw new Error('one was started');
  return engine;
}

/** Puts something else in the place of a store's record; what was there. */
async function plant(store: StoreName, given: { body?: Json; epoch?: number; revision?: number }) {
  const { books } = world.stores[store];
  const was = await run(books.readControl());
  if (was === null) throw new Error('there is no record');
  const planted = { ...was, ...given };
  await run(books.replaceControl(was, planted));
  return () => run(books.replaceControl(planted, was));
}

function forbid(store: StoreName): void {
  world.hooks[store] = {
    before: ({ name }) => {
      const cause = Object.assign(new Error('permission denied'), { code: '42501' });
      if (name === 'readControl') throw new StoreUnavailable(store, 'none', 'forbidden', { cause });
    },
  };
}

const TROUBLES: readonly [string, RegExp, (store: StoreName) => unknown][] = [
  [
    'restored',
    /was restored from a snapshot/,
    (store) =>
      plant(store, fenceEntry({ snapshot: 's', complete: true, atMs: 0, control: null, epoch: 1 }, 1)),
  ],
  [
    'another version’s',
    /another version, or is damaged: check mode/,
    (store) => plant(store, { body: { mode: 'x' } }),
  ],
  [
    'no JSON',
    /another version, or is damaged: it is no object/,
    (store) => plant(store, { body: '{"mode":' }),
  ],
  ['half a revision', /check revision/, (store) => plant(store, { revision: 1.5 })],
  ['forbidden', /cannot be read \(42501\)/, forbid],
];
const [RESTORED, NEWER, , , FORBIDDEN] = TROUBLES;
if (RESTORED === undefined || NEWER === undefined || FORBIDDEN === undefined) throw new Error('named above');

const UNNEEDED: readonly [Mode, StoreName][] = [
  ['mongo-only', 'postgres'],
  ['dual-write', 'postgres'],
  ['shadow-read', 'postgres'],
  ['postgres-primary', 'mongo'],
  ['postgres-only', 'mongo'],
];

describe('an instance that starts', () => {
  it.each(
    UNNEEDED.flatMap(([mode, store]) =>
      TROUBLES.map(([what, , inflict]) => [mode, store, what, inflict] as const),
    ),
  )('in %s serves although the record of %s is %s', async (mode, store, _what, inflict) => {
    await startOne(mode);
    await inflict(store);
    const engine = await startOne(mode);
    expect(engine.status()).toMatchObject({ effective: mode, standing: 'serving', problem: null });
    await run(signUp(engine.repository));
  });

  it.each(TROUBLES)(
    'serves nothing while the authority’s record is %s, and says so',
    async (_w, says, inflict) => {
      await startOne('mongo-only');
      await world.stop();
      const mend = await inflict('mongo');
      const engine = await startOne('mongo-only');
      expect(engine.status()).toMatchObject({ standing: 'no-lease', problem: expect.stringMatching(says) });
      expect(engine.status().problem).toContain('MongoDB');
      if (typeof mend === 'function') await mend();
      else world.mend('mongo');
      await world.clock.pass(2_000);
      expect(engine.status()).toMatchObject({ standing: 'serving', problem: null });
    },
  );

  it('and one that runs serves nothing any more, says why, and goes on once the record is mended', async () => {
    const engine = await startOne('mongo-only');
    const mend = await plant('mongo', { body: { mode: 'x' } });
    await world.clock.pass(6_000);
    expect(engine.status()).toMatchObject({
      standing: 'no-lease',
      problem: expect.stringMatching(/MongoDB/),
    });
    await mend();
    await world.clock.pass(2_000);
    expect(engine.status()).toMatchObject({ standing: 'serving', problem: null });
  });

  it('begins no new system over a record that it cannot read', async () => {
    await run(world.stores.postgres.books.createControl({ epoch: 1, revision: 1, body: { mode: 'x' } }));
    const engine = await startOne('mongo-only');
    expect(engine.status()).toMatchObject({
      standing: 'no-record',
      problem: expect.stringMatching(/PostgreSQL/),
    });
    expect(await run(world.stores.mongo.books.readControl())).toBeNull();
  });

  it('serves nothing beside an unreadable record of a higher epoch, which may have overruled the one it reads', async () => {
    await startOne('postgres-primary');
    await world.stop();
    await plant('mongo', { body: { mode: 'x' }, epoch: 7 });
    const engine = await startOne('postgres-primary');
    expect(engine.status()).toMatchObject({
      standing: 'no-lease',
      problem: expect.stringMatching(/MongoDB/),
    });
    await expect(status()).resolves.toMatchObject({ instances: [], next: [] });
    await expect(run(pending(world.context, { limit: 1 }))).rejects.toThrow(/of MongoDB/);
  });
});

describe('verbs', () => {
  it.each(TROUBLES)(
    'go on in mongo-only with a record of PostgreSQL that is %s',
    async (_what, says, inflict) => {
      const engine = await startOne('mongo-only');
      const [one, two] = [await run(signUp(engine.repository)), await run(signUp(engine.repository))];
      await inflict('postgres');
      const shown = await status();
      expect(shown.stores).toMatchObject([
        { name: 'mongo', reachable: true, problem: null },
        { name: 'postgres', reachable: true, control: null, problem: expect.stringMatching(says) },
      ]);
      expect(shown.instances).toMatchObject([{ state: 'current' }]);
      expect(await run(setSetting(world.context, 'shadow-rate', '7'))).toMatchObject({ kind: 'done', is: 7 });
      expect(await run(endSessions(world.context, { userId: one.user.id }))).toMatchObject({ kind: 'done' });
      const aside = ['conflict', `user/${two.user.id}`] as const;
      await run(world.stores.postgres.books.putNote(...aside, {}, world.clock.date()));
      const erased = await run(eraseUser(world.context, { userId: two.user.id }));
      expect(erased).toMatchObject({ kind: 'done', leftoversRemoved: 1 });
      expect(world.stores.mongo.tables.user.get(two.user.id)?.record.deletedAt).not.toBeNull();
      expect(await run(pending(world.context, { limit: 1 }))).toMatchObject({ orphans: null });
      expect((await run(log(world.context, { limit: 9 }))).lines.map(({ event }) => event.kind)).toContain(
        'set',
      );
      expect((await run(planMove(world.context, { to: null, direction: 'promote' }))).kind).toBe('planned');
      const refused = await run(move(world.context, FORCED));
      expect(refused).toMatchObject({
        kind: 'refused',
        failing: [{ name: 'reachable', found: expect.stringMatching(says), kind: 'safety' }],
      });
    },
  );

  it('status says why nothing is mirrored to a store that was restored, and retention does not touch it', async () => {
    const engine = await startOne('mongo-only');
    await go('dual-write');
    await RESTORED[2]('postgres');
    const { user, session } = await run(signUp(engine.repository));
    await world.clock.pass(3_000);
    expect(world.stores.postgres.tables.user.has(user.id)).toBe(false);
    expect((await status()).stores[1]).toMatchObject({
      role: 'mirror',
      problem: expect.stringMatching(/^PostgreSQL was restored .*: nothing is mirrored to it$/),
    });
    expect(engine.status().mirror).toMatchObject({ standsBecause: expect.stringMatching(RESTORED[1]) });
    const written: string[] = [];
    world.hooks.postgres = {
      before({ kind, name }) {
        if (kind === 'write') written.push(name);
      },
    };
    const expiredBefore = new Date(session.expiresAt.getTime() + 1);
    await run(engine.repository.purge({ expiredBefore, limit: 10 }));
    await world.clock.pass(3_000);
    expect(written).toEqual([]);
  });

  it('roll back to where the store with such a record is not needed', async () => {
    await startOne('mongo-only');
    await go('shadow-read');
    await RESTORED[2]('postgres');
    expect(await go('mongo-only', 'rollback')).toMatchObject({ kind: 'done', after: { mode: 'mongo-only' } });
  });

  it('do not take a PostgreSQL whose record cannot be read for lost', async () => {
    await startOne('postgres-primary');
    await NEWER[2]('postgres');
    const request = { acceptLoss: true, reason: 'a test' };
    expect(await run(failover(world.context, request))).toMatchObject({
      kind: 'refused',
      reasons: [expect.stringMatching(/PostgreSQL answers, though the control record of PostgreSQL/)],
    });
  });

  it('change nothing while the authority’s own record cannot be read, and name it', async () => {
    await startOne('mongo-only');
    await go('dual-write');
    await NEWER[2]('mongo');
    await expect(run(setSetting(world.context, 'shadow-rate', '7'))).rejects.toThrow(NEWER[1]);
    const shown = await status();
    expect(shown).toMatchObject({ mode: 'dual-write', instances: [], next: [] });
    expect(shown.rollback.why).toMatch(/the control record of MongoDB was written by another version/);
    await FORBIDDEN[2]('postgres');
    await expect(status()).rejects.toThrow(/the control record of MongoDB/);
  });
});

describe('the command line', () => {
  const open = async () => ({ stores: world.stores, configuredMode: null, close: async () => {} });

  it.each([
    ['mongo-only', 'done', ''],
    ['dual-write', 'difference', 'the control record of PostgreSQL was written by another version'],
  ] as const)('shows it in %s: %s', async (mode, outcome, says) => {
    await startOne(mode);
    await world.stop();
    await NEWER[2]('postgres');
    const ended = await inside(['status', '--json'], open);
    expect(json('status', ended)).toMatchObject({ outcome, mode });
    expect(ended.err).toContain(says);
    expect((await inside(['status'], open)).out).toMatch(NEWER[1]);
  });

  it('names the store and what to do when it is the authority’s', async () => {
    await startOne('mongo-only');
    await world.stop();
    await NEWER[2]('mongo');
    expect(json('failure', await inside(['set', 'shadow-rate', '7', '--json'], open))).toMatchObject({
      outcome: 'difference',
      error: { store: 'mongo', remedy: expect.stringContaining('run the version') },
    });
    world.mend('mongo');
    await FORBIDDEN[2]('mongo');
    expect(json('failure', await inside(['abort', '--json'], open))).toMatchObject({
      error: {
        store: 'mongo',
        message: expect.stringContaining('42501'),
        remedy: expect.stringContaining('cutover_*'),
      },
    });
  });
});

describe('an authority whose database is empty', () => {
  const without = (name: StoreName) => {
    const store = world.stores[name];
    return { [name]: { ...store, books: { ...store.books, readControl: async () => null } } };
  };

  it.each([
    ['dual-write', 'mongo', 'MongoDB', 'MONGO_URL'],
    ['postgres-primary', 'postgres', 'PostgreSQL', 'DATABASE_URL'],
  ] as const)('is told as such in %s', async (mode, name, product, variable) => {
    await startOne(mode);
    await run(setSetting(world.context, 'shadow-rate', '7'));
    await world.stop();
    const [engine] = await world.start(1, mode, without(name));
    const problem = `${product} has no control record`;
    expect(engine?.status()).toMatchObject({ standing: 'no-lease', problem });
    const stores = { ...world.stores, ...without(name) };
    const open = async () => ({ stores, configuredMode: null, close: async () => {} });
    expect(json('failure', await inside(['set', 'shadow-rate', '8', '--json'], open))).toMatchObject({
      outcome: 'unreachable',
      error: {
        message: expect.stringContaining('holds no control record'),
        remedy: expect.stringContaining(variable),
      },
    });
    const shown = await run(readStatus({ ...world.context, stores }, { watchMs: 0 }));
    expect(shown).toMatchObject({ next: [], rollback: { why: expect.stringMatching(/no control record/) } });
    expect(json('status', await inside(['status', '--json'], open))).toMatchObject({
      outcome: 'difference',
      stores: expect.arrayContaining([expect.objectContaining({ name, problem })]),
    });
  });

  it('has not come back: no rollback leads through it, and no failover past it', async () => {
    await startOne('postgres-primary');
    await world.stop();
    const context = { ...world.context, stores: { ...world.stores, ...without('postgres') } };
    expect(await run(failover(context, { acceptLoss: true, reason: 'a test' }))).toMatchObject({
      kind: 'refused',
      reasons: [expect.stringMatching(/PostgreSQL answers, though .* no control record/)],
    });
  });
});

describe('a row of leases that cannot be read', () => {
  const row = { instance: 'newer', counter: 1, body: { v: 2 } };

  it('counts as an instance that may be there and does not follow, and is named', async () => {
    await startOne('mongo-only');
    const { books } = world.stores.mongo;
    let counter = 1;
    world.hooks.mongo = {
      before: async ({ name }) => {
        if (name !== 'readLeases') return;
        counter += 1;
        await books.writeLease({ ...row, counter });
      },
    };
    const { instances, next } = await status();
    expect(instances).toContainEqual(
      expect.objectContaining({ instance: 'newer', state: 'behind', isReadable: false }),
    );
    const gate = next[0]?.gates.find(({ name }) => name === 'instances');
    expect(gate).toMatchObject({ ok: false, remedy: expect.stringMatching(/newer \(of another version\)/) });
    const refused = await run(move(world.context, { ...FORCED, timeoutMs: 5_000 }));
    expect(refused.failing.map(({ name }) => name)).toContain('instances');
  });

  it('is waited out for as long as any lease can last, then taken away', async () => {
    await startOne('mongo-only');
    const { books } = world.stores.mongo;
    await run(books.writeLease(row));
    const named = async () => (await run(books.readLeases())).map(({ instance }) => instance);
    await world.clock.pass(590_000);
    expect(await named()).toContain('newer');
    await world.clock.pass(100_000);
    expect(await named()).not.toContain('newer');
    expect(await go('dual-write')).toMatchObject({ kind: 'done' });
  });

  it('stays when whoever is behind it wakes while it is about to be taken away', async () => {
    await startOne('mongo-only');
    const { books } = world.stores.mongo;
    await run(books.writeLease(row));
    let woken = 0;
    world.hooks.mongo = {
      before: async ({ name }) => {
        if (name !== 'removeLease') return;
        woken += 1;
        await books.writeLease({ ...row, counter: row.counter + woken });
      },
    };
    await world.clock.pass(690_000);
    expect(woken).toBe(1);
    expect(await run(books.readLeases())).toContainEqual({ ...row, counter: row.counter + 1 });
  });
});

describe('settings in a record that this version does not take', () => {
  const SETTINGS = { 'lease-ms': '5s', 'poll-ms': -1, 'future-knob': 3, 'shadow-rate': 7 };

  async function startWith(settings: Json) {
    const engine = await startOne('shadow-read');
    const { books } = world.stores.mongo;
    const was = await run(books.readControl());
    if (was === null) throw new Error('there is a record');
    const body = { ...(was.body as object), settings };
    await run(books.replaceControl(was, { ...was, revision: was.revision + 1, body }));
    await world.clock.pass(2_000);
    return engine;
  }

  it('leave the defaults in force: a lease still lapses', async () => {
    const engine = await startWith(SETTINGS);
    expect(engine.member.settings()).toMatchObject({ 'lease-ms': 5_000, 'poll-ms': 500, 'shadow-rate': 7 });
    world.cut('mongo');
    world.cut('postgres');
    await world.clock.pass(6_000);
    expect(engine.status().standing).toBe('no-lease');
  });

  it('are named by status, whose schema they do not break, and kept by a change of another one', async () => {
    await startWith(SETTINGS);
    const shown = await status();
    expect(shown.ignoredSettings).toEqual(['lease-ms', 'poll-ms', 'future-knob']);
    expect(shown.settings).toMatchObject({ 'lease-ms': 5_000 });
    const envelope = { verb: 'status', outcome: 'done', exitCode: 0 };
    expect(OUTPUTS.status.safeParse({ ...envelope, ...shown }).error?.issues).toBeUndefined();
    await run(setSetting(world.context, 'lease-ms', '6000'));
    expect((await run(readControl(world.stores.mongo)))?.settings).toEqual({
      ...SETTINGS,
      'lease-ms': 6_000,
    });
  });
});

describe('an instance that starts beside a store that was restored', () => {
  it('makes nothing ready in it', async () => {
    const stores = {
      mongo: createMemoryStore({ name: 'mongo' }),
      postgres: createMemoryStore({ name: 'postgres' }),
    };
    const first = await openEngine('dual-write', { stores });
    await first.engine.stop(0);
    const { books } = stores.postgres;
    const was = await books.readControl();
    if (was === null) throw new Error('both have a record');
    const fence = { snapshot: 's', complete: true, atMs: 0, control: null, epoch: 1 };
    await books.replaceControl(was, fenceEntry(fence, was.revision));
    const prepared: string[] = [];
    const prepare = async ({ name }: Store) => void prepared.push(name);
    const { engine } = await openEngine('dual-write', { stores, prepare });
    onTestFinished(() => engine.stop(0));
    await eventually(() => engine.status().mirror.standsBecause !== null);
    expect(prepared).toEqual(['mongo']);
  });
});
