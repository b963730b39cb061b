/** What an operator does to one user. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WrongArgument } from '../../cutover/argument.ts';
import { NOTES } from '../../cutover/notes.ts';
import { endSessions, eraseUser, log, type MoveRequest, move } from '../../cutover/operator/index.ts';
import { STORES, StoreUnavailable } from '../../db/errors.ts';
import { logIn, sessionOf, signUp, userOf } from '../contract/fixtures.ts';
import { createWorld, REQUEST, type World } from './operator-world.ts';
import { announce, setIn } from './support/control.ts';

let world: World;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.stop());

const run = <T>(promise: Promise<T>) => world.clock.run(promise);
const go = (to: MoveRequest['to'], direction: MoveRequest['direction'] = 'promote') =>
  run(move(world.context, { ...REQUEST, to, direction }));
const events = async () => (await run(log(world.context, { limit: 100 }))).lines.map(({ event }) => event);

async function startOne() {
  const [engine] = await world.start(1, 'mongo-only');
  if (engine === undefined) throw new Error('one was started');
  return engine;
}

describe('ending sessions', () => {
  it('ends them all under the authority, marked for the mirror', async () => {
    const engine = await startOne();
    await go('dual-write');
    const { user, session } = await run(signUp(engine.repository));
    const other = await run(logIn(engine.repository, user.id));
    expect(await run(endSessions(world.context, { userId: user.id }))).toMatchObject({
      kind: 'done',
      reasons: [],
    });
    const now = world.clock.date();
    expect(await run(engine.repository.listSessions({ userId: user.id, now }))).toEqual([]);
    for (const { id } of [session, other]) await run(sessionOf(engine.repository, id));
    await world.clock.pass(2_000);
    expect(world.stores.postgres.tables.user.get(user.id)?.record.sessionGeneration).toBe(1);
    expect((await events())[0]).toMatchObject({ kind: 'sessions-ended', details: { userId: user.id } });
  });

  it('says when there is no such user', async () => {
    await startOne();
    expect(await run(endSessions(world.context, { userId: 'f'.repeat(24) }))).toMatchObject({ kind: 'gone' });
  });

  it('is refused while authority is about to change', async () => {
    const engine = await startOne();
    await go('shadow-read');
    const { user } = await run(signUp(engine.repository));
    await world.stop();
    const transition = { id: 't', target: 'postgres-primary', phase: 'announced', deadlineMs: 1e6 } as const;
    await run(announce(world.stores.mongo, transition));
    expect(await run(endSessions(world.context, { userId: user.id }))).toMatchObject({ kind: 'refused' });
    expect(world.stores.mongo.tables.user.get(user.id)?.record.sessionGeneration).toBe(0);
  });

  it('is not known when the control record changed meanwhile, or the reply was lost', async () => {
    const engine = await startOne();
    const { user } = await run(signUp(engine.repository));
    await world.stop();
    world.hooks.mongo = {
      after: async ({ name }) => {
        if (name === 'endSessions') await setIn(world.stores.mongo, 'shadow-rate', 7);
      },
    };
    expect(await run(endSessions(world.context, { userId: user.id }))).toMatchObject({ kind: 'unknown' });
    world.hooks.mongo = {
      after: ({ name }) => {
        if (name === 'endSessions') throw new StoreUnavailable('mongo', 'unknown', 'timeout');
      },
    };
    expect(await run(endSessions(world.context, { userId: user.id }))).toMatchObject({ kind: 'unknown' });
    world.mend('mongo');
    expect(await run(endSessions(world.context, { userId: user.id }))).toMatchObject({ kind: 'done' });
  });
});

describe.each([eraseUser, endSessions])('%o', (verb) => {
  it.each([
    ['~?ann.digest', /delete it there, then `cutover quarantine drop`/],
    ['~ann', /no document has such an id/],
  ])('refuses %s, which is the id of no document, before it asks anybody', async (userId, word) => {
    const engine = await startOne();
    await run(signUp(engine.repository));
    for (const store of STORES) world.cut(store);
    const refused = expect(run(verb(world.context, { userId }))).rejects;
    await refused.toThrow(word);
    await expect(run(verb(world.context, { userId }))).rejects.toBeInstanceOf(WrongArgument);
  });
});

describe.each([eraseUser, endSessions])('%o', (verb) => {
  const start = async () => {
    const engine = await startOne();
    await go('dual-write');
    const { user } = await run(signUp(engine.repository));
    await world.clock.pass(2_000);
    await world.stop();
    return user.id;
  };

  it('tells the state before and after', async () => {
    const state = { mode: 'dual-write', epoch: 1, authority: 'mongo' };
    const result = await run(verb(world.context, { userId: await start() }));
    expect(result).toMatchObject({
      kind: 'done',
      before: { ...state, pending: { count: 0 } },
      after: state,
    });
    expect(result.after?.pending.count).toBeGreaterThan(0);
    const gone = await run(verb(world.context, { userId: 'f'.repeat(24) }));
    expect(gone).toMatchObject({ kind: 'gone', before: result.after, after: result.after });
  });

  it('tells no state after it when the authority does not answer any more', async () => {
    const userId = await start();
    world.hooks.mongo = {
      after: ({ name }) => {
        if (name === 'eraseUser' || name === 'endSessions') world.cut('mongo');
      },
    };
    expect(await run(verb(world.context, { userId }))).toMatchObject({
      kind: 'unknown',
      before: { mode: 'dual-write' },
      after: null,
    });
  });
});

describe('erasing a user', () => {
  it('leaves a tombstone, and takes what was kept aside in either store', async () => {
    const engine = await startOne();
    await go('dual-write');
    const { user, session } = await run(signUp(engine.repository));
    await world.clock.pass(2_000);
    const stamp = { epoch: 1, version: 1 };
    const aside = { expected: stamp, reason: 'orphan', now: world.clock.date() };
    const { replica, books } = world.stores.postgres;
    expect(await run(replica.moveAside('session', session.id, aside))).toBe(true);
    await run(world.stores.mongo.books.putNote(NOTES.difference, `user/${user.id}`, {}, world.clock.date()));
    await run(books.putNote(NOTES.conflict, `user/${'e'.repeat(24)}`, {}, world.clock.date()));

    const result = await run(eraseUser(world.context, { userId: user.id }));
    expect(result).toMatchObject({ kind: 'done', reasons: [], leftoversRemoved: 2 });
    expect(await run(userOf(engine.repository, user.id))).toMatchObject({ email: null, name: '' });
    expect(await run(replica.asides({ limit: 10 }))).toEqual([]);
    expect(await run(books.countNotes())).toEqual({ [NOTES.conflict]: 1 });
    await world.clock.pass(2_000);
    expect(world.stores.postgres.tables.user.get(user.id)?.record.deletedAt).not.toBeNull();
    expect(await run(eraseUser(world.context, { userId: user.id }))).toMatchObject({ kind: 'gone' });
    expect(JSON.stringify(await events())).not.toContain(user.email);
  });

  it('says what still holds the user', async () => {
    const engine = await startOne();
    await go('dual-write');
    const { user } = await run(signUp(engine.repository));
    await world.clock.pass(2_000);
    await go('mongo-only', 'rollback');
    world.cut('postgres');
    const { kind, reasons } = await run(eraseUser(world.context, { userId: user.id }));
    expect(kind).toBe('done');
    expect(reasons).toHaveLength(2);
    expect(reasons[1]).toContain('PostgreSQL keeps its copy');
  });

  it.each([
    ['forgetKept', 'mongo'],
    ['forgetKept', 'postgres'],
    ['deleteNote', 'mongo'],
  ] as const)('is not done while %s fails in %s', async (name, store) => {
    const engine = await startOne();
    await go('dual-write');
    const { user } = await run(signUp(engine.repository));
    world.hooks[store] = {
      before: (operation) => {
        if (operation.name === name) throw new StoreUnavailable(store, 'unknown', 'timeout');
      },
    };
    const result = await run(eraseUser(world.context, { userId: user.id }));
    expect(result).toMatchObject({ kind: 'unknown', reasons: [expect.stringMatching(/run it again/)] });
    world.mend(store);
    expect(await run(eraseUser(world.context, { userId: user.id }))).toMatchObject({ kind: 'gone' });
  });

  it('is not done in a store whose schema is behind, and says what to do', async () => {
    const engine = await startOne();
    const { user } = await run(signUp(engine.repository));
    const { postgres } = world.stores;
    const forgetKept = async () => {
      throw new TypeError('there is no such column');
    };
    const behind = {
      ...postgres,
      isMigrated: async () => false,
      replica: { ...postgres.replica, forgetKept },
    };
    const context = { ...world.context, stores: { ...world.stores, postgres: behind } };
    expect(await run(eraseUser(context, { userId: user.id }))).toMatchObject({
      kind: 'unknown',
      reasons: ['the schema of PostgreSQL is behind: `npm run migrate`, and run it again'],
    });
  });

  it('is not done while a mirror that is in use does not answer', async () => {
    const engine = await startOne();
    await go('dual-write');
    const { user } = await run(signUp(engine.repository));
    world.cut('postgres');
    expect(await run(eraseUser(world.context, { userId: user.id }))).toMatchObject({ kind: 'unknown' });
  });

  it('writes no address into the log, typed in place of an id', async () => {
    await startOne();
    const userId = 'somebody@example.org';
    for (const verb of [eraseUser, endSessions]) {
      const result = await run(verb(world.context, { userId }));
      expect(result).toMatchObject({ kind: 'gone' });
      expect(result.reasons).toContain('it asks for the id of a user, not for an address');
    }
    world.hooks.mongo = {
      after: ({ name }) => {
        if (name === 'endSessions') throw new StoreUnavailable('mongo', 'unknown', 'timeout');
      },
    };
    expect(await run(endSessions(world.context, { userId }))).toMatchObject({ kind: 'unknown' });
    world.mend('mongo');
    expect((await events())[0]).toMatchObject({ kind: 'sessions-ended' });
    expect(JSON.stringify(await events())).not.toContain(userId);
  });
});
