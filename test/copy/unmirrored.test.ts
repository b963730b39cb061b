/** What others wrote to MongoDB while nothing was mirrored comes with the next copy, and goes with its undoing. */
import { ObjectId } from 'bson';
import { beforeEach, expect, it } from 'vitest';
import { rollbackBackfill, runBackfill, verify } from '../../cutover/copy/index.ts';
import { sessionAt } from '../contract/replica/records.ts';
import { HASH, legacyUser } from '../mongo/legacy.ts';
import { clear, openBench } from './support.ts';

const LATER = new Date(Date.now() + 3_600_000);
const bench = await openBench();
const { mongo, postgres, stores } = bench;
const backfill = () => runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
const users = () => mongo.collection('user');

const legacyToken = (userId: unknown) => ({
  _id: new ObjectId(),
  userId,
  token: `clear-${new ObjectId()}`,
  createdAt: new Date(),
  expiresAt: LATER,
});

/** Users with a session and tokens each, one of them written by this service, all of them copied. */
async function copied() {
  const [changed, ours, gone, kept] = [
    legacyUser(),
    legacyUser({ epoch: 1, version: 3 }),
    legacyUser(),
    legacyUser(),
  ];
  const all = [changed, ours, gone, kept];
  await bench.insert('user', all);
  for (const entity of ['verificationToken', 'resetToken'] as const) {
    await bench.insert(
      entity,
      all.map(({ _id }) => legacyToken(_id)),
    );
  }
  const sessions = all.map(({ _id }) => sessionAt([1, 1], String(_id), { expiresAt: LATER }));
  await stores.mongo.replica.apply('session', sessions, { epoch: 1, expiredBefore: new Date(0) });
  expect(await backfill()).toMatchObject({ outcome: 'complete', counts: { inserted: 16 } });
  return { changed, ours, gone, kept };
}

/** As the old service deletes a user: with all that is theirs. */
async function remove(_id: unknown): Promise<void> {
  await users().deleteOne({ _id } as never);
  for (const entity of ['verificationToken', 'resetToken', 'session'] as const) {
    await mongo.collection(entity).deleteMany({ userId: _id } as never);
  }
}

const set = (_id: unknown, fields: object) => users().updateOne({ _id } as never, { $set: fields });

beforeEach(async () => {
  await clear(bench);
  await bench.setMode('dual-write');
});

it('what was changed and deleted, by whom no stamp tells, and a rollback takes all of it back', async () => {
  const { changed, ours, gone } = await copied();
  await bench.setMode('mongo-only');
  const password = HASH.replace('$10$', '$11$');
  await set(changed._id, { name: 'by the old service', email: 'new@example.org', password });
  await set(ours._id, { name: 'by a script' });
  await remove(gone._id);
  const heir = legacyUser({ email: gone['email'] });
  await bench.insert('user', [heir]);
  await bench.setMode('dual-write');
  const before = await bench.rows();

  const result = await backfill();
  expect(result).toMatchObject({
    outcome: 'complete',
    counts: { inserted: 1, updated: 2, removed: 4, deferred: 0 },
  });
  expect(await verify(bench)).toMatchObject({ clean: true, differing: 0 });
  const after = await bench.rows();
  expect(after['users']?.join()).toContain('new@example.org');
  expect(after['users']?.join()).not.toContain(String(gone._id));

  expect(await rollbackBackfill(bench, result.run)).toMatchObject({ removed: 1, restored: 6, spared: 0 });
  expect(await bench.rows()).toEqual(before);
  expect((await backfill()).counts).toMatchObject({ inserted: 1, updated: 2, removed: 4 });
  expect(await bench.rows()).toEqual(after);
  expect((await backfill()).counts).toMatchObject({ inserted: 0, updated: 0, removed: 0, deferred: 0 });
});

it('a rollback spares what was written since, and brings nobody back who was erased', async () => {
  const { changed, gone, kept } = await copied();
  await set(changed._id, { name: 'by the old service' });
  await remove(gone._id);
  await remove(kept._id);
  const { run } = await backfill();
  const live = postgres.query('update users set name = $2, version = 1 where id = $1', [
    String(changed._id),
    'live',
  ]);
  await live;
  expect(await stores.postgres.replica.forgetKept([String(kept._id)])).toBe(4);
  expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 0, restored: 4, spared: 5 });
  const { users = [] } = await bench.rows();
  expect(users).toHaveLength(3);
  expect(users.join()).toContain('live');
  expect(users.join()).toContain(String(gone._id));
});

it('addresses that two have exchanged are left to the mirror, which knows how', async () => {
  const { changed, kept } = await copied();
  await set(changed._id, { email: 'away@example.org' });
  await set(kept._id, { email: changed['email'] });
  await set(changed._id, { email: kept['email'] });
  expect((await backfill()).counts).toMatchObject({ inserted: 0, updated: 0, removed: 0, deferred: 2 });
  const marks = await stores.mongo.replica.marks({ limit: 10 });
  expect(marks.map(({ id }) => id).sort()).toEqual([changed._id, kept._id].map(String).sort());
});

it('what is past retention, put aside, or marked is not taken for gone', async () => {
  const { changed, gone, kept } = await copied();
  await set(changed._id, { email: null });
  await postgres.query('update users set pending_at = now() where id = $1', [String(gone._id)]);
  await remove(gone._id);
  await mongo.collection('resetToken').deleteMany({ userId: kept._id } as never);
  await postgres.query(`update password_reset_tokens set expires_at = '2020-01-01' where user_id = $1`, [
    String(kept._id),
  ]);
  const result = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
  // The two tokens of the marked user, and its session.
  expect(result.counts).toMatchObject({ bad: 1, removed: 3 });
  const { users: rows = [], password_reset_tokens: tokens = [] } = await bench.rows();
  expect(rows).toHaveLength(4);
  expect(tokens).toHaveLength(3);
});
