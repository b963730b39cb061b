/** What the replica must leave as it is in documents that the old service wrote. */
import mongoose from 'mongoose';
import { beforeAll, describe, expect, it } from 'vitest';
import type { MongoStore } from '../../../db/mongo/store.ts';
import type { Entity, RecordOf } from '../../../db/records.ts';
import { CANONICAL } from '../../canonical/default.ts';
import { HASH, legacyDatabase, legacyUser, NOW, OTHER_HASH, UNNAMEABLE } from '../../mongo/legacy.ts';
import { later } from '../fixtures.ts';
import { applyTo, heldBy, next, tombstoneAt, UNDER, userAt } from './records.ts';

const { ObjectId } = mongoose.mongo;
const AT_FIRST = { epoch: 0, version: 0 };

describe('replica over legacy documents', async () => {
  const legacy = await legacyDatabase();
  const users = legacy.db.collection('users');
  let store: MongoStore;

  beforeAll(async () => {
    store = await legacy.open();
    await store.migrate(() => {});
  });

  async function stored(doc: mongoose.mongo.Document): Promise<RecordOf['user']> {
    await users.insertOne(doc as never);
    return (await heldBy(store, 'user', String(doc['_id']))).record;
  }

  const raw = (collection: string, _id: unknown) =>
    legacy.db.collection(collection).findOne({ _id } as never);

  it('apply goes over them, and keeps fields of others', async () => {
    const doc = legacyUser({ plan: 'gold', tags: ['a'] });
    const record = await stored(doc);
    const newer = next(record, [1, 4], { passwordHash: OTHER_HASH, isVerified: true, updatedAt: NOW });
    expect(await applyTo(store, 'user', newer)).toEqual(['applied']);
    expect(await raw('users', doc._id)).toMatchObject({ plan: 'gold', tags: ['a'], __v: 0, name: 'Ann' });
    expect((await heldBy(store, 'user', record.id)).record).toEqual(newer);
  });

  it('keeps a password that is no hash of ours, unless there is a new one or none at all', async () => {
    const doc = legacyUser({ password: 'sha1$not-a-bcrypt-hash' });
    const record = await stored(doc);
    expect(record.passwordHash).toBeNull();
    await applyTo(store, 'user', next(record, [1, 1], { updatedAt: later(1) }));
    expect(await raw('users', doc._id)).toMatchObject({ password: 'sha1$not-a-bcrypt-hash' });
    await applyTo(store, 'user', tombstoneAt([1, 2], record, NOW));
    expect(JSON.stringify(await raw('users', doc._id))).not.toContain('not-a-bcrypt-hash');
  });

  it('leaves nothing personal in a tombstone, wherever the old service kept it', async () => {
    const doc = legacyUser({ displayName: 'Personal Name', emails: [{ address: 'personal@example.org' }] });
    const record = await stored(doc);
    const erased = tombstoneAt([1, 1], record, NOW);
    expect(await applyTo(store, 'user', erased)).toEqual(['applied']);
    expect(JSON.stringify(await raw('users', doc._id))).not.toMatch(/personal|User\.\d|\$2a/i);
    expect((await heldBy(store, 'user', record.id)).record).toEqual(erased);
  });

  it('nor in fields whose names no update can name', async () => {
    const doc = legacyUser(UNNAMEABLE);
    const record = await stored(doc);
    const erased = tombstoneAt([1, 1], record, NOW);
    expect(await applyTo(store, 'user', erased)).toEqual(['applied']);
    expect(JSON.stringify(await raw('users', doc._id))).not.toContain('personal');
    expect((await heldBy(store, 'user', record.id)).record).toEqual(erased);
  });

  it('names a validator of the old service that refuses a touch', async () => {
    const record = await stored(legacyUser());
    const ours = ['epoch', 'version', 'pendingAt'].map((field) => ({ [field]: { $exists: false } }));
    const collMod = (how: mongoose.mongo.Document) => legacy.db.command({ collMod: 'users', ...how });
    await collMod({ validator: { $and: ours }, validationLevel: 'strict' });
    const touched = store.replica.touch('user', record.id, {
      expected: AT_FIRST,
      to: { epoch: 1, version: 1 },
    });
    await expect(touched.finally(() => collMod({ validator: {} }))).rejects.toMatchObject({
      name: 'StoreUnavailable',
      reason: 'validator',
      outcome: 'none',
    });
  });

  it('names the index of the old service that refuses a record, and applies the others', async () => {
    await users.createIndex(
      { verifiedWith: 1 },
      {
        unique: true,
        partialFilterExpression: { verifiedWith: { $type: 'string' } },
        name: 'theirs',
      },
    );
    const [a, b] = [userAt([1, 1]), userAt([1, 1])].map((user) => ({
      ...user,
      isVerified: true,
      verifiedWith: 't',
    }));
    const fine = userAt([1, 1], { isVerified: true, verifiedWith: 'other' });
    if (a === undefined || b === undefined) throw new Error('no users');
    await applyTo(store, 'user', a);
    expect(await store.replica.apply('user', [b, fine], UNDER)).toEqual([
      { kind: 'refused', reason: '11000 theirs' },
      { kind: 'applied' },
    ]);
    await users.dropIndex('theirs');
  });

  it('an account without a key of ours is still seen as the holder of its address', async () => {
    await store.whenEmailsKeyed();
    const holder = await stored(legacyUser());
    await users.createIndex({ email: 1 }, { unique: true });
    const rival = userAt([1, 1], { email: holder.email ?? '' });
    expect(await store.replica.apply('user', [rival, userAt([1, 1])], UNDER)).toEqual([
      { kind: 'clash', holderId: holder.id },
      { kind: 'applied' },
    ]);
    // The release lets go of the old index as well.
    expect(await store.replica.releaseEmailKey(holder.id, { expected: AT_FIRST })).toBe(true);
    expect((await heldBy(store, 'user', holder.id)).record).toEqual(holder);
    expect(await applyTo(store, 'user', rival)).toEqual(['applied']);
    await users.dropIndex('email_1');
  });

  it('names what cannot be read instead of calling it absent, and repairs it by a newer state', async () => {
    const doc = legacyUser({ email: { not: 'text' } });
    await users.insertOne(doc as never);
    const id = String(doc._id);
    expect(await store.replica.read('user', [id])).toEqual({ found: new Map(), unreadable: [id] });
    const user = userAt([0, 0], { id, passwordHash: HASH });
    expect(await store.replica.apply('user', [user], UNDER)).toEqual([
      { kind: 'refused', reason: 'unreadable' },
    ]);
    const newer = next(user, [1, 1]);
    expect(await applyTo(store, 'user', newer)).toEqual(['applied']);
    expect((await heldBy(store, 'user', id)).record).toEqual(newer);
  });

  const shapes: readonly (readonly [string, Entity, string, mongoose.mongo.Document])[] = [
    [
      'a token that names its user by digits',
      'resetToken',
      'password_reset_tokens',
      {
        userId: new ObjectId().toHexString(),
        token: 'clear text',
        expiresAt: NOW,
      },
    ],
    [
      'a user updated before it was created',
      'user',
      'users',
      {
        ...legacyUser(),
        createdAt: NOW,
        updatedAt: later(-5),
      },
    ],
    ['a user without times', 'user', 'users', { email: 'No.Times@Example.org', name: 'x', _id: 'textual' }],
    [
      'a user of another spelling',
      'user',
      'users',
      {
        emailAddress: ' Sp.elled@Example.org ',
        full_name: 'x',
        verified: 'yes',
      },
    ],
  ];
  it.each(shapes)('a touch changes nothing that %s means', async (_, entity, collection, shape) => {
    const doc = { _id: new ObjectId(), ...shape };
    await legacy.db.collection(collection).insertOne(doc as never);
    const read = CANONICAL[entity](doc);
    if (!('record' in read)) throw new Error('unreadable');
    const { record } = read;
    const to = { epoch: 1, version: 1 };
    expect(await store.replica.touch(entity, record.id, { expected: AT_FIRST, to })).toBe(true);
    const held = await heldBy(store, entity, record.id);
    expect(held.record).toEqual({ ...record, stamp: to });
    expect(held.pendingAt).toBeInstanceOf(Date);
    expect(await raw(collection, doc._id)).toMatchObject('token' in shape ? { token: 'clear text' } : {});
  });

  it('scans past documents that cannot be read, and names them', async () => {
    const tokens = legacy.db.collection('verification_tokens');
    const good = [1, 2, 3].map(() => ({
      _id: new ObjectId(),
      userId: new ObjectId(),
      token: 't',
      expiresAt: NOW,
    }));
    const bad = { _id: new ObjectId(), token: 'nobody’s' };
    await tokens.insertMany([...good, bad] as never[]);
    const seen: string[] = [];
    const unreadable: string[] = [];
    let after: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof store.replica.scan>> = await store.replica.scan(
        'verificationToken',
        { after, limit: 2 },
      );
      seen.push(...page.records.map(({ id }) => id));
      unreadable.push(...page.unreadable);
      after = page.next;
    } while (after !== null);
    expect(seen).toEqual(good.map(({ _id }) => String(_id)));
    expect(unreadable).toEqual([String(bad._id)]);
  });

  describe.each([null, 7, 'pending', true, new Date('2024-01-01')])(
    'a pendingAt of the old service’s, %s,',
    (value) => {
      const marked = async (_id: unknown) =>
        (await store.replica.marks({ limit: 1_000 })).filter(({ id }) => id === String(_id));
      const put = async () => {
        const doc = legacyUser({ pendingAt: value });
        await stored(doc);
        return { _id: doc._id, userId: String(doc._id), now: NOW };
      };
      const OURS = { epoch: 1, pending: true };

      it('is no mark', async () => {
        const before = await store.replica.countMarks();
        const { _id, userId } = await put();
        expect(await marked(_id)).toEqual([]);
        expect((await heldBy(store, 'user', userId)).pendingAt).toBeNull();
        expect(await store.replica.countMarks()).toEqual(before);
      });

      it.each(['a write', 'an erasure', 'a touch'])(
        'makes way for one with %s, which can be cleared',
        async (how) => {
          const { _id, userId, now } = await put();
          const startedMs = Date.now();
          if (how === 'a write') await store.at(OURS).endSessions({ userId, now });
          else if (how === 'an erasure')
            await store.at(OURS).eraseUser({ userId, now, sessionGeneration: null });
          else
            await store.replica.touch('user', userId, { expected: AT_FIRST, to: { epoch: 1, version: 1 } });
          const [mark] = await marked(_id);
          expect(mark?.markedAt.getTime()).toBeGreaterThanOrEqual(startedMs);
          expect(await store.replica.clearMarks(mark === undefined ? [] : [mark])).toBe(1);
          expect(await marked(_id)).toEqual([]);
        },
      );

      it('becomes none by a write without one', async () => {
        const { _id, userId, now } = await put();
        await store.at({ epoch: 0, pending: false }).endSessions({ userId, now });
        expect(await marked(_id)).toEqual([]);
        expect((await heldBy(store, 'user', userId)).record.stamp).toEqual({ epoch: 0, version: 1 });
      });
    },
  );

  it('a mark that a write of ours left stays as old as it is', async () => {
    const doc = legacyUser();
    await stored(doc);
    const write = { userId: String(doc._id), now: NOW };
    await store.at({ epoch: 1, pending: true }).endSessions(write);
    const { pendingAt } = await heldBy(store, 'user', write.userId);
    await users.updateOne({ _id: doc._id }, { $set: { pendingAt: new Date('2026-01-01') } });
    await store.at({ epoch: 1, pending: true }).endSessions(write);
    expect(pendingAt).toBeInstanceOf(Date);
    expect((await heldBy(store, 'user', write.userId)).pendingAt).toEqual(new Date('2026-01-01'));
  });
});
