/** The mirror in trouble, in memory and on a clock that jumps: outages, poison, leave withheld, an end. */
import { describe, expect, test } from 'vitest';
import { fromControl } from '../../cutover/control.ts';
import type { Mode } from '../../cutover/mode.ts';
import { fenceEntry } from '../../cutover/snapshot/fence.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import { HOUR_MS, later, logIn, NOW, newUser, signUp } from '../contract/fixtures.ts';
import { userAt } from '../contract/replica/records.ts';
import type { Operation } from '../support/memory/store.ts';
import { disagreements, mirrorWorld, plant } from './support/mirror.ts';

const down = (store: 'mongo' | 'postgres') => () => {
  throw new StoreUnavailable(store, 'none', 'connect');
};

/** A user that no store takes. */
const poisonous = { verifiedWith: 'x', isVerified: false } as const;

describe('a mirror that has been restored from a snapshot', () => {
  const fence = { snapshot: 's', complete: true, atMs: 0, control: null, epoch: 1 };

  test.each([
    ['is not written to, until the fence is gone', fenceEntry(fence, 1), 0],
    ['nor with a fence of an earlier version, once it is seen', { ...fenceEntry(fence, 1), epoch: 1 }, 2_000],
  ])('%s', async (_, entry, passMs) => {
    const world = mirrorWorld();
    const { copy, mirror, clock } = world;
    const orphan = userAt([1, 1]);
    await clock.pass(2_000);
    plant(copy, 'user', orphan, NOW);
    await copy.books.createControl(entry);
    await clock.pass(passMs);
    const written: string[] = [];
    world.hooks.copy = {
      after({ kind, name }) {
        if (kind === 'write') written.push(name);
      },
    };
    for (let i = 0; i < 5; i += 1) {
      await signUp(world.repo);
      await clock.pass(1_000);
    }
    await clock.pass(2_000);
    expect(written).toEqual([]);
    expect(copy.tables.user.get(orphan.id)?.pendingAt).toEqual(NOW);
    expect(mirror.stats()).toMatchObject({
      pending: 15,
      breaker: 'closed',
      standsBecause: expect.stringMatching(/PostgreSQL was restored from a snapshot/),
    });
    expect(world.logs.filter(({ message }) => message.includes('nothing is written'))).toHaveLength(1);
    const control = { mode: 'dual-write', epoch: 1, revision: 1, transition: null, changedBy: null } as const;
    await copy.books.replaceControl(entry, fromControl({ ...control, copy: { kind: 'none' }, settings: {} }));
    await clock.pass(5_000);
    await clock.run(mirror.idle());
    expect(mirror.stats()).toMatchObject({ pending: 0, standsBecause: null });
    expect(disagreements(world)).toEqual([]);
  });
});

describe('what fails', () => {
  test.each([
    ['the mirror did it but could not say so', 'copy', 'after', 'apply'],
    ['the mirror was not reached', 'copy', 'before', 'apply'],
    ['the authority cannot be read', 'authority', 'before', 'read'],
    ['the marks cannot be taken off', 'authority', 'before', 'clearMarks'],
    ['they were taken off, but that was not heard', 'authority', 'after', 'clearMarks'],
  ] as const)('%s: it is done again', async (_, role, when, step) => {
    const world = mirrorWorld();
    let failures = 2;
    world.hooks[role] = {
      [when]({ name, store }: Operation) {
        if (name !== step || failures === 0) return;
        failures -= 1;
        throw new StoreUnavailable(store, 'unknown', 'timeout');
      },
    };
    await signUp(world.repo);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(failures).toBe(0);
    expect(world.counts.get('cutover_mirror_retried_total postgres timeout')).toBe(2);
  });

  test('a mirror that is away for an hour is told of now and then, and once when it is back', async () => {
    const world = mirrorWorld();
    world.hooks.copy = { before: down('postgres') };
    await signUp(world.repo);
    await world.clock.pass(HOUR_MS);
    expect(world.counts.get('cutover_breaker_opened_total postgres mirror')).toBeGreaterThan(50);
    const breaker = () => world.logs.filter(({ message }) => message.includes('breaker'));
    expect(breaker().map(({ message }) => message)).toEqual(['mirror: the breaker is open']);
    expect(world.logs.length).toBeGreaterThan(50);
    expect(world.logs.length).toBeLessThan(130);
    world.hooks.copy = {};
    await world.clock.run(world.mirror.idle());
    expect(breaker().map(({ message }) => message)).toEqual([
      'mirror: the breaker is open',
      'mirror: the breaker is closed',
    ]);
  });

  test('a mirror that was away is asked whose it is before anything is written to it again', async () => {
    const world = mirrorWorld();
    await signUp(world.repo);
    await world.clock.run(world.mirror.idle());
    world.hooks.copy = { before: down('postgres') };
    await signUp(world.repo);
    await world.clock.pass(60_000);
    const asked: string[] = [];
    world.hooks.copy = { before: ({ name }) => void asked.push(name) };
    await world.clock.run(world.mirror.idle());
    expect(asked).toContain('apply');
    expect(asked.find((name) => ['readControl', 'apply'].includes(name))).toBe('readControl');
  });

  test('an instance that dies between apply and clear leaves marks that another takes off', async () => {
    const world = mirrorWorld();
    world.hooks.copy = {
      after({ name }) {
        if (name === 'apply') world.member.hasLease = false;
      },
    };
    await signUp(world.repo);
    await world.clock.pass(10_000);
    expect(await world.authority.replica.countMarks()).toMatchObject({ count: 3 });
    expect(world.copy.tables.user.size).toBe(1);
    world.join();
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual([]);
  });

  test('a sweeper finds what a dead instance never got to', async () => {
    const world = mirrorWorld();
    for (let i = 0; i < 400; i += 1) await signUp(world.unnoticed);
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual([]);
  });

  test('and what one left whose clock is ahead', async () => {
    const world = mirrorWorld();
    const user = userAt([1, 1]);
    plant(world.authority, 'user', user, new Date(world.clock.date().getTime() + HOUR_MS));
    await world.clock.pass(15_000);
    expect(disagreements(world)).toEqual([]);
    expect(world.copy.tables.user.get(user.id)?.record).toEqual(user);
  });

  test('one record that only ever times out does not keep the others back', async () => {
    const world = mirrorWorld();
    const { user: stuck } = await signUp(world.unnoticed);
    const { replica } = world.copy;
    const { mirror } = world.join({
      postgres: {
        ...world.copy,
        replica: {
          ...replica,
          async apply(entity, records, under) {
            if (records.some(({ id }) => id === stuck.id)) {
              await world.clock.sleep(2_000);
              throw new StoreUnavailable('postgres', 'unknown', 'timeout');
            }
            return replica.apply(entity, records, under);
          },
        },
      },
    });
    world.member.hasLease = false;
    for (let i = 0; i < 200; i += 1)
      await signUp(world.authority.at({ epoch: 1, pending: true, onWrite: mirror.notice }));
    mirror.notice('user', stuck.id);
    await world.clock.pass(120_000);
    expect(new Set(disagreements(world))).toEqual(
      new Set(['user not in the mirror', 'session not in the mirror']),
    );
    expect(world.copy.tables.user.size).toBe(200);
  });
});

describe('poison', () => {
  test('is named, counted and set aside; the others pass; it is tried again, and forgotten once it is well', async () => {
    const world = mirrorWorld();
    const bad = userAt([1, 1], poisonous);
    plant(world.authority, 'user', bad, world.clock.date());
    world.mirror.notice('user', bad.id);
    for (let i = 0; i < 20; i += 1) await signUp(world.repo);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual(['user not in the mirror']);
    expect(world.mirror.stats().poisoned).toBe(1);
    expect(world.counts.get('cutover_mirror_poisoned_total postgres user')).toBe(1);
    const [note] = await world.authority.books.notes('poison', { limit: 9 });
    expect(note).toMatchObject({
      key: `user/${bad.id}`,
      body: { reason: '23514 users_verified_with', stamp: { epoch: 1, version: 1 } },
    });
    const named = world.logs.filter(({ level }) => level === 'error');
    expect(named.map(({ fields }) => fields)).toEqual([
      { entity: 'user', id: bad.id, reason: '23514 users_verified_with' },
    ]);

    await world.clock.pass(600_000);
    const [again] = await world.authority.books.notes('poison', { limit: 9 });
    expect(again?.times).toBeGreaterThan(15);
    expect(again?.times).toBeLessThan(60);
    expect(world.counts.get('cutover_mirror_poisoned_total postgres user')).toBe(1);

    await world.repo.verifyEmail({ userId: bad.id, tokenId: 't', now: NOW });
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(await world.authority.books.countNotes()).toEqual({});
    expect(world.mirror.stats().poisoned).toBe(0);
  });

  test('the note of another instance goes too once the record is well', async () => {
    const world = mirrorWorld();
    const bad = userAt([1, 1], poisonous);
    plant(world.authority, 'user', bad, world.clock.date());
    world.member.hasLease = false;
    const other = world.join();
    await world.clock.pass(10_000);
    expect(other.mirror.stats().poisoned).toBe(1);
    await other.mirror.stop(0);
    world.member.hasLease = true;
    await world.repo.verifyEmail({ userId: bad.id, tokenId: 't', now: NOW });
    await world.clock.pass(3_000);
    expect(await world.authority.books.countNotes()).toEqual({});
  });

  test('thousands of them at the front do not hide the rest', async () => {
    const world = mirrorWorld();
    world.member.set('mirror-retry-min-ms', 60_000);
    world.member.set('mirror-retry-max-ms', 600_000);
    for (let i = 0; i < 1_200; i += 1) {
      plant(world.authority, 'user', userAt([1, 1], poisonous), later(-HOUR_MS, world.clock.date()));
    }
    await world.clock.pass(30_000);
    expect(world.mirror.stats().poisoned).toBe(1_200);
    const { user } = await signUp(world.unnoticed);
    await world.clock.pass(5_000);
    expect(world.copy.tables.user.get(user.id)?.record.id).toBe(user.id);
  });

  test('an error nobody thought of is told of the one record that causes it', async () => {
    const world = mirrorWorld();
    const { user: odd } = await signUp(world.unnoticed);
    const { replica } = world.copy;
    world.member.hasLease = false;
    world.join({
      postgres: {
        ...world.copy,
        replica: {
          ...replica,
          apply: (entity, records, under) =>
            records.some(({ id }) => id === odd.id)
              ? Promise.reject(new RangeError('secret'))
              : replica.apply(entity, records, under),
        },
      },
    });
    for (let i = 0; i < 30; i += 1) await signUp(world.unnoticed);
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual(['user not in the mirror', 'session not in the mirror']);
    const notes = await world.authority.books.notes('poison', { limit: 9 });
    expect(notes.map(({ body }) => body)).toContainEqual({
      reason: 'RangeError',
      stamp: { epoch: 1, version: 1 },
    });
    expect(JSON.stringify([notes, world.logs])).not.toContain('secret');
  });

  test('a document that cannot be read is not taken for gone', async () => {
    const world = mirrorWorld();
    const { user } = await signUp(world.unnoticed);
    const { replica } = world.authority;
    world.member.hasLease = false;
    world.join({
      mongo: {
        ...world.authority,
        replica: {
          ...replica,
          async read(entity, ids) {
            const looked = await replica.read(entity, ids);
            if (entity !== 'user') return looked;
            const found = new Map([...looked.found].filter(([id]) => id !== user.id));
            return { found, unreadable: ids.filter((id) => id === user.id) };
          },
        },
      },
    });
    await world.clock.pass(5_000);
    const notes = await world.authority.books.notes('poison', { limit: 9 });
    expect(notes.map(({ key, body }) => [key, body])).toContainEqual([
      `user/${user.id}`,
      { reason: 'unreadable', stamp: null },
    ]);
    expect(world.authority.tables.user.get(user.id)?.pendingAt).not.toBeNull();
  });
});

describe('leave to work', () => {
  test('while paused, nothing is applied and the marks pile up', async () => {
    const world = mirrorWorld();
    world.member.set('mirror-paused', true);
    await signUp(world.repo);
    await world.clock.pass(10_000);
    expect(world.copy.tables.user.size).toBe(0);
    expect(world.mirror.stats()).toMatchObject({ pending: 3, queued: 3 });
    expect(world.mirror.stats().oldestAgeMs).toBeGreaterThan(8_000);
    world.member.set('mirror-paused', false);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
  });

  test('without a lease nothing is done; with one again, all of it', async () => {
    const world = mirrorWorld();
    world.member.hasLease = false;
    await signUp(world.repo);
    await world.clock.pass(5_000);
    expect(world.copy.tables.user.size).toBe(0);
    world.member.hasLease = true;
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
  });

  test('a lease lost after the read keeps what was read from the mirror', async () => {
    const world = mirrorWorld();
    const applied: string[] = [];
    world.hooks.authority = {
      after({ name }) {
        if (name === 'read') world.member.hasLease = false;
      },
    };
    world.hooks.copy = {
      before({ kind, name }) {
        if (kind === 'write') applied.push(name);
      },
    };
    await signUp(world.repo);
    await world.clock.pass(5_000);
    expect(applied).toEqual([]);
    expect(await world.authority.replica.countMarks()).toMatchObject({ count: 3 });
  });

  test.each<Mode>(['mongo-only', 'postgres-only'])(
    'in %s it rests, and marks from before stay',
    async (mode) => {
      const world = mirrorWorld(mode);
      await signUp(world.repo);
      await world.clock.pass(10_000);
      expect(world.copy.tables.user.size).toBe(0);
      expect(await world.authority.replica.countMarks()).toMatchObject({ count: 3 });
      expect(world.mirror.stats()).toMatchObject({ queued: 0, pending: null });
      await world.clock.run(world.mirror.idle());
    },
  );

  test('a mirror that knows of a later authority is left alone until another record is followed', async () => {
    const world = mirrorWorld();
    await world.copy.books.createControl({ epoch: 2, revision: 9, body: {} });
    let applies = 0;
    world.hooks.copy = {
      before({ name }) {
        if (name === 'apply') applies += 1;
      },
    };
    for (let i = 0; i < 5; i += 1) {
      await signUp(world.repo);
      await world.clock.pass(5_000);
    }
    expect([applies, world.copy.tables.user.size]).toEqual([1, 0]);
    expect(world.logs.map(({ message }) => message)).toEqual([
      'mirror: the store knows of a later authority',
    ]);
    world.member.follow({ epoch: 2 });
    await world.clock.run(world.mirror.idle());
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual([]);
  });

  test('behind a fence what is marked drains at once, whatever it waited for', async () => {
    const world = mirrorWorld();
    world.member.set('breaker-failures', 1_000);
    world.hooks.copy = { before: down('postgres') };
    await signUp(world.repo);
    await signUp(world.unnoticed);
    await world.clock.pass(120_000);
    world.hooks.copy = {};
    const transition = { id: 't', target: 'postgres-primary', phase: 'fenced', deadlineMs: 10_000 } as const;
    world.member.follow({ transition });
    await world.clock.pass(100);
    expect(disagreements(world)).toEqual([]);
  });

  test('behind a fence marks are swept however young', async () => {
    const world = mirrorWorld();
    const transition = { id: 't', target: 'postgres-primary', phase: 'fenced', deadlineMs: 10_000 } as const;
    world.member.follow({ transition });
    for (let round = 0; round < 6; round += 1) {
      await signUp(world.unnoticed);
      await world.clock.pass(200);
      expect(disagreements(world)).toEqual([]);
    }
  });
});

describe('an end', () => {
  test('what is queued is finished within the grace', async () => {
    const world = mirrorWorld();
    await signUp(world.repo);
    let failures = 3;
    world.hooks.copy = {
      before({ name }) {
        if (name === 'apply' && failures > 0) {
          failures -= 1;
          down('postgres')();
        }
      },
    };
    await world.clock.run(world.mirror.stop(5_000));
    expect(disagreements(world)).toEqual([]);
  });

  test('a mirror that is down holds up no end, and the marks stay', async () => {
    const world = mirrorWorld();
    world.hooks.copy = { before: down('postgres') };
    await signUp(world.repo);
    await world.clock.pass(10_000);
    const before = world.clock.elapsedMs();
    await world.clock.run(world.mirror.stop(5_000));
    await world.clock.run(world.mirror.idle());
    expect(world.clock.elapsedMs() - before).toBeLessThan(5_000);
    expect(await world.authority.replica.countMarks()).toMatchObject({ count: 3 });
    world.hooks.copy = {};
    await world.clock.pass(60_000);
    expect(world.copy.tables.user.size).toBe(0);
  });
});

test('several instances, writes through each, one record written by all: both stores end alike', async () => {
  const world = mirrorWorld();
  world.hooks.copy = {
    async before({ name }) {
      await world.clock.sleep(name === 'apply' ? 30 * world.clock.random() : 1);
    },
  };
  const instances = [world, world.join(), world.join()];
  const { user } = await signUp(world.repo, newUser());
  for (let round = 0; round < 60; round += 1) {
    for (const { mirror } of instances) {
      const repo = world.authority.at({ epoch: 1, pending: true, onWrite: mirror.notice });
      await repo.endSessions({ userId: user.id, now: NOW });
      await logIn(repo, user.id);
      await signUp(repo);
    }
    await world.clock.pass(7);
  }
  for (const { mirror } of instances) await world.clock.run(mirror.idle());
  await world.clock.pass(5_000);
  expect(disagreements(world)).toEqual([]);
  expect(world.copy.tables.user.get(user.id)?.record.sessionGeneration).toBe(180);
  expect(world.counts.get('cutover_mirror_ahead_total postgres')).toBeUndefined();
});
