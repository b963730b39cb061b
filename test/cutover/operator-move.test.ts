import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readControl } from '../../cutover/control.ts';
import { MODES } from '../../cutover/mode.ts';
import { NOTES } from '../../cutover/notes.ts';
import { log, type MoveRequest, move, planMove, setSetting } from '../../cutover/operator/index.ts';
import { STORES, type StoreName, StoreUnavailable } from '../../db/errors.ts';
import { newAccount, signUp, userOf } from '../contract/fixtures.ts';
import { createWorld, REQUEST, type World } from './operator-world.ts';

let world: World;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.stop());

async function ease(): Promise<void> {
  await set('gate-primary-comparisons', '0');
  await set('gate-only-soak-ms', '0');
}
const set = (key: string, value: string) => world.clock.run(setSetting(world.context, key, value));
const go = (request: Partial<MoveRequest> = {}) =>
  world.clock.run(move(world.context, { ...REQUEST, ...request }));
const control = async (store: 'mongo' | 'postgres') => {
  const record = await world.clock.run(readControl(world.stores[store]));
  if (record === null) throw new Error('no control record');
  return record;
};
const logged = async () =>
  (await world.clock.run(log(world.context, { limit: 100 }))).lines.map(({ event }) => event).reverse();
const names = (gates: readonly { readonly name: string }[]) => gates.map(({ name }) => name);

describe('the ladder from empty stores', () => {
  it('is climbed to the end, with three instances', async () => {
    const engines = await world.start(3, 'mongo-only');
    await ease();
    const result = await go({ to: 'postgres-only' });
    expect(result).toMatchObject({ kind: 'done', failing: [], reasons: [], attempts: 1 });
    expect(result.made.map(({ to }) => to)).toEqual(MODES.slice(1));
    expect(result.before).toMatchObject({ mode: 'mongo-only', epoch: 1, copy: { kind: 'none' } });
    expect(result.after).toMatchObject({ mode: 'postgres-only', epoch: 2, copy: { kind: 'stale' } });
    expect(result.longestPauseMs).toBeGreaterThan(0);
    expect(result.longestPauseMs).toBeLessThan(250);
    for (const engine of engines) {
      expect(engine.status()).toMatchObject({ effective: 'postgres-only', standing: 'serving' });
    }
    const moves = (await logged()).filter(({ kind }) => kind === 'moved');
    expect(moves.map(({ details }) => details['to'])).toEqual(MODES.slice(1));
  });

  it('is climbed and descended with every instance down', async () => {
    const [engine] = await world.start(1, 'mongo-only');
    await world.clock.run(engine?.stop(0) ?? Promise.resolve());
    await ease();
    expect(await go({ to: 'postgres-primary' })).toMatchObject({ kind: 'done' });
    expect(await go({ direction: 'rollback', to: 'mongo-only' })).toMatchObject({ kind: 'done' });
    expect(await control('mongo')).toMatchObject({ mode: 'mongo-only', epoch: 3 });
  });

  it('waits for no instance that stopped since authority last changed', async () => {
    const [leaving] = await world.start(2, 'mongo-only');
    if (leaving === undefined) throw new Error('two were started');
    await ease();
    expect(await go({ to: 'postgres-primary' })).toMatchObject({ kind: 'done' });
    await world.clock.run(leaving.stop(0));
    const startMs = world.clock.elapsedMs();
    expect(await go({ direction: 'rollback', to: 'shadow-read' })).toMatchObject({ kind: 'done' });
    expect(world.clock.elapsedMs() - startMs).toBeLessThan(5_000);
  });

  it('keeps every account that was made on the way up and down', async () => {
    const [first, second] = await world.start(2, 'mongo-only');
    if (first === undefined || second === undefined) throw new Error('two were started');
    await ease();
    await go();
    const accounts = [];
    for (const direction of ['promote', 'rollback'] as const) {
      const climbing = go({ direction, to: direction === 'promote' ? 'postgres-primary' : 'dual-write' });
      for (let n = 0; n < 40; n += 1) {
        accounts.push(newAccount());
        const [repository, account] = [(n % 2 ? first : second).repository, accounts.at(-1)];
        if (account !== undefined) await world.clock.run(repository.createAccount(account));
        await world.clock.pass(37);
      }
      expect(await climbing).toMatchObject({ kind: 'done' });
    }
    await world.clock.pass(5_000);
    for (const { user } of accounts) {
      for (const store of [world.stores.mongo, world.stores.postgres]) {
        expect(store.tables.user.get(user.id)).toMatchObject({
          record: { email: user.email },
          pendingAt: null,
        });
      }
    }
  });

  it('marks the copy complete only when nothing was written before', async () => {
    const [engine] = await world.start(1, 'mongo-only');
    if (engine === undefined) throw new Error('one was started');
    await world.clock.run(signUp(engine.repository));
    const result = await go();
    expect(result).toMatchObject({ kind: 'done', after: { copy: { kind: 'none' } } });
    expect(result.reasons).toEqual(['the copy is none: only a backfill completes it']);
    expect(names((await go()).failing)).toEqual(['copy']);
  });

  it('leaves the copy alone when an unmarked write slipped in during the move', async () => {
    const [engine] = await world.start(1, 'mongo-only');
    if (engine === undefined) throw new Error('one was started');
    let slipped = false;
    world.hooks.mongo = {
      before: async ({ name }) => {
        if (name !== 'replaceControl' || slipped) return;
        slipped = true;
        await signUp(world.stores.mongo.at({ epoch: 1, pending: false }));
      },
    };
    expect(await go()).toMatchObject({ kind: 'done', after: { mode: 'dual-write', copy: { kind: 'none' } } });
    expect(slipped).toBe(true);
  });
});

describe('a refusal', () => {
  it('asks for the statement about foreign writers, and changes nothing', async () => {
    await world.start(1, 'mongo-only');
    const before = await control('mongo');
    const result = await go({ noForeignWriters: false, force: { reason: 'I want to' } });
    expect(result).toMatchObject({ kind: 'refused', made: [], to: 'dual-write' });
    expect(result.failing).toMatchObject([{ name: 'foreign-writers', kind: 'safety' }]);
    expect(result.failing[0]?.remedy).toContain('--no-foreign-writers');
    expect(await control('mongo')).toEqual(before);
    expect((await logged()).at(-1)).toMatchObject({
      kind: 'refused',
      details: { gates: 'foreign-writers', to: 'dual-write' },
    });
  });

  it('stops a longer way where it comes, and tells what was made', async () => {
    await world.start(1, 'mongo-only');
    const result = await go({ to: 'postgres-only' });
    expect(result).toMatchObject({ kind: 'refused', after: { mode: 'shadow-read', epoch: 1 } });
    expect(result.made.map(({ to }) => to)).toEqual(['dual-write', 'shadow-read']);
    expect(names(result.failing)).toEqual(['comparisons']);
  });

  it('names an instance that cannot reach the store that is to take over, and no force moves it', async () => {
    await world.start(2, 'mongo-only');
    const [cutOff] = await world.start(1, 'mongo-only', { postgres: null });
    await ease();
    const result = await go({ to: 'postgres-primary', force: { reason: 'I want to' } });
    expect(result).toMatchObject({ kind: 'refused', after: { mode: 'shadow-read', epoch: 1 } });
    expect(result.failing).toMatchObject([
      { name: 'reach', kind: 'safety', remedy: expect.stringContaining(cutOff?.member.id ?? '?') },
    ]);
    await world.clock.run(cutOff?.stop(0) ?? Promise.resolve());
    expect(await go()).toMatchObject({ kind: 'done', after: { mode: 'postgres-primary' } });
  });

  it('is passed over by force where it is only evidence, and that is logged', async () => {
    await world.start(1, 'mongo-only');
    const result = await go({ to: 'postgres-primary', force: { reason: 'a rehearsal' } });
    expect(result).toMatchObject({ kind: 'done', overridden: [{ name: 'comparisons' }] });
    expect(await logged()).toContainEqual(
      expect.objectContaining({
        kind: 'forced',
        details: expect.objectContaining({
          reason: 'a rehearsal',
          gates: expect.stringContaining('comparisons'),
        }),
      }),
    );
  });

  it('is passed over once, also where somebody sets something meanwhile and it is judged anew', async () => {
    await world.start(1, 'mongo-only');
    const force = { reason: 'a rehearsal' };
    await go({ to: 'postgres-primary', force });
    let isSet = false;
    world.hooks.postgres = {
      before: async ({ name }) => {
        if (name !== 'replaceControl' || isSet) return;
        isSet = true;
        await setSetting(world.context, 'shadow-rate', '100');
      },
    };
    expect(await go({ to: 'postgres-only', force })).toMatchObject({
      kind: 'done',
      overridden: [{ name: 'soak' }],
    });
    expect(world.progress.map(({ step }) => step)).toContain('retry');
    const forced = (await logged()).filter(
      ({ kind, details }) => kind === 'forced' && details['to'] === 'postgres-only',
    );
    expect(forced).toHaveLength(1);
  });

  it('comes for a mirror that does not answer, and never on the way back to less', async () => {
    await world.start(1, 'mongo-only');
    await go({ to: 'shadow-read' });
    world.cut('postgres');
    const forced = await go({ to: 'postgres-primary', force: { reason: 'I want to' } });
    expect(forced).toMatchObject({ kind: 'refused', after: { mode: 'shadow-read' } });
    expect(names(forced.failing)).toEqual(expect.arrayContaining(['reachable', 'schema']));
    const back = await go({ direction: 'rollback', to: 'mongo-only' });
    expect(back).toMatchObject({ kind: 'done', after: { mode: 'mongo-only', copy: { kind: 'stale' } } });
    expect(names((await go()).failing)).toEqual(['reachable', 'schema']);
  });

  it('comes from postgres-only back further than postgres-primary, naming the reverse backfill', async () => {
    await world.start(1, 'postgres-only');
    const result = await go({ direction: 'rollback', to: 'shadow-read' });
    // Both stores were empty, so the copy is complete; with a user it is not.
    expect(result.made.map(({ to }) => to)).toEqual(['postgres-primary']);
    const other = createWorld();
    const [engine] = await other.start(1, 'postgres-only');
    if (engine === undefined) throw new Error('one was started');
    await other.clock.run(signUp(engine.repository));
    const refused = await other.clock.run(
      move(other.context, { ...REQUEST, direction: 'rollback', to: 'shadow-read', force: { reason: 'x' } }),
    );
    expect(refused).toMatchObject({ kind: 'refused', after: { mode: 'postgres-primary' } });
    const copy = refused.failing.find(({ name }) => name === 'copy');
    expect(copy?.remedy).toContain('backfill --from postgres');
    await other.stop();
  });

  it('comes at the ends of the ladder, and for the wrong direction', async () => {
    await world.start(1, 'mongo-only');
    expect(await go({ direction: 'rollback' })).toMatchObject({ reasons: ['mongo-only is the first mode'] });
    expect(await go({ direction: 'rollback', to: 'shadow-read' })).toMatchObject({ kind: 'refused' });
    expect((await logged()).filter(({ kind }) => kind === 'refused')).toMatchObject([
      { details: { reason: 'mongo-only is the first mode' } },
      { details: { from: 'mongo-only', to: 'shadow-read', reason: expect.any(String) } },
    ]);
    expect(await go({ to: 'mongo-only' })).toMatchObject({ kind: 'done', made: [] });
  });

  it('comes when the canary is lost, before anybody is stopped', async () => {
    await world.start(1, 'mongo-only');
    await ease();
    await go({ to: 'shadow-read' });
    world.hooks.postgres = {
      before: ({ name }) => {
        if (name === 'moveMailDue') throw new Error('permission denied');
      },
    };
    const result = await go();
    expect(result).toMatchObject({ kind: 'refused', attempts: 0, longestPauseMs: null });
    expect(result.failing).toMatchObject([{ name: 'canary', found: 'permission denied', kind: 'safety' }]);
    expect(await control('mongo')).toMatchObject({ mode: 'shadow-read', transition: null });
    for (const store of [world.stores.mongo, world.stores.postgres]) {
      expect([...store.tables.verificationToken.keys()]).toEqual([]);
    }
  });
});

describe('a change of authority', () => {
  async function toShadowRead() {
    const engines = await world.start(2, 'mongo-only');
    await ease();
    expect(await go({ to: 'shadow-read' })).toMatchObject({ kind: 'done' });
    return engines;
  }

  /** Its instances mirror nothing to it until they are let. The operator's own canary goes through. */
  function hold(store: StoreName): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    world.hooks[store] = {
      before: ({ name }) =>
        name === 'apply' && world.progress.at(-1)?.step !== 'canary' ? promise : undefined,
    };
    return () => {
      world.hooks[store] = {};
      resolve();
    };
  }

  it('leaves no trace of its canary', async () => {
    await toShadowRead();
    expect(await go()).toMatchObject({ kind: 'done' });
    for (const store of [world.stores.mongo, world.stores.postgres]) {
      expect([...store.tables.verificationToken.keys()]).toEqual([]);
    }
  });

  it('waits a moment for what passes by itself, and for nothing else', async () => {
    const [engine] = await toShadowRead();
    if (engine === undefined) throw new Error('two were started');
    await set('gate-primary-pending', '1');
    const release = hold('postgres');
    await world.clock.run(signUp(engine.repository));
    const moving = go();
    await world.clock.pass(4_000);
    expect(world.progress.at(-1)).toMatchObject({ step: 'gates', message: 'waiting a moment for pending' });
    release();
    expect(await moving).toMatchObject({ kind: 'done', failing: [] });

    const back = () => go({ direction: 'rollback' });
    hold('mongo');
    await world.clock.run(signUp(engine.repository));
    const before = world.clock.elapsedMs();
    expect(names((await back()).failing)).toEqual(['pending']);
    expect(world.clock.elapsedMs() - before).toBeGreaterThan(5_000);
    await world.clock.run(
      world.stores.postgres.books.putNote(NOTES.quarantine, 'user/1', { run: 'x' }, world.clock.date()),
    );
    const again = world.clock.elapsedMs();
    expect(names((await back()).failing)).toEqual(['pending', 'quarantine']);
    expect(world.clock.elapsedMs() - again).toBeLessThan(5_000);
  });

  it('waits out an instance that is silent, before anybody is stopped', async () => {
    await toShadowRead();
    const row = {
      instance: 'gone',
      counter: 9,
      body: { incarnation: 1, epoch: 1, revision: 99, ack: null, leaseMs: 5_000 },
    };
    await world.clock.run(world.stores.mongo.books.writeLease(row));
    const before = world.clock.elapsedMs();
    const result = await go();
    expect(result).toMatchObject({ kind: 'done', attempts: 1 });
    expect(world.clock.elapsedMs() - before).toBeGreaterThan(7_000);
    expect(result.longestPauseMs).toBeLessThan(250);
  });

  it('is taken back when a mark does not drain in time', async () => {
    const [engine] = await toShadowRead();
    if (engine === undefined) throw new Error('two were started');
    const release = hold('postgres');
    // Passed at first, and no more when the fence has stood for its two seconds.
    await set('gate-primary-oldest-ms', '3500');
    await world.clock.run(signUp(engine.repository));
    const result = await go();
    expect(result).toMatchObject({ kind: 'aborted', attempts: 1, after: { mode: 'shadow-read' } });
    expect(result.reasons).toEqual(['attempt 1: fence over 2000 ms']);
    // Before the second attempt the gates are asked again.
    expect(names(result.failing)).toEqual(['pending']);
    expect(result.longestPauseMs).toBeGreaterThan(2_000);
    release();
    await world.clock.pass(2_000);
    expect(await go()).toMatchObject({ kind: 'done', attempts: 1 });
    await world.clock.run(
      userOf(engine.repository, (await world.clock.run(signUp(engine.repository))).user.id),
    );
  });

  it('stops nobody for a fault in its own steps', async () => {
    const [engine] = await toShadowRead();
    world.hooks.postgres = {
      before: ({ name }) => {
        if (name === 'countMarks' && world.progress.at(-1)?.step === 'drain-winner')
          throw new TypeError('a bug');
      },
    };
    await expect(go()).rejects.toThrow('a bug');
    await world.clock.pass(600);
    expect(engine?.status()).toMatchObject({ standing: 'serving', transition: null });
  });

  it('is not made to a store that holds the record of an earlier epoch, for what it holds is as old', async () => {
    await toShadowRead();
    await world.stop();
    const { books } = world.stores.postgres;
    const own = await control('postgres');
    const { epoch, revision, ...body } = { ...own, epoch: 0, revision: 1 };
    await world.clock.run(books.replaceControl(own, { epoch, revision, body: body as never }));
    const { kind, failing, reasons } = await go();
    expect(kind).toBe('refused');
    expect(names(failing)).toContain('copy');
    expect(reasons).toEqual([expect.stringContaining('put back from an older dump')]);
    expect(await control('postgres')).toMatchObject({ epoch: 1, copy: { kind: 'stale' } });
  });

  it('tells the store that takes over what it must know first', async () => {
    await toShadowRead();
    await world.stop();
    const { books } = world.stores.postgres;
    const own = await control('postgres');
    const { epoch, revision, ...body } = { ...own, mode: 'dual-write', revision: 1 };
    await world.clock.run(books.replaceControl(own, { epoch, revision, body: body as never }));
    expect(await go()).toMatchObject({ kind: 'done', after: { mode: 'postgres-primary' } });
  });

  it('goes on when the replies to both halves are lost', async () => {
    await toShadowRead();
    const lost: string[] = [];
    for (const store of STORES) {
      world.hooks[store] = {
        after: async ({ name }) => {
          if (name !== 'replaceControl' || lost.includes(store)) return;
          const at = world.progress.at(-1)?.step;
          if (at !== 'lose' && at !== 'gain') return;
          lost.push(store);
          throw new StoreUnavailable(store, 'unknown', 'connection-lost');
        },
      };
    }
    expect(await go()).toMatchObject({
      kind: 'done',
      attempts: 1,
      after: { mode: 'postgres-primary', epoch: 2 },
    });
    expect(lost).toEqual(['mongo', 'postgres']);
  });
});

describe('a plan', () => {
  it('shows the whole way with the gates of each rung, and writes nothing', async () => {
    await world.start(1, 'mongo-only');
    const before = [await control('mongo'), await control('postgres').catch(() => null), await logged()];
    const plan = await world.clock.run(
      planMove(world.context, { to: 'postgres-only', direction: 'promote', noForeignWriters: true }),
    );
    if (plan.kind !== 'planned') throw new Error('there is a way');
    expect(plan.moves.map(({ to }) => to)).toEqual(MODES.slice(1));
    expect(plan.allowed).toBe(true);
    expect(plan.steps.join('\n')).toContain('canary');
    expect(names(plan.moves[2]?.gates ?? [])).toEqual(
      expect.arrayContaining(['comparisons', 'copy', 'schema']),
    );
    expect([await control('mongo'), await control('postgres').catch(() => null), await logged()]).toEqual(
      before,
    );
  });

  it('is allowed only with the statement that dual-write asks for', async () => {
    await world.start(1, 'mongo-only');
    const plan = await world.clock.run(planMove(world.context, { to: null, direction: 'promote' }));
    expect(plan).toMatchObject({ kind: 'planned', allowed: false });
  });
});
