/** What waits at a fence: admitted operations finish, new ones wait in bounded number, and none is answered falsely. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { changeControl, fromControl, readControl, readLeases } from '../../cutover/control.ts';
import type { Mode } from '../../cutover/mode.ts';
import { NOTES } from '../../cutover/notes.ts';
import { RULES } from '../../cutover/protocol/rules.ts';
import type { Transition } from '../../cutover/protocol/types.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { freshId, newAccount, signUp } from '../contract/fixtures.ts';
import type { MemoryStore } from '../support/memory/store.ts';
import { createWorld } from './operator-world.ts';
import { announce, recordOf, setIn } from './support/control.ts';

const transition = {
  id: 'attempt-1',
  target: 'postgres-primary',
  phase: 'announced',
  deadlineMs: 60_000,
} as const;

async function fence(mongo: MemoryStore, attempt: Transition = transition): Promise<void> {
  await announce(mongo, attempt);
  await changeControl(mongo, { kind: 'fence', id: attempt.id });
}

/** One engine on a clock that jumps. */
async function openWorld(mode: Mode = 'shadow-read') {
  const world = createWorld();
  onTestFinished(() => world.stop());
  const [engine] = await world.start(1, mode);
  if (engine === undefined) throw new Error('one was started');
  return { ...world, repository: engine.repository, engine };
}

/** The same, stopped at a fence. */
async function openFenced(attempt: Transition = transition) {
  const world = await openWorld();
  await world.clock.run(fence(world.stores.mongo, attempt));
  await world.clock.pass(1_000);
  expect(world.engine.status().standing).toBe('fenced');
  return world;
}

const acknowledged = async (mongo: MemoryStore) =>
  (await readLeases(mongo)).map(({ ack }) => ack?.phase ?? null);

describe('behind a fence', () => {
  it('at most 1,000 operations wait; the next is refused, and all others go on after an abort', async () => {
    const { clock, stores, repository, engine } = await openFenced();
    const waiting = Promise.all(Array.from({ length: 1_000 }, () => repository.findUser(freshId())));
    expect(engine.status().waiting).toBe(1_000);
    await expect(repository.findUser(freshId())).rejects.toMatchObject({
      name: 'StoreUnavailable',
      outcome: 'none',
      reason: 'queue-full',
    });
    await clock.run(changeControl(stores.mongo, { kind: 'abort', id: transition.id }));
    expect(await clock.run(waiting)).toHaveLength(1_000);
    expect(engine.status().waiting).toBe(0);
  });

  it('a stop is acknowledged only once what was admitted has been answered, mirroring aside', async () => {
    const { clock, stores, hooks, repository, engine } = await openWorld();
    const gate = Promise.withResolvers<void>();
    hooks.mongo = { before: ({ name }) => (name === 'createAccount' ? gate.promise : undefined) };
    const signup = repository.createAccount(newAccount());
    await clock.run(fence(stores.mongo));
    await clock.pass(2_000);
    expect(engine.status().standing).toBe('fenced');
    expect(await clock.run(acknowledged(stores.mongo))).toEqual(['announced']);
    gate.resolve();
    await clock.run(signup);
    await clock.pass(100);
    expect(await clock.run(acknowledged(stores.mongo))).toEqual(['stopped']);
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
    const { clock, stores, repository, engine } = await openFenced();
    const account = newAccount();
    const signup = repository.createAccount(account);
    await clock.pass(1_000);
    expect(await clock.run(acknowledged(stores.mongo))).toEqual(['stopped']);
    // The coordinator dies between the two halves: the instance itself finishes the change.
    await clock.run(changeControl(stores.mongo, { kind: 'lose', id: transition.id }));
    await clock.run(signup);
    expect(engine.status()).toMatchObject({ effective: 'postgres-primary', epoch: 2, standing: 'serving' });
    const { record } = stores.postgres.tables.user.get(account.user.id) ?? {};
    expect(record?.stamp).toEqual({ epoch: 2, version: 1 });
  });

  it('an attempt that was left standing is ended past its deadline, by whoever watches it', async () => {
    const { clock, repository, engine } = await openFenced({ ...transition, deadlineMs: 3_000 });
    const startMs = clock.elapsedMs();
    expect(await clock.run(repository.findUser(freshId()))).toBeNull();
    expect(clock.elapsedMs() - startMs).toBeGreaterThan(1_000);
    expect(engine.status()).toMatchObject({ effective: 'shadow-read', transition: null });
  });
});

describe('a store that was given up as lost, and came back', () => {
  it('is left by whoever still follows it, as soon as the other one is looked at', async () => {
    const { clock, stores, repository, engine } = await openWorld('postgres-primary');
    const record = await readControl(stores.mongo);
    if (record === null) throw new Error('both stores hold the first record');
    const taken = { ...record, mode: 'mongo-only', epoch: 3, revision: record.revision + 5 } as const;
    await stores.mongo.books.replaceControl(record, fromControl(taken));
    await clock.pass(2_500);
    expect(engine.status().effective).toBe('mongo-only');
    const account = newAccount();
    await clock.run(repository.createAccount(account));
    expect(stores.mongo.tables.user.get(account.user.id)?.record.stamp.epoch).toBe(3);
    expect(stores.postgres.tables.user.size).toBe(0);
  });
});

/** PostgreSQL, which answers all else. */
const WITHOUT_LEASES = {
  before: ({ name }: { readonly name: string }) => {
    if (name === 'writeLease') throw new StoreUnavailable('postgres', 'none', 'timeout');
  },
};

describe('between two epochs', () => {
  it('whoever waits for the first lease under the new one waits as at the fence, for as long as requests do', async () => {
    const { clock, stores, hooks, repository, engine } = await openWorld();
    hooks.postgres = WITHOUT_LEASES;
    await clock.run(fence(stores.mongo));
    await clock.pass(1_000);
    await clock.run(changeControl(stores.mongo, { kind: 'lose', id: transition.id }));
    await clock.pass(1_000);
    expect(engine.member.standing()).toEqual({ kind: 'refuse', reason: 'no-lease' });
    // Not ready, every instance at once, it would be sent nothing, though it would answer.
    expect(engine.status()).toMatchObject({ epoch: 2, standing: 'fenced' });
    const asked = repository.findUser(freshId());
    hooks.postgres = {};
    expect(await clock.run(asked)).toBeNull();
    expect(engine.status().standing).toBe('serving');
  });

  it('but no longer', async () => {
    const { clock, stores, hooks, engine } = await openWorld();
    hooks.postgres = WITHOUT_LEASES;
    await clock.run(fence(stores.mongo));
    await clock.pass(1_000);
    await clock.run(changeControl(stores.mongo, { kind: 'lose', id: transition.id }));
    await clock.pass(5_000);
    expect(engine.status()).toMatchObject({ epoch: 2, standing: 'no-lease' });
  });

  it('and not when the first lease under the new one has lapsed', async () => {
    const { clock, stores, hooks, engine } = await openWorld();
    await clock.run(setIn(stores.mongo, 'lease-ms', 1_500));
    await clock.run(fence(stores.mongo));
    await clock.pass(1_000);
    await clock.run(changeControl(stores.mongo, { kind: 'lose', id: transition.id }));
    await clock.pass(500);
    expect(engine.status()).toMatchObject({ epoch: 2, standing: 'serving' });
    hooks.postgres = WITHOUT_LEASES;
    await clock.pass(2_000);
    expect(engine.status()).toMatchObject({ epoch: 2, standing: 'no-lease' });
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
    const { clock, stores, hooks, engine } = await openWorld();
    hooks.mongo = {
      before: ({ name }) => {
        if (away && name === 'writeLease') throw new StoreUnavailable('mongo', 'none', 'timeout');
        if (name !== 'putNote' || isRefused) return;
        isRefused = true;
        throw new TypeError('permission denied');
      },
    };
    away = true;
    await clock.pass(6_000);
    expect(engine.status().standing).toBe('no-lease');
    away = false;
    await clock.pass(3_000);
    expect(engine.status().standing).toBe('serving');
    expect(await clock.run(stores.mongo.books.countNotes())).toMatchObject({ lapse: 1 });
    expect(isRefused).toBe(true);
  });

  it('is written down, as of then, after an hour without the authority too', async () => {
    let away = true;
    const { clock, stores, hooks, engine } = await openWorld();
    hooks.mongo = {
      before: () => {
        if (away) throw new StoreUnavailable('mongo', 'none', 'connect');
      },
    };
    const since = clock.date().getTime();
    await clock.pass(3_600_000);
    expect(engine.status().standing).toBe('no-lease');
    away = false;
    await clock.pass(10_000);
    const notes = await clock.run(stores.mongo.books.notes(NOTES.lapse, { limit: 10 }));
    expect(notes.map(({ lastAt }) => Math.round((lastAt.getTime() - since) / 60_000))).toEqual([0]);
  });
});

describe('a change over a record that is known', () => {
  const openKnown = async () => {
    const asked: string[] = [];
    const { mongo } = (await openWorld()).stores;
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
