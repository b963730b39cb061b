/** The mirror over stores in memory, on a clock that jumps: plain work in each mode. */
import { describe, expect, test } from 'vitest';
import type { Mode } from '../../cutover/mode.ts';
import { createTraffic } from '../../cutover/traffic.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import { HOUR_MS, later, logIn, NOW, signUp } from '../contract/fixtures.ts';
import { sessionAt, userAt } from '../contract/replica/records.ts';
import { disagreements, type MirrorWorld, mirrorWorld, plant, startMirror } from './support/mirror.ts';

const down = (store: 'mongo' | 'postgres') => () => {
  throw new StoreUnavailable(store, 'none', 'connect');
};

/** What was logged of a mirror that does not answer. */
const linesOf = ({ logs }: MirrorWorld): readonly object[] =>
  logs
    .filter(({ level, message }) => level === 'warn' && message.includes('did not answer'))
    .map(({ fields }) => fields);

describe.each<Mode>(['dual-write', 'shadow-read', 'postgres-primary'])('in %s', (mode) => {
  test('what is written is mirrored at once, of every kind, and its marks go', async () => {
    const world = mirrorWorld(mode);
    const { user } = await signUp(world.repo);
    await logIn(world.repo, user.id);
    await world.repo.verifyEmail({ userId: user.id, tokenId: 'x', now: NOW });
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(world.copy.tables.user.get(user.id)?.record.isVerified).toBe(true);
    expect(world.clock.elapsedMs()).toBe(0);
    expect(world.counts.get(`cutover_mirror_applied_total ${world.copy.name}`)).toBeGreaterThanOrEqual(4);
  });

  test('writes during an outage of the mirror are mirrored after it, and few attempts are made meanwhile', async () => {
    const world = mirrorWorld(mode);
    let attempts = 0;
    world.hooks.copy = {
      before() {
        attempts += 1;
        down(world.copy.name)();
      },
    };
    for (let i = 0; i < 60; i += 1) {
      await signUp(world.repo);
      await world.clock.pass(1_000);
    }
    expect(attempts).toBeLessThan(5 + 60 / 4);
    expect(world.mirror.stats()).toMatchObject({ breaker: 'open', pending: 180 });
    expect(world.counts.get(`cutover_breaker_opened_total ${world.copy.name} mirror`)).toBeGreaterThan(1);
    world.hooks.copy = {};
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(world.mirror.stats().breaker).toBe('closed');
  });
});

describe('plain work', () => {
  test('a mirror that cuts every sweep short leaves the marks counted, however many there are', async () => {
    const world = mirrorWorld();
    world.hooks.copy = {
      before() {
        throw new StoreUnavailable(world.copy.name, 'none', 'contention');
      },
    };
    for (let i = 0; i < 200; i += 1) await signUp(world.repo);
    await world.clock.pass(5_000);
    expect(world.mirror.stats()).toMatchObject({ breaker: 'closed', pending: 600 });
  });

  test.each(['timeout', 'contention', 'connect'] as const)(
    'a PostgreSQL that does not answer is counted, and told of now and then (%s)',
    async (reason) => {
      const world = mirrorWorld('dual-write');
      world.hooks.copy = {
        before({ name }) {
          if (name === 'apply') throw new StoreUnavailable('postgres', 'none', reason);
        },
      };
      await signUp(world.repo);
      await world.clock.pass(4_000);
      expect(linesOf(world)).toEqual([{ store: 'postgres', reason }]);
      expect(world.counts.get('cutover_fallbacks_total mirror postgres invisible')).toBeGreaterThan(1);
      await world.clock.pass(60_000);
      expect(linesOf(world).length).toBeGreaterThan(1);
      expect(linesOf(world).length).toBeLessThan(15);
    },
  );

  test('a MongoDB that does not answer as the mirror is told of, and is no fallback', async () => {
    const world = mirrorWorld('postgres-primary');
    world.hooks.copy = { before: down('mongo') };
    await signUp(world.repo);
    await world.clock.pass(4_000);
    expect(linesOf(world)).toEqual([{ store: 'mongo', reason: 'connect' }]);
    expect([...world.counts.keys()].filter((key) => key.startsWith('cutover_fallbacks'))).toEqual([]);
  });

  test('a batch is one of each step, however many were written together', async () => {
    const world = mirrorWorld();
    const steps: string[] = [];
    world.hooks.copy = { before: ({ name }) => void steps.push(name) };
    world.member.set('mirror-paused', true);
    for (let i = 0; i < 50; i += 1) await signUp(world.repo);
    world.member.set('mirror-paused', false);
    await world.clock.run(world.mirror.idle());
    // Users, tokens, sessions.
    expect(steps.filter((step) => step === 'apply')).toHaveLength(3);
    expect(disagreements(world)).toEqual([]);
  });

  test('what is written within a moment shares a batch, and the first does not wait for longer than that', async () => {
    const world = mirrorWorld();
    const applied: string[] = [];
    world.hooks.copy = { before: ({ name }) => void applied.push(name) };
    const applies = (): number => applied.filter((name) => name === 'apply').length;
    for (let i = 0; i < 5; i += 1) {
      await signUp(world.repo);
      await world.clock.pass(9);
    }
    expect(applies()).toBe(0);
    await world.clock.pass(6);
    // Users, tokens, sessions.
    expect(applies()).toBe(3);
    expect(disagreements(world)).toEqual([]);
  });

  /** How many batches reach the mirror while `count` sessions are opened one by one, each batch taking its time. */
  async function batchesOf(world: MirrorWorld, count: number, everyMs: number, batchMs: number) {
    const { user } = await signUp(world.repo);
    await world.clock.run(world.mirror.idle());
    let batches = 0;
    world.hooks.copy = {
      async before({ name }) {
        if (name !== 'apply') return;
        batches += 1;
        await world.clock.sleep(batchMs);
      },
    };
    for (let i = 0; i < count; i += 1) {
      await logIn(world.repo, user.id);
      await world.clock.pass(everyMs);
    }
    await world.clock.pass(500);
    expect(disagreements(world)).toEqual([]);
    return batches;
  }

  test('what is written while a batch is under way is gathered too, however steadily that is', async () => {
    // Seven are written within the 50 ms of the gathering and the 20 ms of the batch.
    const batches = await batchesOf(mirrorWorld(), 140, 10, 20);
    expect(batches).toBeGreaterThanOrEqual(18);
    expect(batches).toBeLessThanOrEqual(21);
  });

  test('a batch that was full before it was gathered leaves the gathering of the next as it is', async () => {
    const world = mirrorWorld();
    world.member.set('mirror-batch', 5);
    // The first are gathered until they are five; meanwhile ten are written, two batches, and then nothing for a while.
    expect(await batchesOf(world, 15, 1, 12)).toBe(3);
    expect(await batchesOf(world, 3, 10, 10)).toBe(1);
  });

  test('a full batch does not wait for more', async () => {
    const world = mirrorWorld();
    world.member.set('mirror-batch', 6);
    for (let i = 0; i < 2; i += 1) await signUp(world.repo);
    await world.clock.pass(1);
    expect(world.copy.tables.user.size).toBe(2);
  });

  test('nothing waits for more while a change of authority is on its way, nor at the end', async () => {
    const world = mirrorWorld();
    await signUp(world.repo);
    const announced = {
      id: 't',
      target: 'postgres-primary',
      phase: 'announced',
      deadlineMs: 10_000,
    } as const;
    world.member.follow({ transition: announced });
    await world.clock.pass(1);
    expect(disagreements(world)).toEqual([]);
    await signUp(world.repo);
    await world.clock.pass(1);
    expect(disagreements(world)).toEqual([]);
    world.member.follow({ transition: null });
    await signUp(world.repo);
    await world.clock.run(world.mirror.stop(1_000));
    expect(disagreements(world)).toEqual([]);
  });

  test('it keeps out of the way of clients, for a while', async () => {
    const { clock, authority, copy, telemetry, member } = mirrorWorld();
    const traffic = createTraffic(clock);
    const busy = startMirror(
      { mongo: authority, postgres: copy },
      clock,
      telemetry,
      member,
      undefined,
      traffic,
    );
    const repo = authority.at({ epoch: 1, pending: true, onWrite: busy.notice });
    traffic.begin();
    await signUp(repo);
    await clock.pass(60);
    expect(copy.tables.user.size).toBe(0);
    await clock.pass(15);
    expect(copy.tables.user.size).toBe(1);
    await clock.pass(300);
    await signUp(repo);
    await clock.pass(55);
    expect(copy.tables.user.size).toBe(1);
    traffic.end();
    await clock.pass(2);
    expect(copy.tables.user.size).toBe(2);
  });

  test('nor are the marks taken off in the way of clients, unless somebody waits for it', async () => {
    const { clock, authority, copy, telemetry, member } = mirrorWorld();
    const traffic = createTraffic(clock);
    const stores = { mongo: authority, postgres: copy };
    const busy = startMirror(stores, clock, telemetry, member, undefined, traffic);
    const repo = authority.at({ epoch: 1, pending: true, onWrite: busy.notice });
    const marked = async (): Promise<number> => (await authority.replica.countMarks()).count;
    const { user } = await signUp(repo);
    await clock.run(busy.idle());
    await logIn(repo, user.id);
    await clock.pass(45);
    traffic.begin();
    // 5 of the gathering, 20 before the batch, and 20 before the marks.
    await clock.pass(35);
    expect([copy.tables.session.size, await marked()]).toEqual([2, 1]);
    await clock.pass(15);
    expect(await marked()).toBe(0);
    await logIn(repo, user.id);
    await clock.pass(0);
    await clock.run(busy.idle());
    expect(await marked()).toBe(0);
    expect(clock.elapsedMs()).toBeLessThanOrEqual(100);
  });

  test('a session whose user was never marked takes the user along', async () => {
    const world = mirrorWorld();
    const user = userAt([0, 0]);
    plant(world.authority, 'user', user);
    await logIn(world.repo, user.id);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
  });

  test('a session whose user is nowhere is set aside and named', async () => {
    const world = mirrorWorld();
    plant(world.authority, 'session', sessionAt([1, 1], '0123456789abcdef01234567'), NOW);
    await signUp(world.repo);
    await world.clock.pass(3_000);
    expect(await world.authority.books.notes('poison', { limit: 9 })).toMatchObject([
      { body: { reason: 'user-missing', stamp: { epoch: 1, version: 1 } } },
    ]);
    expect(disagreements(world)).toEqual(['session not in the mirror']);
  });

  test('a record past retention is done without being mirrored', async () => {
    const world = mirrorWorld();
    const { user } = await signUp(world.repo);
    const old = later(-10 * 24 * HOUR_MS, world.clock.date());
    await logIn(world.repo, user.id, { expiresAt: old });
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual(['session not in the mirror']);
    expect(await world.authority.replica.countMarks()).toMatchObject({ count: 0 });
  });

  test('a write while its predecessor is being applied keeps its mark until it is mirrored too', async () => {
    const world = mirrorWorld();
    const { user } = await signUp(world.repo);
    let once = true;
    world.hooks.copy = {
      async after({ name }) {
        if (name !== 'apply' || !once) return;
        once = false;
        await world.unnoticed.endSessions({ userId: user.id, now: NOW });
      },
    };
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual(['user still marked']);
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual([]);
  });
});

describe('foreign writes that are noted', () => {
  test('are counted in both books, in the mirror’s as it last said, until they are settled', async () => {
    const world = mirrorWorld();
    const { authority, copy, mirror, clock } = world;
    await clock.pass(10_000);
    expect(mirror.stats().foreign).toBe(0);
    await authority.books.putNote('foreign', 'user/a', {}, NOW);
    await authority.books.putNote('foreign', 'user/b', {}, NOW);
    await copy.books.putNote('foreign', 'user/c', {}, NOW);
    await clock.pass(10_000);
    expect(mirror.stats().foreign).toBe(3);
    await authority.books.deleteNote('foreign', 'user/a');
    world.hooks.copy = { before: down('postgres') };
    await clock.pass(10_000);
    expect(mirror.stats().foreign).toBe(2);
    world.hooks.authority = { before: down('mongo') };
    await clock.pass(10_000);
    expect(mirror.stats().foreign).toBeNull();
    world.hooks.authority = {};
    await clock.pass(10_000);
    expect(mirror.stats().foreign).toBe(2);
    world.hooks.copy = {};
    await copy.books.deleteNote('foreign', 'user/c');
    await clock.pass(30_000);
    expect(mirror.stats().foreign).toBe(1);
  });

  test('are of no account in a mode without a mirror', async () => {
    const { authority, mirror, clock } = mirrorWorld('mongo-only');
    await authority.books.putNote('foreign', 'user/a', {}, NOW);
    await clock.pass(10_000);
    expect(mirror.stats().foreign).toBeNull();
  });
});
