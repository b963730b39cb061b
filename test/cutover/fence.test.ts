/** What waits at a fence: admitted operations finish, new ones wait in bounded number, and none is answered falsely. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { changeControl, fromControl, readControl, readLeases } from '../../cutover/control.ts';
import { RULES } from '../../cutover/protocol/rules.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { freshId, newAccount, signUp } from '../contract/fixtures.ts';
import { openEngine } from '../support/engine.ts';
import { createMemoryStore, type MemoryStore } from '../support/memory/store.ts';
import { eventually } from '../support/wait.ts';
import { createWorld } from './operator-world.ts';
import { announce, recordOf, setIn } from './support/control.ts';

const transition = {
  id: 'attempt-1',
  target: 'postgres-primary',
  phase: 'announced',
  deadlineMs: 60_000,
} as const;

async function openSystem(hooks: Parameters<typeof createMemoryStore>[0]['hooks'] = {}) {
  const stores = {
    mongo: createMemoryStore({ name: 'mongo', hooks }),
    postgres: createMemoryStore({ name: 'postgres' }),
  };
  const opened = await openEngine('shadow-read', { stores });
  onTestFinished(() => opened.engine.stop(1_000));
  return { ...opened, mongo: stores.mongo, postgres: stores.postgres };
}

async function fence(mongo: MemoryStore): Promise<void> {
  await announce(mongo, transition);
  await changeControl(mongo, { kind: 'fence', id: transition.id });
}

/** One engine on a clock that jumps. */
async function openWorld() {
  const world = createWorld();
  onTestFinished(() => world.stop());
  const [engine] = await world.start(1, 'shadow-read');
  if (engine === undefined) throw new Error('one was started');
  return { ...world, repository: engine.repository, engine };
}

const acknowledged = async (mongo: MemoryStore) =>
  (await readLeases(mongo)).map(({ ack }) => ack?.phase ?? null);

describe('behind a fence', () => {
  it('at most 1,000 operations wait; the next is refused, and all others go on after an abort', async () => {
    const { engine, mongo } = await openSystem();
    await fence(mongo);
    await eventually(() => engine.status().standing === 'fenced');
    const waiting = Array.from({ length: 1_000 }, () => engine.repository.findUser(freshId()));
    expect(engine.status().waiting).toBe(1_000);
    await expect(engine.repository.findUser(freshId())).rejects.toMatchObject({
      name: 'StoreUnavailable',
      outcome: 'none',
      reason: 'queue-full',
    });
    await changeControl(mongo, { kind: 'abort', id: transition.id });
    expect(await Promise.all(waiting)).toHaveLength(1_000);
    expect(engine.status().waiting).toBe(0);
  });

  it('a stop is acknowledged only once what was admitted has been answered, mirroring aside', async () => {
    const gate = Promise.withResolvers<void>();
    const { engine, mongo } = await openSystem({
      before: ({ name }) => (name === 'createAccount' ? gate.promise : undefined),
    });
    const signup = engine.repository.createAccount(newAccount());
    await fence(mongo);
    await eventually(() => engine.status().standing === 'fenced');
    await eventually(async () => expect(await acknowledged(mongo)).toEqual(['announced']));
    gate.resolve();
    await signup;
    await eventually(async () => expect(await acknowledged(mongo)).toEqual(['stopped']));
  });

  it('what had no answer counts as under way until the store’s own limit on it has passed', async () => {
    const { clock, stores, hooks, repository, engine } = await openWorld();
    const lost = new StoreUnavailable('mongo', 'unknown', 'timeout');
    hooks.mongo = {
      before: ({ name }) => {
        if (name === 'createAccount') throw lost;
      },
    };
    await expect(clock.run(repository.createAccount(newAccount()))).rejects.toBe(lost);
    const lostMs = clock.elapsedMs();
    await clock.run(fence(stores.mongo));
    await clock.pass(2_400 - (clock.elapsedMs() - lostMs));
    expect(engine.status().standing).toBe('fenced');
    expect(await clock.run(acknowledged(stores.mongo))).toEqual(['announced']);
    await clock.pass(200);
    expect(await clock.run(acknowledged(stores.mongo))).toEqual(['stopped']);
  });

  it('what waits goes on in the other store when authority has gone there', async () => {
    const { engine, mongo, postgres } = await openSystem();
    const account = newAccount();
    await fence(mongo);
    await eventually(() => engine.status().standing === 'fenced');
    const signup = engine.repository.createAccount(account);
    await eventually(async () => expect(await acknowledged(mongo)).toEqual(['stopped']));
    // The coordinator dies between the two halves: the instance itself finishes the change.
    await changeControl(mongo, { kind: 'lose', id: transition.id });
    await signup;
    expect(engine.status()).toMatchObject({ effective: 'postgres-primary', epoch: 2, standing: 'serving' });
    expect(postgres.tables.user.get(account.user.id)?.record.stamp).toEqual({ epoch: 2, version: 1 });
  });

  it('an attempt that was left standing is ended past its deadline, by whoever watches it', async () => {
    const { engine, mongo } = await openSystem();
    await announce(mongo, { ...transition, deadlineMs: 200 });
    await changeControl(mongo, { kind: 'fence', id: transition.id });
    await eventually(() => engine.status().standing === 'fenced');
    expect(await engine.repository.findUser(freshId())).toBeNull();
    expect(engine.status()).toMatchObject({ effective: 'shadow-read', transition: null });
  });
});

describe('a store that was given up as lost, and came back', () => {
  it('is left by whoever still follows it, as soon as the other one is looked at', async () => {
    const stores = {
      mongo: createMemoryStore({ name: 'mongo' }),
      postgres: createMemoryStore({ name: 'postgres' }),
    };
    const { engine } = await openEngine('postgres-primary', { stores });
    onTestFinished(() => engine.stop(1_000));
    const record = await readControl(stores.mongo);
    if (record === null) throw new Error('both stores hold the first record');
    const taken = { ...record, mode: 'mongo-only', epoch: 3, revision: record.revision + 5 } as const;
    await stores.mongo.books.replaceControl(record, fromControl(taken));
    await eventually(() => engine.status().effective === 'mongo-only');
    const account = newAccount();
    await engine.repository.createAccount(account);
    expect(stores.mongo.tables.user.get(account.user.id)?.record.stamp.epoch).toBe(3);
    expect(stores.postgres.tables.user.size).toBe(0);
  });
});

describe('a lease that lapsed', () => {
  it('lets no refusal out either, which was true only under the authority that gave it', async () => {
    const { clock, hooks, repository, engine } = await openWorld();
    const { user } = await clock.run(signUp(repository));
    hooks.mongo = {
      before: async ({ name }) => {
        if (name === 'writeLease') throw new StoreUnavailable('mongo', 'none', 'timeout');
        if (name === 'createAccount') await clock.sleep(20_000);
      },
    };
    const taken = repository.createAccount(newAccount({ email: user.email }));
    await clock.pass(15_000);
    expect(engine.status().standing).toBe('no-lease');
    await expect(clock.run(taken)).rejects.toMatchObject({ outcome: 'unknown', reason: 'lease-lost' });
  });

  it('is written down in the authority, as evidence against a calm day, whatever refuses it at first', async () => {
    let away = false;
    let isRefused = false;
    const { engine, mongo } = await openSystem({
      before: async ({ name }) => {
        if (away && name === 'writeLease') throw new StoreUnavailable('mongo', 'none', 'timeout');
        if (name !== 'putNote' || isRefused) return;
        isRefused = true;
        throw new TypeError('permission denied');
      },
    });
    await setIn(mongo, 'heartbeat-ms', 20);
    await setIn(mongo, 'lease-ms', 200);
    await eventually(() => engine.member.state().lease?.leaseMs === 200);
    away = true;
    await eventually(() => engine.status().standing === 'no-lease');
    away = false;
    await eventually(() => engine.status().standing === 'serving');
    await eventually(async () => expect(await mongo.books.countNotes()).toMatchObject({ lapse: 1 }));
    expect(isRefused).toBe(true);
  });
});

describe('a change over a record that is known', () => {
  const openKnown = async () => {
    const asked: string[] = [];
    const { mongo } = await openSystem();
    const watched: Store = {
      ...mongo,
      books: {
        ...mongo.books,
        readControl: () => {
          asked.push('read');
          return mongo.books.readControl();
        },
      },
    };
    return { asked, mongo, watched, known: await recordOf(mongo) };
  };

  it('is written without another read', async () => {
    const { asked, mongo, watched, known } = await openKnown();
    const announced = await changeControl(
      watched,
      { kind: 'announce', transition, judged: known },
      RULES,
      known,
    );
    expect(announced).toMatchObject({ kind: 'write', record: { transition } });
    expect(asked).toEqual([]);
    expect(await readControl(mongo)).toEqual(announced.record);
  });

  it('is decided anew when the record has changed meanwhile', async () => {
    const { asked, mongo, watched, known } = await openKnown();
    const other = { ...transition, id: 'attempt-0' };
    await announce(mongo, other);
    const announced = await changeControl(
      watched,
      { kind: 'announce', transition, judged: known },
      RULES,
      known,
    );
    expect(announced).toMatchObject({
      kind: 'refused',
      reason: 'in-transition',
      record: { transition: other },
    });
    expect(asked).toEqual(['read']);
  });

  it('is refused only by the record as it is', async () => {
    const { mongo, watched } = await openKnown();
    await announce(mongo, transition);
    const known = await recordOf(mongo);
    await changeControl(mongo, { kind: 'abort', id: transition.id });
    const next = { ...transition, id: 'attempt-2' };
    const change = { kind: 'announce', transition: next, judged: await recordOf(mongo) } as const;
    const announced = await changeControl(watched, change, RULES, known);
    expect(announced).toMatchObject({ kind: 'write', record: { transition: next } });
  });
});
