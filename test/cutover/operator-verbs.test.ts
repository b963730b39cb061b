import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WrongArgument } from '../../cutover/argument.ts';
import { readControl } from '../../cutover/control.ts';
import { NOTES } from '../../cutover/notes.ts';
import {
  AuthorityUnknown,
  conflicts,
  differences,
  failover,
  foreign,
  log,
  type MoveRequest,
  move,
  pending,
  poisoned,
  readStatus,
  setSetting,
} from '../../cutover/operator/index.ts';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { STORES, StoreUnavailable } from '../../db/errors.ts';
import { signUp, userOf } from '../contract/fixtures.ts';
import { sessionAt } from '../contract/replica/records.ts';
import { createWorld, FORCED, type World } from './operator-world.ts';

const LOSS = { acceptLoss: true, reason: 'the data centre is gone' };

let world: World;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.stop());

const run = <T>(promise: Promise<T>) => world.clock.run(promise);
const go = (to: MoveRequest['to'], direction: MoveRequest['direction'] = 'promote') =>
  run(move(world.context, { ...FORCED, to, direction }));
const status = (watchMs = 1_000) => run(readStatus(world.context, { watchMs }));
const events = async () => (await run(log(world.context, { limit: 100 }))).lines.map(({ event }) => event);

async function startOne() {
  const [engine] = await world.start(1, 'mongo-only');
  if (engine === undefined) throw new Error('one was started');
  return engine;
}

describe('status', () => {
  it('shows modes, stores, instances and the next moves', async () => {
    await world.start(2, 'mongo-only');
    await go('dual-write');
    const shown = await run(
      readStatus(
        { ...world.context, configuredMode: 'mongo-only', storeTimeoutMs: 1_500 },
        { watchMs: 2_000 },
      ),
    );
    expect(shown).toMatchObject({
      mode: 'dual-write',
      configuredMode: 'mongo-only',
      storeTimeoutMs: 1_500,
      epoch: 1,
      authority: 'mongo',
      mirror: 'postgres',
      transition: null,
      copy: { kind: 'complete', run: 'started-empty' },
      pending: { count: 0, oldestAgeMs: null },
      orphans: { count: 0 },
      poisoned: 0,
      conflicts: 0,
      differences: 0,
      rollback: { to: 'mongo-only', lossless: true },
    });
    expect(shown.stores).toMatchObject([
      { name: 'mongo', role: 'authority', reachable: true, control: { mode: 'dual-write' } },
      { name: 'postgres', role: 'mirror', reachable: true, control: { mode: 'dual-write' } },
    ]);
    expect(shown.instances.map(({ state }) => state)).toEqual(['current', 'current']);
    expect(shown.next).toMatchObject([
      { direction: 'promote', to: 'shadow-read', allowed: true },
      { direction: 'rollback', to: 'mongo-only', allowed: true },
    ]);
  });

  it('tells instances that are behind, or silent, from those that follow', async () => {
    await world.start(1, 'mongo-only');
    const row = { incarnation: 1, epoch: 1, revision: 0, ack: null, leaseMs: 5_000 };
    await run(world.stores.mongo.books.writeLease({ instance: 'silent', counter: 1, body: row }));
    let counter = 0;
    world.hooks.mongo = {
      before: async ({ name }) => {
        if (name !== 'readLeases') return;
        counter += 1;
        await world.stores.mongo.books.writeLease({ instance: 'slow', counter, body: row });
      },
    };
    const { instances } = await status(2_000);
    const states = Object.fromEntries(instances.map(({ instance, state }) => [instance, state]));
    expect(states).toMatchObject({ silent: 'silent', slow: 'behind' });
    expect(Object.values(states)).toContain('current');
  });

  it('watches as long as instances that beat seldom need', async () => {
    await startOne();
    await run(setSetting(world.context, 'heartbeat-ms', '2400'));
    await world.clock.pass(10_000);
    for (let looks = 0; looks < 6; looks += 1) {
      expect((await status()).instances).toMatchObject([{ state: 'current' }]);
      await world.clock.pass(700);
    }
  });

  it('counts what is noted', async () => {
    await startOne();
    const { books } = world.stores.mongo;
    const now = world.clock.date();
    await run(books.putNote(NOTES.poison, 'user/1', { reason: '23514' }, now));
    await run(books.putNote(NOTES.conflict, 'user/2', { holderId: '3' }, now));
    await run(books.putNote(NOTES.difference, 'user/4', {}, now));
    expect(await status()).toMatchObject({ poisoned: 1, conflicts: 1, differences: 1 });
    expect(await run(poisoned(world.context, { limit: 10 }))).toMatchObject([{ key: 'user/1' }]);
    expect(await run(conflicts(world.context, { limit: 10 }))).toMatchObject([{ key: 'user/2' }]);
    expect(await run(differences(world.context, { limit: 10 }))).toMatchObject([{ key: 'user/4' }]);
  });

  it('finds evidence in the books of whichever store had authority then', async () => {
    await startOne();
    await go('shadow-read');
    const put = (store: 'mongo' | 'postgres', clean: boolean) => {
      const now = world.clock.date();
      const mapping = DEFAULT_CODEC.digest;
      const body = { atMs: now.getTime(), clean, run: 'v', copy: 'started-empty', mapping };
      return run(world.stores[store].books.putNote(NOTES.evidence, 'verify', body, now));
    };
    await put('mongo', true);
    await go('postgres-primary');
    const gate = async () => {
      const back = (await status()).next.find(({ to }) => to === 'shadow-read');
      return back?.gates.find(({ name }) => name === 'verify');
    };
    expect(await gate()).toMatchObject({ ok: true, found: expect.stringMatching(/ old$/) });
    await put('postgres', false);
    expect(await gate()).toMatchObject({ ok: false, kind: 'safety' });
  });

  it('never writes', async () => {
    await startOne();
    await go('postgres-primary');
    await world.stop();
    const written: string[] = [];
    for (const store of STORES) {
      world.hooks[store] = {
        before: ({ name, kind }) => {
          if (kind === 'write') written.push(name);
        },
      };
    }
    await status();
    await run(pending(world.context, { limit: 5 }));
    await events();
    expect(written).toEqual([]);
  });

  it('goes without the mirror, and says so', async () => {
    await startOne();
    await go('postgres-primary');
    world.cut('mongo');
    const shown = await status();
    expect(shown).toMatchObject({
      mode: 'postgres-primary',
      orphans: { count: null },
      pending: { count: 0 },
    });
    expect(shown.rollback).toMatchObject({ to: 'shadow-read', lossless: false });
    expect(shown.stores[0]).toMatchObject({ name: 'mongo', reachable: false, server: null });
  });

  it('goes without the authority as far as the other store knows', async () => {
    await startOne();
    await go('postgres-primary');
    world.cut('postgres');
    expect(await status()).toMatchObject({
      mode: 'postgres-primary',
      instances: [],
      next: [],
      poisoned: null,
    });
    await expect(run(pending(world.context, { limit: 1 }))).rejects.toBeInstanceOf(AuthorityUnknown);
    await expect(go(null, 'rollback')).rejects.toBeInstanceOf(AuthorityUnknown);
  });

  it('has nothing to say before there is a system, or with no store in reach', async () => {
    await expect(status()).rejects.toThrow('no system has been started yet');
    world.cut('mongo');
    world.cut('postgres');
    await expect(status()).rejects.toThrow('cannot be reached');
  });

  it.each([
    ['shadow-read', true, 'all along'],
    ['postgres-primary', true, 'nothing is pending'],
    ['postgres-only', true, 'PostgreSQL keeps authority; further back only after a reverse backfill'],
  ] as const)('says whether rollback from %s loses nothing: %j', async (mode, lossless, why) => {
    await startOne();
    await go(mode);
    const { rollback } = await status();
    expect(rollback.lossless).toBe(lossless);
    expect(rollback.why).toContain(why);
  });

  it('calls no way back lossless that would be refused', async () => {
    await startOne();
    await go('postgres-primary');
    const now = world.clock.date();
    const body = { atMs: now.getTime(), clean: true, run: 'v', copy: 'started-empty', mapping: 'another' };
    await run(world.stores.postgres.books.putNote(NOTES.evidence, 'verify', body, now));
    const refused = await go('shadow-read', 'rollback');
    expect(refused).toMatchObject({ kind: 'refused' });
    const { rollback } = await status();
    expect(rollback).toMatchObject({ to: 'shadow-read', lossless: false });
    expect(rollback.why).toBe('it would be refused now (mapping: the last verify had another)');
  });

  it('calls the change of authority after a time without a mirror not lossless', async () => {
    const engine = await startOne();
    await go('postgres-only');
    await run(signUp(engine.repository));
    expect(await go('postgres-primary', 'rollback')).toMatchObject({ kind: 'done' });
    expect((await status()).rollback).toMatchObject({
      to: 'shadow-read',
      lossless: false,
      why: expect.stringContaining('it takes a reverse backfill'),
    });
  });
});

describe('set', () => {
  it('writes the setting into the authority’s record and the mirror’s copy, and logs it', async () => {
    const engine = await startOne();
    await go('dual-write');
    const result = await run(setSetting(world.context, 'shadow-sample', '0.25'));
    expect(result).toMatchObject({ kind: 'done', was: 1, is: 0.25, reasons: [] });
    expect(result.after.revision).toBe(result.before.revision + 1);
    await world.clock.pass(1_000);
    expect(engine.member.settings()['shadow-sample']).toBe(0.25);
    expect(await run(readControl(world.stores.postgres))).toMatchObject({
      settings: { 'shadow-sample': 0.25 },
    });
    expect((await events())[0]).toMatchObject({
      kind: 'set',
      details: { key: 'shadow-sample', was: 1, is: 0.25 },
    });
  });

  it.each([
    [{ field: 'emial' }, /field is none of user: id, email, .*answer$/],
    [{ field: 'version' }, /field is none of user/],
    [{ reason: ' ' }, /an entry without reason$/],
    [{ until: '2026-02-28' }, /until is over: 2026-02-28$/],
    [{ note: 'INC-42' }, /an entry with note, which is none of entity, field, reason, until$/],
  ])('takes no known difference that would ignore nothing, or says nothing: %j', async (wrong, why) => {
    await startOne();
    const known = { entity: 'user', field: 'email', reason: 'old names', until: '2026-03-01' };
    const set = (entry: object) =>
      run(setSetting(world.context, 'shadow-ignore', JSON.stringify([known, entry])));
    await expect(set({ ...known, ...wrong })).rejects.toThrow(why);
    await expect(set({ ...known, field: 'answer' })).resolves.toMatchObject({ kind: 'done' });
  });

  it('bounds the window of the comparisons that count', async () => {
    await startOne();
    await go('shadow-read');
    const startMs = world.clock.date().getTime() - 2 * 3_600_000;
    const body = { startMs, epoch: 1, mode: 'shadow-read', run: 'started-empty', outcomes: { match: 7 } };
    await run(world.stores.mongo.books.putNote(NOTES.shadowWindow, 'bucket', body, world.clock.date()));
    const found = async () => {
      const up = (await status()).next.find(({ to }) => to === 'postgres-primary');
      return up?.gates.find(({ name }) => name === 'comparisons')?.found;
    };
    expect(await found()).toBe('7 in the last 24 h');
    await run(setSetting(world.context, 'gate-primary-window-ms', '3600000'));
    expect(await found()).toBe('0 in the last 60 min');
  });

  it('says how long the mirror gathers writes', async () => {
    const engine = await startOne();
    await go('dual-write');
    await run(setSetting(world.context, 'mirror-gather-ms', '10000'));
    await world.clock.pass(2_000);
    const { user } = await run(signUp(engine.repository));
    await world.clock.pass(9_000);
    expect(world.stores.postgres.tables.user.has(user.id)).toBe(false);
    await world.clock.pass(2_000);
    expect(world.stores.postgres.tables.user.has(user.id)).toBe(true);
  });

  it('takes no other key, and no value out of bounds', async () => {
    await startOne();
    await expect(run(setSetting(world.context, 'colour', 'red'))).rejects.toThrow(/colour is no setting/);
    await expect(run(setSetting(world.context, 'shadow-sample', '2'))).rejects.toBeInstanceOf(WrongArgument);
    for (const value of ['1.5', '0x10', '1e2']) {
      await expect(run(setSetting(world.context, 'mirror-batch', value))).rejects.toThrow(
        /^mirror-batch must/,
      );
    }
    for (const delays of [
      '',
      'soon',
      '1000,,5000',
      '1000,-1',
      '5',
      '1'.repeat(9),
      Array(11).fill('50').join(),
    ]) {
      const set = run(setSetting(world.context, 'shadow-recheck-ms', delays));
      await expect(set, delays).rejects.toThrow(/shadow-recheck-ms must be .*such as 1000,5000,30000/);
    }
    expect(await run(setSetting(world.context, 'shadow-recheck-ms', '500, 2000'))).toMatchObject({
      kind: 'done',
    });
  });

  it.each([
    ['heartbeat-ms', '3000'],
    ['lease-ms', '900'],
    ['fence-max-ms', '10000'],
    ['mirror-retry-min-ms', '60000'],
    ['backfill-slow-p99-ms', '2000'],
  ])('refuses %s = %s, which contradicts another', async (key, value) => {
    await startOne();
    const result = await run(setSetting(world.context, key, value));
    expect(result.kind).toBe('refused');
    expect(result.is).toBe(result.was);
  });

  it('refuses a fence that ends before instances have looked', async () => {
    await startOne();
    expect(await run(setSetting(world.context, 'fast-poll-ms', '1000'))).toMatchObject({ kind: 'done' });
    const result = await run(setSetting(world.context, 'fence-max-ms', '1999'));
    expect(result).toMatchObject({
      kind: 'refused',
      reasons: ['fence-max-ms must be at least twice fast-poll-ms'],
    });
    expect((await events())[0]).toMatchObject({ kind: 'refused', details: { verb: 'set' } });
  });

  it('refuses one of two operators who contradict each other at the same moment', async () => {
    await startOne();
    const results = await run(
      Promise.all([
        setSetting(world.context, 'heartbeat-ms', '2500'),
        setSetting(world.context, 'lease-ms', '1000'),
      ]),
    );
    expect(results.map(({ kind }) => kind).sort()).toEqual(['done', 'refused']);
    const { settings } = await status(0);
    expect(settings['lease-ms']).toBeGreaterThanOrEqual(2 * settings['heartbeat-ms']);
  });

  it('refuses another lease while a failover could not know of it', async () => {
    await startOne();
    await go('postgres-primary');
    world.cut('mongo');
    expect(await run(setSetting(world.context, 'lease-ms', '60000'))).toMatchObject({ kind: 'refused' });
    expect(await run(setSetting(world.context, 'shadow-rate', '10'))).toMatchObject({
      kind: 'done',
      reasons: ['the mirror’s record could not be told yet'],
    });
  });
});

describe('pending', () => {
  it('lists the longest marked first, and orphans apart', async () => {
    const engine = await startOne();
    await go('dual-write');
    await run(setSetting(world.context, 'mirror-paused', 'true'));
    await world.clock.pass(2_000);
    const first = await run(signUp(engine.repository));
    await world.clock.pass(3_000);
    await run(signUp(engine.repository));
    const { authority, orphans } = await run(pending(world.context, { limit: 3 }));
    expect(authority).toMatchObject({ store: 'mongo', count: 6 });
    expect(authority.records).toHaveLength(3);
    expect(authority.records.map(({ id }) => id)).toContain(first.user.id);
    expect(authority.oldestAgeMs).toBeGreaterThanOrEqual(3_000);
    expect(orphans).toMatchObject({ store: 'postgres', count: 0, records: [] });
  });
});

describe('what a mirror that is away has of a list', () => {
  const lists = async () => {
    const each = await Promise.all([
      run(pending(world.context, { limit: 5 })),
      run(foreign(world.context, { limit: 5 })),
      run(log(world.context, { limit: 5 })),
    ]);
    return each.map(({ missing }) => missing);
  };

  it('is said to be missing, as long as the mode has one', async () => {
    await startOne();
    await go('postgres-primary');
    expect(await lists()).toEqual([null, null, null]);
    world.cut('mongo');
    expect(await lists()).toEqual(['mongo', 'mongo', 'mongo']);
    world.mend('mongo');
    await run(setSetting(world.context, 'gate-only-soak-ms', '0'));
    await go('postgres-only');
    world.cut('mongo');
    expect(await lists()).toEqual([null, null, null]);
  });
});

describe('failover', () => {
  async function lose() {
    const engines = await world.start(2, 'mongo-only');
    await go('postgres-primary');
    const [engine] = engines;
    if (engine === undefined) throw new Error('two were started');
    const { user } = await run(signUp(engine.repository));
    await world.clock.pass(2_000);
    world.cut('postgres');
    return { engines, user };
  }

  it('gives authority to MongoDB under an epoch that PostgreSQL can never have had', async () => {
    const { engines, user } = await lose();
    const startMs = world.clock.elapsedMs();
    const result = await run(failover(world.context, LOSS));
    expect(result).toMatchObject({
      kind: 'done',
      before: { mode: 'postgres-primary', epoch: 2 },
      after: { mode: 'mongo-only', epoch: 4, authority: 'mongo', copy: { kind: 'none' } },
    });
    expect(world.clock.elapsedMs() - startMs).toBeGreaterThanOrEqual(7_000);
    expect(result.longestPauseMs).toBeGreaterThanOrEqual(7_000);
    expect(result.longestPauseMs).toBeLessThanOrEqual(world.clock.elapsedMs() - startMs);
    expect(result.loss.join('\n')).toMatch(/the newest in MongoDB was written at/);
    expect(result.reasons.join()).toContain('2 instances follow MongoDB');
    await world.clock.pass(2_000);
    for (const engine of engines) {
      expect(engine.status()).toMatchObject({ effective: 'mongo-only', epoch: 4, standing: 'serving' });
      expect(await run(userOf(engine.repository, user.id))).toMatchObject({ email: user.email });
    }
    expect((await events())[0]).toMatchObject({ kind: 'failover', details: { reason: LOSS.reason } });
  });

  it('names the newest of all that was made lately, however much that is', async () => {
    const { user } = await lose();
    const { session } = world.stores.mongo.tables;
    const seconds = Math.floor(world.clock.date().getTime() / 1_000);
    const madeAt = (ms: number, n: number) => {
      const id = Math.floor(ms / 1_000).toString(16) + n.toString(16).padStart(16, '0');
      const at = new Date(ms);
      const record = sessionAt([2, 1], user.id, { id, createdAt: at, rotatedAt: at });
      session.set(id, { record, pendingAt: null });
    };
    for (let n = 0; n < 5_001; n += 1) madeAt((seconds - 1_800) * 1_000, n);
    madeAt((seconds + 5) * 1_000, 1);
    const { loss } = await run(failover(world.context, LOSS));
    expect(loss.join()).toContain(`was written at ${new Date((seconds + 5) * 1_000).toISOString()}`);
  });

  it('leaves a PostgreSQL that returns without a say, until it has been rebuilt', async () => {
    const { engines } = await lose();
    await run(failover(world.context, LOSS));
    world.mend('postgres');
    await world.clock.pass(3_000);
    expect(await status()).toMatchObject({ mode: 'mongo-only', epoch: 4 });
    for (const engine of engines) expect(engine.status().effective).toBe('mongo-only');
    const refused = await go('dual-write');
    expect(refused).toMatchObject({ kind: 'refused', failing: [{ name: 'rebuilt', kind: 'safety' }] });
  });

  it.each([['without the words', { ...LOSS, acceptLoss: false }, '--accept-loss']])(
    'is refused %s',
    async (_, request, reason) => {
      await lose();
      const result = await run(failover(world.context, request));
      expect(result).toMatchObject({ kind: 'refused', loss: [] });
      expect(result.reasons.join()).toContain(reason);
      expect(await run(readControl(world.stores.mongo))).toMatchObject({ epoch: 2 });
      await expect(run(failover(world.context, { ...LOSS, reason: ' ' }))).rejects.toBeInstanceOf(
        WrongArgument,
      );
    },
  );

  it('is refused while PostgreSQL answers, and when it comes back while leases are waited out', async () => {
    await lose();
    world.mend('postgres');
    expect(await run(failover(world.context, LOSS))).toMatchObject({ kind: 'refused' });
    world.cut('postgres');
    const late = failover(world.context, LOSS);
    await world.clock.pass(3_000);
    world.mend('postgres');
    const result = await run(late);
    expect(result).toMatchObject({ kind: 'refused' });
    expect(result.reasons).toEqual(['PostgreSQL answers: cutover rollback loses nothing']);
  });

  it('is refused without the URL of PostgreSQL, which nobody can then ask', async () => {
    await world.start(2, 'mongo-only');
    await go('postgres-primary');
    const context = { ...world.context, stores: { ...world.stores, postgres: null } };
    const result = await run(failover(context, LOSS));
    expect(result).toMatchObject({ kind: 'refused', reasons: [expect.stringMatching(/DATABASE_URL/)] });
    expect(await run(readControl(world.stores.mongo))).toMatchObject({ epoch: 2 });
  });

  it('is refused from any other mode, and without MongoDB', async () => {
    await startOne();
    await go('shadow-read');
    world.cut('postgres');
    expect((await run(failover(world.context, LOSS))).reasons.join()).toContain('from postgres-primary only');
    world.cut('mongo');
    await expect(run(failover(world.context, LOSS))).rejects.toBeInstanceOf(StoreUnavailable);
  });

  it('waits as long as the longest lease that was ever set', async () => {
    await startOne();
    await go('postgres-primary');
    await run(setSetting(world.context, 'lease-ms', '20000'));
    await world.clock.pass(2_000);
    world.cut('postgres');
    const startMs = world.clock.elapsedMs();
    expect(await run(failover(world.context, LOSS))).toMatchObject({ kind: 'done' });
    expect(world.clock.elapsedMs() - startMs).toBeGreaterThanOrEqual(22_000);
  });
});
