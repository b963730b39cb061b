/** What the mirror's worker repairs: other contents, newer states, clashes over an e-mail's key, orphans. */
import { describe, expect, test } from 'vitest';
import type { Mode } from '../../cutover/mode.ts';
import { StoreUnavailable, UnfaithfulWrite } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { UserRecord } from '../../db/records.ts';
import type { Replica } from '../../db/replica.ts';
import { logIn, NOW, signUp } from '../contract/fixtures.ts';
import { next, sessionAt, userAt } from '../contract/replica/records.ts';
import { disagreements, type MirrorWorld, mirrorWorld, plant } from './support/mirror.ts';

const FENCED = { id: 't', target: 'postgres-primary', phase: 'fenced', deadlineMs: 10_000 } as const;
const MODES: readonly Mode[] = ['dual-write', 'postgres-primary'];

/** Planted alike and unmarked in both. */
function inBoth({ authority, copy }: MirrorWorld, ...users: UserRecord[]): void {
  for (const user of users) {
    plant(authority, 'user', user);
    plant(copy, 'user', user);
  }
}

/** In the authority alone, marked. */
function written({ authority, clock }: MirrorWorld, ...users: UserRecord[]): void {
  for (const user of users) plant(authority, 'user', user, clock.date());
}

const withKey = (user: UserRecord, version: number, key: string): UserRecord =>
  next(user, [1, version], { email: key, emailKey: key });

function user(key: string): UserRecord {
  return userAt([1, 1], { email: key });
}

const counted = (world: MirrorWorld, name: string): number | undefined =>
  world.counts.get(`cutover_mirror_${name}`.replace('COPY', world.copy.name));

describe.each(MODES)('in %s', (mode) => {
  test('another content under the same stamp gives way to a touch', async () => {
    const world = mirrorWorld(mode, 3);
    const one = user('a@example.org');
    written(world, one);
    plant(world.copy, 'user', { ...one, name: 'Another' });
    world.mirror.notice('user', one.id);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(world.copy.tables.user.get(one.id)?.record).toMatchObject({
      name: one.name,
      stamp: { epoch: 3, version: 2 },
    });
    expect(world.member.repairs).toEqual({ open: 0, begun: 1, left: 0 });
  });

  test('a newer state that nobody was told of gives way to a touch above both, with an alarm', async () => {
    const world = mirrorWorld(mode, 3);
    const one = user('a@example.org');
    written(world, one);
    plant(world.copy, 'user', next(one, [3, 7], { name: 'Another' }));
    world.mirror.notice('user', one.id);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(world.copy.tables.user.get(one.id)?.record).toMatchObject({
      name: one.name,
      stamp: { epoch: 3, version: 8 },
    });
    expect(counted(world, 'ahead_total COPY')).toBe(1);
    expect(world.logs.map(({ level, fields }) => [level, fields])).toEqual([
      ['error', { entity: 'user', id: one.id, store: world.copy.name }],
    ]);
  });

  test('a newer state that another instance has mirrored meanwhile is no alarm', async () => {
    const world = mirrorWorld(mode);
    const { user: one } = await signUp(world.unnoticed);
    let once = true;
    world.hooks.authority = {
      async after({ name }) {
        if (name !== 'read' || !once) return;
        once = false;
        await world.unnoticed.endSessions({ userId: one.id, now: NOW });
        const held = world.authority.tables.user.get(one.id);
        if (held === undefined) throw new Error('no such user');
        plant(world.copy, 'user', held.record);
        plant(world.authority, 'user', held.record);
      },
    };
    world.mirror.notice('user', one.id);
    await world.clock.run(world.mirror.idle());
    expect(counted(world, 'ahead_total COPY')).toBeUndefined();
    expect(world.member.repairs.begun).toBe(0);
    expect(world.copy.tables.user.get(one.id)?.record.stamp).toEqual({ epoch: 1, version: 2 });
  });

  test('what a document of the old service keeps from being touched is set aside, and the others go on', async () => {
    const world = mirrorWorld(mode, 3);
    const [one, two] = [user('a@example.org'), user('b@example.org')];
    written(world, one, two);
    plant(world.copy, 'user', { ...one, name: 'Another' });
    world.hooks.authority = {
      before({ name }) {
        if (name === 'touch') throw new UnfaithfulWrite('user', one.id, ['name']);
      },
    };
    for (const { id } of [one, two]) world.mirror.notice('user', id);
    await world.clock.pass(3_000);
    expect(world.mirror.stats()).toMatchObject({ poisoned: 1, queued: 0 });
    expect(world.copy.tables.user.get(two.id)?.record).toEqual(two);
    expect(await world.authority.books.notes('poison', { limit: 9 })).toMatchObject([
      { key: `user/${one.id}`, body: { reason: 'unfaithful: name' } },
    ]);
    expect(counted(world, 'retried_total COPY unfaithful')).toBeUndefined();
  });

  test('a state of a later epoch is an alarm, and nothing is written over it', async () => {
    const world = mirrorWorld(mode);
    const one = user('a@example.org');
    written(world, one);
    plant(world.copy, 'user', next(one, [9, 1]));
    world.mirror.notice('user', one.id);
    await world.clock.pass(3_000);
    expect(world.copy.tables.user.get(one.id)?.record.stamp).toEqual({ epoch: 9, version: 1 });
    expect(world.authority.tables.user.get(one.id)?.record.stamp).toEqual({ epoch: 1, version: 1 });
    expect(await world.authority.books.countNotes()).toEqual({ poison: 1 });
  });
});

describe.each(MODES)('a clash over a key, in %s', (mode) => {
  test('with an orphan: it is moved aside, and its session with it', async () => {
    const world = mirrorWorld(mode);
    const orphan = user('a@example.org');
    plant(world.copy, 'user', orphan);
    plant(world.copy, 'session', sessionAt([1, 1], orphan.id));
    const one = user('a@example.org');
    written(world, one);
    for (let i = 0; i < 3; i += 1) await signUp(world.repo);
    world.mirror.notice('user', one.id);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(counted(world, 'conflicts_total COPY move-holder-aside')).toBe(1);
    const asides = await world.copy.replica.asides({ limit: 9 });
    expect(asides.map(({ entity, reason }) => [entity, reason])).toEqual([
      ['session', 'clash'],
      ['user', 'clash'],
    ]);
    expect(await world.authority.books.countNotes()).toEqual({ clash: 1 });
  });

  test('with a holder that has moved on: it goes first, and a chain of them from its end', async () => {
    const world = mirrorWorld(mode);
    const chain = Array.from({ length: 12 }, (_, i) => user(`${i}@example.org`));
    inBoth(world, ...chain);
    const newcomer = user('0@example.org');
    // Nobody has yet taken the last one's place, and only the newcomer is noticed.
    const moved = chain.map((each, i) => withKey(each, 2, `${i + 1}@example.org`));
    written(world, newcomer, ...moved);
    world.mirror.notice('user', newcomer.id);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(counted(world, 'conflicts_total COPY apply-holder-first')).toBe(12);
    expect(await world.authority.books.countNotes()).toEqual({ clash: 1 });
    expect(await world.copy.replica.asides({ limit: 9 })).toEqual([]);
  });

  test.each([2, 3, 7])('in a cycle of %i: one key is released, and all end in place', async (length) => {
    const world = mirrorWorld(mode);
    const cycle = Array.from({ length }, (_, i) => user(`${i}@example.org`));
    inBoth(world, ...cycle);
    const turned = cycle.map((each, i) => withKey(each, 2, `${(i + 1) % length}@example.org`));
    written(world, ...turned);
    for (const { id } of turned) world.mirror.notice('user', id);
    await signUp(world.repo);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(counted(world, 'conflicts_total COPY release-key')).toBe(1);
    expect(await world.authority.books.countNotes()).toEqual({ clash: 1 });
  });

  test('in a cycle whose other half is not marked: that one is marked, so that it comes right', async () => {
    const world = mirrorWorld(mode);
    const [a, b] = [user('a@example.org'), user('b@example.org')];
    plant(world.copy, 'user', a);
    plant(world.copy, 'user', b);
    written(world, withKey(a, 2, 'b@example.org'));
    // As a hand without marks writes.
    plant(world.authority, 'user', withKey(b, 2, 'a@example.org'));
    world.mirror.notice('user', a.id);
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual([]);
  });

  test.each(['marked', 'not marked'])(
    'a death after the key of a holder was released that is %s leaves both to another instance',
    async (how) => {
      const world = mirrorWorld(mode);
      const [a, b] = [user('a@example.org'), user('b@example.org')];
      inBoth(world, a, b);
      written(world, withKey(a, 2, 'b@example.org'));
      const marked = how === 'marked' ? world.clock.date() : null;
      plant(world.authority, 'user', withKey(b, 2, 'a@example.org'), marked);
      world.hooks.copy = {
        after({ name }) {
          if (name === 'releaseEmailKey') world.member.hasLease = false;
        },
      };
      world.mirror.notice('user', a.id);
      await world.clock.pass(10_000);
      expect(disagreements(world)).toHaveLength(2);
      world.hooks.copy = {};
      world.join();
      await world.clock.pass(5_000);
      expect(disagreements(world)).toEqual([]);
    },
  );

  test('that the authority itself has is set aside, noted, and forgotten once it is gone', async () => {
    const world = mirrorWorld(mode);
    const [a, b] = [user('a@example.org'), user('a@example.org')];
    inBoth(world, a);
    written(world, b);
    for (let i = 0; i < 3; i += 1) await signUp(world.repo);
    world.mirror.notice('user', b.id);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual(['user not in the mirror']);
    expect(world.mirror.stats().conflicts).toBe(1);
    const [note] = await world.authority.books.notes('conflict', { limit: 9 });
    expect(note).toMatchObject({
      key: `user/${b.id}`,
      body: { holderId: a.id, resolution: 'corrupt', stamp: { epoch: 1, version: 1 } },
    });
    written(world, withKey(b, 2, 'b@example.org'));
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual([]);
    expect(world.mirror.stats().conflicts).toBe(0);
    expect(await world.authority.books.countNotes()).toEqual({ clash: 1 });
  });

  test('with a holder that cannot be read in the authority: it is not taken for an orphan', async () => {
    const world = mirrorWorld(mode);
    const [a, b] = [user('a@example.org'), user('a@example.org')];
    plant(world.copy, 'user', a);
    written(world, b);
    world.member.hasLease = false;
    const seen = withReplica(world.authority, {
      async read(entity, ids) {
        const looked = await world.authority.replica.read(entity, ids);
        return { ...looked, unreadable: ids.filter((id) => id === a.id) };
      },
    });
    const { mirror } = world.join({ [world.authority.name]: seen });
    mirror.notice('user', b.id);
    await world.clock.pass(60_000);
    expect(world.copy.tables.user.has(a.id)).toBe(true);
    expect(mirror.stats().conflicts).toBe(1);
  });

  test('behind a fence nothing is moved aside and nothing noted; after it, it is', async () => {
    const world = mirrorWorld(mode);
    plant(world.copy, 'user', user('a@example.org'));
    const one = user('a@example.org');
    written(world, one);
    world.member.follow({ transition: FENCED });
    world.mirror.notice('user', one.id);
    await world.clock.pass(5_000);
    expect(await world.copy.replica.asides({ limit: 9 })).toEqual([]);
    expect(await world.authority.books.countNotes()).toEqual({});
    world.member.follow({ transition: null });
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
  });

  test('a repair whose outcome is unknown is told as such, and done again', async () => {
    const world = mirrorWorld(mode);
    plant(world.copy, 'user', user('a@example.org'));
    const one = user('a@example.org');
    written(world, one);
    let once = true;
    world.hooks.copy = {
      after({ name, store }) {
        if (name !== 'moveAside' || !once) return;
        once = false;
        throw new StoreUnavailable(store, 'unknown', 'timeout');
      },
    };
    world.mirror.notice('user', one.id);
    await world.clock.run(world.mirror.idle());
    expect(disagreements(world)).toEqual([]);
    expect(world.member.repairs).toMatchObject({ open: 0, left: 1 });
  });
});

describe.each(MODES)('a mark in the mirror, in %s', (mode) => {
  test('of a record that the authority has: it is touched there above both', async () => {
    const world = mirrorWorld(mode, 4);
    const one = user('a@example.org');
    inBoth(world, one);
    plant(world.copy, 'user', next(one, [3, 5], { name: 'Orphan' }), NOW);
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual([]);
    expect(world.copy.tables.user.get(one.id)?.record).toMatchObject({
      name: one.name,
      stamp: { epoch: 4, version: 6 },
    });
    expect(counted(world, 'orphans_total COPY touch')).toBe(1);
    expect(world.mirror.stats().orphans).toBe(0);
  });

  test('of a record that the authority has not: it is moved aside', async () => {
    const world = mirrorWorld(mode);
    const [one, another] = [user('a@example.org'), user('b@example.org')];
    inBoth(world, another);
    plant(world.copy, 'user', one, NOW);
    plant(world.copy, 'session', sessionAt([1, 1], another.id), NOW);
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual([]);
    expect(counted(world, 'orphans_total COPY move-aside')).toBe(2);
    const asides = await world.copy.replica.asides({ limit: 9 });
    expect(asides.map(({ entity, reason }) => [entity, reason]).sort()).toEqual([
      ['session', 'orphan'],
      ['user', 'orphan'],
    ]);
  });

  test('of a record that cannot be touched: it is named, and the others are seen to', async () => {
    const world = mirrorWorld(mode, 4);
    const [one, another] = [user('a@example.org'), user('b@example.org')];
    inBoth(world, one, another);
    plant(world.copy, 'user', next(one, [3, 5]), NOW);
    plant(world.copy, 'session', sessionAt([1, 1], another.id), NOW);
    world.hooks.authority = {
      before({ name }) {
        if (name === 'touch') throw new UnfaithfulWrite('user', one.id, ['name']);
      },
    };
    await world.clock.pass(5_000);
    expect(counted(world, 'orphans_total COPY move-aside')).toBe(1);
    expect(world.mirror.stats().orphans).toBe(1);
    expect(world.logs.filter(({ level }) => level === 'error').map(({ fields }) => fields)).toContainEqual({
      entity: 'user',
      id: one.id,
      reason: 'unfaithful: name',
    });
  });

  test('below a state that is still on its way: it is left to that', async () => {
    const world = mirrorWorld(mode);
    const { user: one } = await signUp(world.repo);
    await world.clock.run(world.mirror.idle());
    const held = world.copy.tables.user.get(one.id);
    if (held === undefined) throw new Error('not mirrored');
    plant(world.copy, 'user', held.record, NOW);
    await world.repo.endSessions({ userId: one.id, now: NOW });
    await world.clock.pass(5_000);
    expect(disagreements(world)).toEqual([]);
    expect(world.authority.tables.user.get(one.id)?.record.stamp.version).toBe(2);
    expect(world.member.repairs.begun).toBe(0);
  });

  test('of a document that the authority has but cannot read: nothing happens to it', async () => {
    const world = mirrorWorld(mode);
    const one = user('a@example.org');
    plant(world.copy, 'user', one, NOW);
    world.member.hasLease = false;
    const seen = withReplica(world.authority, {
      async read(entity, ids) {
        const looked = await world.authority.replica.read(entity, ids);
        return { ...looked, unreadable: ids.filter((id) => id === one.id) };
      },
    });
    const { mirror } = world.join({ [world.authority.name]: seen });
    await world.clock.pass(10_000);
    expect(world.copy.tables.user.get(one.id)?.pendingAt).toEqual(NOW);
    expect(mirror.stats().orphans).toBe(1);
  });

  test('written under a later epoch than this instance knows: nothing happens to it', async () => {
    const world = mirrorWorld(mode);
    const one = user('a@example.org');
    plant(world.copy, 'user', next(one, [2, 1]), NOW);
    await world.clock.pass(10_000);
    expect(world.copy.tables.user.get(one.id)?.pendingAt).toEqual(NOW);
  });

  test.each([
    ['behind a fence', { follow: { transition: FENCED }, lease: true }],
    ['without a lease', { follow: {}, lease: false }],
    ['while the mirror is paused', { follow: { settings: { 'mirror-paused': true } }, lease: true }],
  ])('%s: it is left alone', async (_, { follow, lease }) => {
    const world = mirrorWorld(mode);
    world.member.follow(follow);
    world.member.hasLease = lease;
    const one = user('a@example.org');
    plant(world.copy, 'user', one, NOW);
    await world.clock.pass(5_000);
    expect(world.copy.tables.user.get(one.id)?.pendingAt).toEqual(NOW);
    expect(world.member.repairs.begun).toBe(0);
  });

  test('authority gone elsewhere between the look and the repair: it is left alone', async () => {
    const world = mirrorWorld(mode);
    const one = user('a@example.org');
    plant(world.copy, 'user', one, NOW);
    world.hooks.authority = {
      after({ name }) {
        if (name === 'read') world.member.follow({ transition: FENCED });
      },
    };
    await world.clock.pass(5_000);
    expect(world.copy.tables.user.get(one.id)?.pendingAt).toEqual(NOW);
  });

  test('several instances, many orphans: each is resolved once', async () => {
    const world = mirrorWorld(mode);
    world.join();
    world.join();
    const { user: one } = await signUp(world.repo);
    for (let i = 0; i < 250; i += 1) {
      const session = await logIn(world.unnoticed, one.id);
      plant(world.copy, 'session', { ...session, stamp: { epoch: 1, version: 4 } }, NOW);
      plant(world.copy, 'user', userAt([1, 1]), NOW);
    }
    await world.clock.pass(30_000);
    expect(disagreements(world)).toEqual([]);
    expect(counted(world, 'orphans_total COPY move-aside')).toBe(250);
    expect(await world.copy.replica.asides({ limit: 999 })).toHaveLength(250);
  });
});

/** The store as seen by one instance. */
function withReplica(store: Store, replaced: Partial<Replica>): Store {
  return { ...store, replica: { ...store.replica, ...replaced } };
}
