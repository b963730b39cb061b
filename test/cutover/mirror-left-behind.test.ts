/** What an operator has left behind in MongoDB: no work for the mirror, and nothing that it takes out. */
import { describe, expect, test } from 'vitest';
import { mirrorBatch } from '../../cutover/mirror/batch.ts';
import { NOW } from '../contract/fixtures.ts';
import { next, sessionAt, userAt } from '../contract/replica/records.ts';
import { disagreements, mirrorWorld, passOf, plant } from './support/mirror.ts';

const EMAIL = 'a@example.org';
const [holder, left] = [userAt([1, 1], { email: EMAIL }), userAt([1, 1], { email: EMAIL })];
const session = sessionAt([1, 1], left.id);

/** MongoDB has both users, PostgreSQL the one whom the operator has chosen. */
function chosen(mode: 'dual-write' | 'postgres-primary') {
  const world = mirrorWorld(mode);
  const { authority, copy, clock } = world;
  const [mongo, postgres] = mode === 'dual-write' ? [authority, copy] : [copy, authority];
  for (const store of [mongo, postgres]) plant(store, 'user', holder);
  const decide = () => postgres.decided.add(`user/${left.id}`);
  return { ...world, mongo, postgres, decide, idle: () => clock.run(world.mirror.idle()) };
}

test('what they write in MongoDB is let go of, without a word', async () => {
  const { mongo, postgres, mirror, idle, clock, decide, ...world } = chosen('dual-write');
  decide();
  plant(mongo, 'user', left, clock.date());
  plant(mongo, 'session', session, clock.date());
  mirror.notice('session', session.id);
  mirror.notice('user', left.id);
  await idle();
  expect(disagreements(world)).toEqual(['user not in the mirror', 'session not in the mirror']);
  expect(await mongo.books.countNotes()).toEqual({});
  expect(world.logs).toEqual([]);
  expect(postgres.tables.user.get(holder.id)?.record).toEqual(holder);
});

test('what is noted of them goes once it is decided', async () => {
  const { mongo, mirror, idle, clock, decide, ...world } = chosen('dual-write');
  plant(mongo, 'user', left, clock.date());
  plant(mongo, 'session', session, clock.date());
  mirror.notice('session', session.id);
  mirror.notice('user', left.id);
  await idle();
  expect(await mongo.books.countNotes()).toMatchObject({ conflict: 1, poison: 1 });
  decide();
  await clock.pass(60_000);
  expect(await mongo.books.countNotes()).toEqual({ clash: 1 });
  expect(mirror.stats()).toMatchObject({ conflicts: 0, poisoned: 0 });
  expect(disagreements(world)).toEqual(['user not in the mirror', 'session not in the mirror']);
});

test('one who came to PostgreSQL before makes way for the one who was chosen', async () => {
  const { mongo, postgres, mirror, idle, clock, decide, ...world } = chosen('dual-write');
  postgres.tables.user.clear();
  for (const store of [mongo, postgres]) {
    plant(store, 'user', left);
    plant(store, 'session', session);
  }
  decide();
  plant(mongo, 'user', holder, clock.date());
  mirror.notice('user', holder.id);
  await idle();
  expect(disagreements(world)).toEqual(['user not in the mirror', 'session not in the mirror']);
  expect(postgres.tables.user.get(holder.id)?.record).toEqual(holder);
  expect(await mongo.books.countNotes()).toEqual({ clash: 1 });
});

test('what PostgreSQL takes after all comes there', async () => {
  const { mongo, mirror, idle, clock, decide, ...world } = chosen('dual-write');
  decide();
  plant(
    mongo,
    'user',
    next(left, [1, 2], { email: 'b@example.org', emailKey: 'b@example.org' }),
    clock.date(),
  );
  plant(mongo, 'session', session, clock.date());
  mirror.notice('session', session.id);
  await idle();
  expect(disagreements(world)).toEqual([]);
});

test('one who came to PostgreSQL before, and is in MongoDB no more, is moved aside', async () => {
  const { mongo, postgres, mirror, idle, clock, decide, ...world } = chosen('dual-write');
  postgres.tables.user.clear();
  plant(postgres, 'user', left);
  plant(postgres, 'session', session);
  decide();
  plant(mongo, 'user', holder, clock.date());
  mirror.notice('user', holder.id);
  await idle();
  expect(disagreements(world)).toEqual([]);
  expect(await postgres.replica.asides({ limit: 3 })).toHaveLength(2);
});

describe('a session that was let go of comes after its user', () => {
  const freed = next(left, [1, 2], { email: 'b@example.org', emailKey: 'b@example.org' });

  /** The session is in MongoDB, and has no mark any more. */
  async function letGo() {
    const world = chosen('dual-write');
    world.decide();
    for (const entity of ['user', 'session'] as const) {
      plant(world.mongo, entity, entity === 'user' ? left : session, world.clock.date());
      world.mirror.notice(entity, entity === 'user' ? left.id : session.id);
    }
    await world.idle();
    expect(disagreements(world)).toEqual(['user not in the mirror', 'session not in the mirror']);
    expect(await world.mongo.replica.countMarks()).toMatchObject({ count: 0 });
    return world;
  }

  test('who is written again', async () => {
    const { mongo, mirror, clock, idle, ...world } = await letGo();
    plant(mongo, 'user', freed, clock.date());
    mirror.notice('user', left.id);
    await idle();
    expect(disagreements(world)).toEqual([]);
  });

  test('whom another session takes along', async () => {
    const { mongo, mirror, clock, idle, ...world } = await letGo();
    plant(mongo, 'user', freed);
    const second = sessionAt([1, 1], left.id);
    plant(mongo, 'session', second, clock.date());
    mirror.notice('session', second.id);
    await idle();
    expect(disagreements(world)).toEqual([]);
    expect(mongo.tables.session.size).toBe(2);
  });

  test('who is in place once another has given up the address', async () => {
    const { mongo, mirror, clock, idle, ...world } = await letGo();
    plant(mongo, 'user', next(holder, [1, 2], { email: 'c@example.org', emailKey: 'c@example.org' }));
    plant(mongo, 'user', next(left, [1, 2]), clock.date());
    mirror.notice('user', left.id);
    await idle();
    expect(disagreements(world)).toEqual([]);
  });

  test('who came while nothing might be repaired', async () => {
    const { mongo, mirror, member, clock, idle, ...world } = await letGo();
    const transition = { id: 't', target: 'shadow-read', phase: 'fenced', deadlineMs: 10_000 } as const;
    member.follow({ transition });
    plant(mongo, 'user', freed, clock.date());
    mirror.notice('user', left.id);
    await clock.pass(5_000);
    expect(disagreements(world)).toEqual(['user still marked', 'session not in the mirror']);
    member.follow({ transition: null });
    await clock.pass(60_000);
    expect(disagreements(world)).toEqual([]);
  });

  test('who came by another instance, after it was asked here whether the user was away', async () => {
    const { mongo, clock, ...world } = chosen('dual-write');
    world.decide();
    plant(mongo, 'user', left);
    plant(mongo, 'session', session, clock.date());
    const pass = passOf({ ...world, clock });
    let comes = true;
    world.hooks.authority = {
      async before({ name }) {
        if (name !== 'clearMarks' || !comes) return;
        comes = false;
        plant(mongo, 'user', freed, clock.date());
        await mirrorBatch(pass, 'user', [left.id]);
      },
    };
    await mirrorBatch(pass, 'session', [session.id]);
    expect(comes).toBe(false);
    world.mirror.notice('session', session.id);
    await world.idle();
    expect(disagreements(world)).toEqual([]);
  });
});

test('they make way for the address in MongoDB, and stay', async () => {
  const { mongo, postgres, mirror, idle, clock, decide, ...world } = chosen('postgres-primary');
  decide();
  mongo.tables.user.delete(holder.id);
  plant(mongo, 'user', left);
  plant(mongo, 'session', session);
  plant(postgres, 'user', holder, clock.date());
  mirror.notice('user', holder.id);
  await idle();
  expect(disagreements(world)).toEqual(['user only in the mirror', 'session only in the mirror']);
  expect(mongo.tables.user.get(holder.id)?.record).toEqual(holder);
  expect(mongo.tables.user.get(left.id)?.record).toMatchObject({ email: EMAIL, stamp: left.stamp });
  expect(await mongo.replica.asides({ limit: 1 })).toEqual([]);
  expect(await postgres.books.countNotes()).toEqual({ clash: 1 });
});

test('writes of theirs that land late stay, without the mark', async () => {
  const { mongo, mirror, clock, decide, ...world } = chosen('postgres-primary');
  decide();
  plant(mongo, 'user', left, NOW);
  plant(mongo, 'session', session, NOW);
  await clock.pass(5_000);
  expect(disagreements(world)).toEqual(['user only in the mirror', 'session only in the mirror']);
  expect(await mongo.replica.countMarks()).toMatchObject({ count: 0 });
  expect(mirror.stats().orphans).toBe(0);
  expect(await mongo.replica.asides({ limit: 1 })).toEqual([]);
});
