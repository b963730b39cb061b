/** What becomes of documents that were put aside. */
import { randomBytes } from 'node:crypto';
import { ObjectId } from 'bson';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type CopyScope,
  listBackfills,
  listQuarantine,
  resolveQuarantine,
  retryQuarantine,
  runBackfill,
  showBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { sessionAt } from '../contract/replica/records.ts';
import { HASH, legacyUser } from '../mongo/legacy.ts';
import { clear, neverTouching, openBench } from './support.ts';

const LATER = new Date(Date.now() + 3_600_000);

describe('quarantine', async () => {
  const bench = await openBench();
  const [mended, accepted, dropped, gone] = Array.from({ length: 4 }, () => legacyUser({ email: [] }));
  const ids = [mended, accepted, dropped, gone].map((doc) => String(doc?._id));
  let run = '';

  beforeAll(async () => {
    await bench.insert('user', [mended, accepted, dropped, gone, legacyUser({ plan: 'gold' })] as object[]);
    await bench.setMode('dual-write');
  });

  it('holds what a run put aside, and verify does not ask for it', async () => {
    const result = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    run = result.run;
    expect((await listQuarantine(bench)).map(({ id }) => id).sort()).toEqual([...ids].sort());
    expect(await verify(bench)).toMatchObject({ clean: true, excused: 4 });
    expect(await listBackfills(bench)).toMatchObject([{ run, state: 'done', from: 'mongo' }]);
    expect(await showBackfill(bench, run)).toMatchObject({ undoable: 1, ranges: { open: 0 } });
    expect(await bench.stores.mongo.books.countNotes()).toMatchObject({ quarantine: 4 });
  });

  it('is left one by one, and what was decided is in the log', async () => {
    const name = { entity: 'user', reason: 'never signed in' } as const;
    await expect(
      resolveQuarantine(bench, { ...name, id: ids[1] ?? '', verb: 'accept', reason: ' ' }),
    ).rejects.toThrow('reason');
    expect(await resolveQuarantine(bench, { ...name, id: ids[1] ?? '', verb: 'accept' })).toBe(true);
    expect(await resolveQuarantine(bench, { ...name, id: ids[1] ?? '', verb: 'accept' })).toBe(false);
    expect(await resolveQuarantine(bench, { ...name, id: ids[2] ?? '', verb: 'drop' })).toBe(true);
    await bench.mongo
      .collection('user')
      .updateOne({ _id: mended?._id as never }, { $set: { email: 'mended@x.org' } });
    await bench.mongo.collection('user').deleteOne({ _id: gone?._id as never });
    expect(await retryQuarantine(bench)).toEqual({
      moved: [{ entity: 'user', id: ids[0] }],
      gone: [{ entity: 'user', id: ids[3] }],
      stillBad: [],
    });
    expect(await listQuarantine(bench)).toEqual([]);
    expect((await bench.stores.mongo.books.countNotes())['quarantine']).toBeUndefined();
    const marks = await bench.stores.mongo.replica.marks({ limit: 5 });
    expect(marks.map(({ id }) => id)).toEqual([ids[0]]);
    const kept = await bench.postgres.query(
      `select document <> '' as kept from copy_quarantine where record_id = any($1) order by state`,
      [[ids[1], ids[2]]],
    );
    expect(kept).toEqual([{ kept: true }, { kept: false }]);
    const log = await bench.stores.mongo.books.readLog({ limit: 20 });
    expect(JSON.stringify(log)).toContain('never signed in');
  });

  it('keeps users that still share an e-mail, and sessions of who is put aside, until that is settled', async () => {
    const [a, b] = [legacyUser({ email: 'twin@x.org' }), legacyUser({ email: 'Twin@x.org' })];
    const [c, d] = [legacyUser({ email: 'other@x.org' }), legacyUser({ email: ['x'] })];
    await bench.insert('user', [a, b, c, d]);
    const of = ({ _id }: { readonly _id: unknown }) => String(_id);
    const later = { expiresAt: LATER, idleExpiresAt: LATER };
    const [ofB, ofD] = [b, d].map((user) => sessionAt([0, 0], of(user), later));
    if (ofB === undefined || ofD === undefined) throw new Error('no sessions');
    await bench.stores.mongo.replica.apply('session', [ofB, ofD], { epoch: 1, expiredBefore: new Date(0) });
    await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    const held = [a, b, d].map(of).concat(ofB.id, ofD.id).sort();
    expect((await listQuarantine(bench)).map(({ id }) => id).sort()).toEqual(held);
    const retry = async (scope: CopyScope = bench) => {
      const { moved, stillBad } = await retryQuarantine(scope);
      return {
        moved: moved.map(({ id }) => id),
        stillBad: stillBad.map(({ id, fields }) => [id, ...fields]),
      };
    };
    const before = await retry();
    expect(before.moved).toEqual([]);
    expect(before.stillBad).toEqual(
      expect.arrayContaining([
        [of(a), 'email'],
        [of(b), 'email'],
        [of(d), 'email'],
        [ofB.id, 'userId'],
        [ofD.id, 'userId'],
      ]),
    );
    // Put right, but for an address that somebody has who was copied.
    const users = bench.mongo.collection('user');
    await users.updateOne({ _id: d._id as never }, { $set: { email: 'OTHER@x.org' } });
    expect((await retry()).moved).toEqual([]);
    await users.updateOne({ _id: d._id as never }, { $set: { email: 'd@x.org' } });
    const decided = { entity: 'user', id: of(a), verb: 'accept', reason: 'never signed in' } as const;
    expect(await resolveQuarantine(bench, decided)).toBe(true);
    const untouchable = await retry(neverTouching(bench));
    expect(untouchable.moved).toEqual([]);
    expect(untouchable.stillBad).toContainEqual([of(d), 'name']);
    const after = await retry();
    expect(after.stillBad).toEqual([]);
    expect([...after.moved].sort()).toEqual(held.filter((id) => id !== of(a)));
  });

  it('does not come back for what was decided', async () => {
    const again = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    expect(again.outcome).toBe('complete');
    expect(await listQuarantine(bench)).toEqual([]);
    // Nor is it a reason to take a run back that wants no bad documents.
    const strict = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    expect(strict).toMatchObject({ outcome: 'complete', counts: { bad: 0 } });
    await bench.mongo
      .collection('user')
      .updateOne({ _id: accepted?._id as never }, { $set: { name: 'New' } });
    const changed = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    expect(changed.bad).toMatchObject([{ id: ids[1], field: 'email' }]);
  });
});

describe('the sessions that wait for a user who is put aside', async () => {
  const bench = await openBench();
  beforeEach(async () => {
    await clear(bench);
    await bench.setMode('dual-write');
  });

  it.each(['accept', 'drop'] as const)('go with the user: %s', async (verb) => {
    const [bad, other] = [legacyUser({ status: 'banned' }), legacyUser({ status: 'banned' })];
    await bench.insert('user', [bad, other]);
    const [id, otherId] = [bad, other].map(({ _id }) => String(_id)) as [string, string];
    const later = { expiresAt: LATER, idleExpiresAt: LATER };
    const sessions = [id, id, otherId].map((userId) => sessionAt([0, 0], userId, later));
    await bench.stores.mongo.replica.apply('session', sessions, { epoch: 1, expiredBefore: new Date(0) });
    const broken = {
      _id: new ObjectId(),
      userId: bad._id,
      tokenHash: 'none',
      keyId: 'k',
      expiresAt: LATER,
    };
    await bench.insert('session', [broken]);
    await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    const decision = { entity: 'user', id, verb, reason: 'banned' } as const;
    expect(await resolveQuarantine(bench, decision)).toBe(true);
    const left = (await listQuarantine(bench)).map((each) => each.id).sort();
    expect(left).toEqual([String(broken._id), otherId, sessions[2]?.id].sort());
    expect((await bench.stores.mongo.books.countNotes())['quarantine']).toBe(left.length);
    expect(await verify(bench)).toMatchObject({ clean: true, lagging: 0 });
    for (const each of [otherId, String(broken._id)]) {
      const entity = each === otherId ? 'user' : 'session';
      expect(await resolveQuarantine(bench, { ...decision, entity, id: each })).toBe(true);
    }
    const next = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    expect(next).toMatchObject({ outcome: 'complete', counts: { bad: 0 } });
    expect(await listQuarantine(bench)).toEqual([]);
  });
});

describe('what is held, for the gates', async () => {
  const bench = await openBench();
  const doc = legacyUser({ email: [] });
  const name = { entity: 'user', id: String(doc._id) } as const;
  beforeAll(async () => {
    await bench.setMode('dual-write');
    await bench.insert('user', [doc]);
  });

  /** The same stores, with something that happens before the first such call of MongoDB's books. */
  function meanwhile(call: 'putNote' | 'notes', happens: () => Promise<unknown>): typeof bench {
    const { mongo } = bench.stores;
    let isFirst = true;
    const books = {
      ...mongo.books,
      [call]: async (...args: never[]) => {
        if (isFirst && args[0] === 'quarantine') {
          isFirst = false;
          await happens();
        }
        return (mongo.books[call] as (...given: never[]) => Promise<unknown>)(...args);
      },
    };
    return { ...bench, stores: { ...bench.stores, mongo: { ...mongo, books } } };
  }
  const noted = async () => (await bench.stores.mongo.books.countNotes())['quarantine'] ?? 0;

  it('keeps the note of what is put aside while the notes are compared', async () => {
    const backfill = () => runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    await verify(meanwhile('notes', backfill));
    expect(await noted()).toBe(1);
  });

  it('has no note of what is accepted meanwhile', async () => {
    await bench.stores.mongo.books.deleteNote('quarantine', `user/${name.id}`);
    const accept = () => resolveQuarantine(bench, { ...name, verb: 'accept', reason: 'never signed in' });
    await verify(meanwhile('putNote', accept));
    expect(await noted()).toBe(0);
  });
});

describe('what was put aside', async () => {
  const bench = await openBench();
  beforeAll(() => bench.setMode('dual-write'));

  it('is kept while more than are named share an e-mail, whatever became of those', async () => {
    const many = Array.from({ length: 103 }, () => legacyUser({ email: 'none@x.org' }));
    await bench.insert('user', many);
    const { bad } = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    const [named = []] = bad.map(({ detail }) => (detail as { readonly ids: readonly string[] }).ids);
    expect(named).toHaveLength(100);
    await bench.postgres.query(
      `update copy_quarantine set state = 'accepted', resolution = 'so far' where record_id = any($1)`,
      [named],
    );
    const { moved, stillBad } = await retryQuarantine(bench);
    expect({ moved, stillBad: stillBad.length }).toEqual({ moved: [], stillBad: 3 });
    const [last, ...others] = stillBad.map(({ id }) => id);
    for (const id of others) {
      await resolveQuarantine(bench, { entity: 'user', id, verb: 'accept', reason: 'nor these' });
    }
    expect((await retryQuarantine(bench)).moved).toEqual([{ entity: 'user', id: last }]);
    await bench.mongo.collection('user').deleteMany({});
  });

  it('is asked for once, however many share an e-mail', async () => {
    const pairs = Array.from({ length: 5 }, (_, i) => [`pair-${i}@x.org`, `Pair-${i}@x.org`]);
    const users = pairs.flat().map((email) => legacyUser({ email }));
    await bench.insert('user', users);
    await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    const asked: string[] = [];
    const { postgres } = bench;
    const query: typeof postgres.query = (text, values) => {
      if (text.includes('copy_findings')) asked.push(text);
      return postgres.query(text, values);
    };
    const scope = { ...bench, postgres: { ...postgres, query } };
    const { moved, stillBad } = await retryQuarantine(scope);
    expect({ moved, stillBad: stillBad.length }).toEqual({ moved: [], stillBad: 10 });
    expect(asked).toHaveLength(1);
    const [mended] = users;
    await bench.mongo
      .collection('user')
      .updateOne({ _id: mended?._id as never }, { $set: { email: 'alone@x.org' } });
    const after = await retryQuarantine(scope);
    expect(after.moved.map(({ id }) => id)).toEqual([String(mended?._id), String(users[1]?._id)]);
    await bench.mongo.collection('user').deleteMany({});
    await retryQuarantine(bench);
  });

  it.each(['held', 'accepted', 'dropped'] as const)(
    '%s, and mended and moved since, is missed when it is lost',
    async (state) => {
      const doc = legacyUser({ email: [] });
      const id = String(doc._id);
      await bench.insert('user', [doc]);
      await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
      if (state !== 'held') {
        const verb = state === 'accepted' ? 'accept' : 'drop';
        await resolveQuarantine(bench, { entity: 'user', id, verb, reason: 'so far' });
      }
      const ofIt = async () => (await verify(bench)).differences.filter((each) => each.id === id);
      expect(await ofIt()).toEqual([]);
      await bench.mongo
        .collection('user')
        .updateOne({ _id: doc._id as never }, { $set: { email: `${id}@x.org` } });
      const missing = [{ entity: 'user', id, kind: 'missing-in-mirror', fields: [] }];
      expect(await ofIt()).toEqual(missing);
      await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
      expect(await ofIt()).toEqual([]);
      expect((await listQuarantine(bench, { state: 'moved' })).map((each) => each.id)).toContain(id);
      // Even where it is bad again.
      await bench.mongo.collection('user').updateOne({ _id: doc._id as never }, { $set: { email: [] } });
      await bench.postgres.query('delete from users where id = $1', [id]);
      expect(await ofIt()).toMatchObject([{ id, kind: 'unreadable' }]);
      await bench.mongo.collection('user').deleteOne({ _id: doc._id as never });
    },
  );
});

const bench = await openBench();

it('names whose it is however a document says so, and holds what nobody could refer to', async () => {
  await bench.setMode('dual-write');
  const user = new ObjectId();
  const [id, digits] = [String(user), String(user).toUpperCase()];
  const noise = randomBytes(6_000).toString('base64');
  const populated = { _id: user, email: 'whose@example.org', password: HASH, avatar: noise };
  const cases: readonly (readonly [object, string | null])[] = [
    [{ userId: user }, id],
    [{ user_id: user }, id],
    [{ user: { $ref: 'users', $id: user } }, id],
    [{ owner: digits }, id],
    [{ userId: ` ${digits}\n` }, id],
    [{ userId: `ObjectId("${id}")` }, id],
    [{ userId: populated }, id],
    [{ userId: 'somebody' }, 'somebody'],
    [{ userId: 'a\0b' }, '~uYQAAAGIA'],
    [{ userId: noise }, null],
    [{ userId: { avatar: noise } }, null],
    [{ userId: [user] }, null],
    [{ userId: '' }, null],
    [{}, null],
  ];
  const documents = cases.map(([given]) => ({ _id: new ObjectId(), token: '', ...given }));
  for (const entity of ['verificationToken', 'resetToken'] as const) await bench.insert(entity, documents);
  const sessions = [noise, 'a\0b', user].map((userId) => ({
    _id: new ObjectId(),
    userId,
    epoch: 1,
    version: 1,
  }));
  await bench.insert('session', sessions);
  const result = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
  expect(result).toMatchObject({ outcome: 'complete', counts: { quarantined: 2 * cases.length + 3 } });
  const rows = await bench.postgres.query<{ id: string; owner: string | null }>(
    'select record_id as id, owner from copy_quarantine',
  );
  const owners = new Map(rows.map((row) => [row.id, row.owner]));
  expect(documents.map(({ _id }) => owners.get(String(_id)))).toEqual(cases.map(([, owner]) => owner));
  expect(sessions.map(({ _id }) => owners.get(String(_id)))).toEqual([null, '~uYQAAAGIA', id]);
  expect(rows.map(({ owner }) => owner).join()).not.toContain('whose');
});
