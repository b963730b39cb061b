import { createHash } from 'node:crypto';
import mongoose from 'mongoose';
import { beforeAll, describe, expect, it } from 'vitest';
import { StaleWrite } from '../../db/errors.ts';
import type { MongoStore } from '../../db/mongo/store.ts';
import type { Repository } from '../../db/port.ts';
import {
  HASH,
  type LegacyDatabase,
  legacyDatabase,
  legacyUser,
  NOW,
  newAccount,
  OTHER_HASH,
  UNNAMEABLE,
} from './legacy.ts';

const { ObjectId } = mongoose.mongo;

let legacy: LegacyDatabase;
let store: MongoStore;
let repo: Repository;
beforeAll(async () => {
  legacy = await legacyDatabase();
  store = await legacy.open();
  await store.migrate(() => {});
  repo = store.at({ epoch: 0, pending: false });
});

async function stored(doc: object) {
  await legacy.db.collection('users').insertOne(doc as never);
}
const raw = (id: unknown) => legacy.db.collection('users').findOne({ _id: id as never });

describe('writing a legacy user', () => {
  it('sets what changed, and leaves unknown fields and other types as they are', async () => {
    const doc = legacyUser({ createdAt: '2021-02-03T04:05:06Z', phones: [{ n: 1 }], isVerified: 'false' });
    await stored(doc);
    const id = String(doc._id);
    expect(await repo.verifyEmail({ userId: id, tokenId: 't', now: NOW })).toBe('done');
    const changed = { isVerified: true, verifiedWith: 't', updatedAt: NOW, epoch: 0, version: 1 };
    expect(await raw(doc._id)).toMatchObject({ ...doc, ...changed });
    expect(await repo.findUser(id)).toMatchObject({ isVerified: true, stamp: { epoch: 0, version: 1 } });
  });

  it('keeps what it read in another place than the first, which the stamp alone would hide', async () => {
    const doc = legacyUser({ password: ' ', passwordHash: HASH, isVerified: '', confirmed: true, name: '' });
    await stored({ ...doc, fullName: 'Ann Lee' });
    const id = String(doc._id);
    const before = await repo.findUser(id);
    expect(before).toMatchObject({ passwordHash: HASH, isVerified: true, name: 'Ann Lee' });
    await repo.endSessions({ userId: id, now: NOW });
    expect(await repo.findUser(id)).toEqual({
      ...before,
      updatedAt: NOW,
      sessionGeneration: 1,
      resetGeneration: 1,
      stamp: { epoch: 0, version: 1 },
    });
  });

  it('takes epoch and version of another program for no stamp, and goes over them', async () => {
    const doc = legacyUser({ epoch: 1_700_000_000, version: 7 });
    await stored(doc);
    const id = String(doc._id);
    expect(await repo.findUser(id)).toMatchObject({ stamp: { epoch: 0, version: 0 } });
    expect(await repo.verifyEmail({ userId: id, tokenId: 't', now: NOW })).toBe('done');
    expect(await raw(doc._id)).toMatchObject({ isVerified: true, epoch: 0, version: 1 });
  });

  it('an erased one keeps no personal data, wherever it stood, and the types the old service knows', async () => {
    const doc = legacyUser({ password: 'clear text', emails: [{ address: 'a@example.org' }], phone: '555' });
    await stored(doc);
    await store.whenEmailsKeyed();
    const id = String(doc._id);
    const erasure = { userId: id, sessionGeneration: null, now: NOW };
    expect(await repo.eraseUser(erasure)).toBe('done');
    expect(await raw(doc._id)).toEqual({
      _id: doc._id,
      email: `erased-${id}@invalid`,
      emailKey: false,
      name: '',
      password: '',
      isVerified: false,
      createdAt: doc['createdAt'],
      updatedAt: NOW,
      deletedAt: NOW,
      sessionGeneration: 1,
      epoch: 0,
      version: 1,
      resetGeneration: 0,
    });
    expect(await repo.findUser(id)).toMatchObject({
      email: null,
      emailKey: null,
      name: '',
      passwordHash: null,
    });
  });

  it('nor in fields whose names no update can name', async () => {
    const doc = legacyUser(UNNAMEABLE);
    await stored(doc);
    const id = String(doc._id);
    expect(await repo.eraseUser({ userId: id, sessionGeneration: 0, now: NOW })).toBe('done');
    expect(JSON.stringify(await raw(doc._id))).not.toContain('personal');
    expect(await repo.findUser(id)).toMatchObject({ deletedAt: NOW, stamp: { epoch: 0, version: 1 } });
  });

  it('never overwrites what an instance of the old service wrote in between', async () => {
    const users = legacy.db.collection('users');
    const docs = Array.from({ length: 60 }, () => legacyUser());
    await users.insertMany(docs as never[]);
    await Promise.all(
      docs.map(async ({ _id }) => {
        const upgrade = { userId: String(_id), oldHash: HASH, newHash: `${HASH.slice(0, -1)}z`, now: NOW };
        await Promise.all([
          repo.upgradeHash(upgrade),
          users.updateOne({ _id }, { $set: { password: OTHER_HASH } }),
        ]);
        // Whichever came first: the foreign change stands, since the upgrade replaces the old hash only.
        expect(await raw(_id)).toMatchObject({ password: OTHER_HASH });
      }),
    );
  });

  it('60 at once each count one version', async () => {
    const doc = legacyUser();
    await stored(doc);
    const id = String(doc._id);
    // Within one instance they queue up, on a busy machine for long.
    const stores = [await legacy.open({ timeoutMs: 60_000 }), await legacy.open({ timeoutMs: 60_000 })];
    const repos = stores.map((each) => each.at({ epoch: 0, pending: false }));
    const ends = Array.from({ length: 60 }, (_, i) => repos[i % 2]?.endSessions({ userId: id, now: NOW }));
    expect(new Set(await Promise.all(ends))).toEqual(new Set(['done']));
    expect(await repo.findUser(id)).toMatchObject({ sessionGeneration: 60, stamp: { version: 60 } });
  }, 60_000);

  it('is refused once a later epoch has written', async () => {
    const doc = legacyUser();
    await stored(doc);
    const userId = String(doc._id);
    expect(await store.at({ epoch: 2, pending: true }).endSessions({ userId, now: NOW })).toBe('done');
    expect(await raw(doc._id)).toMatchObject({ pendingAt: expect.any(Date), epoch: 2, version: 1 });
    await expect(repo.endSessions({ userId, now: NOW })).rejects.toBeInstanceOf(StaleWrite);
  });
});

describe('legacy tokens', () => {
  const presented = (clear: string) => ({
    clear,
    hash: createHash('sha256').update(clear).digest('hex'),
  });

  async function resetTokens(userId: unknown, ages: readonly [string, number][]) {
    const docs = ages.map(([token, ageMs]) => ({
      _id: new ObjectId(),
      userId,
      token,
      createdAt: new Date(NOW.getTime() - ageMs),
      expiresAt: new Date(NOW.getTime() + 3_600_000),
    }));
    await legacy.db.collection('password_reset_tokens').insertMany(docs as never[]);
  }

  it('work in clear, and only the newest of several', async () => {
    const doc = legacyUser();
    await stored(doc);
    const [old, middle, newest] = [1, 2, 3].map((n) => `clear-${n}-${doc._id}`) as [string, string, string];
    await resetTokens(doc._id, [
      [middle, 2000],
      [newest, 1000],
    ]);
    await resetTokens(String(doc._id), [[old, 3000]]);
    const superseded = async (clear: string) => (await repo.findResetToken(presented(clear)))?.superseded;
    expect(await superseded(old)).toBe(true);
    expect(await superseded(middle)).toBe(true);
    expect(await superseded(newest)).toBe(false);
    const found = await repo.findResetToken(presented(newest));
    expect(found).toMatchObject({ token: { generation: 0 }, user: { id: String(doc._id) } });
  });

  it('do not work after a new one was asked for', async () => {
    const doc = legacyUser();
    await stored(doc);
    const userId = String(doc._id);
    await resetTokens(doc._id, [[`clear-${userId}`, 1000]]);
    const { token } = newAccount('x@example.org', userId);
    expect(await repo.requestReset({ token, decoy: false, now: NOW })).toBe('done');
    const found = await repo.findResetToken(presented(`clear-${userId}`));
    expect(found?.token.generation).toBe(0);
    const reset = { userId, generation: 0, newHash: OTHER_HASH, now: NOW };
    expect(await repo.consumeReset(reset)).toBe('used');
  });

  it('a stored hash is no token', async () => {
    const { user, token, session } = newAccount('hash@example.org');
    await repo.createAccount({ user, token, session });
    const clear = `sha256:${token.tokenHash}`;
    expect(await repo.findVerificationToken({ clear, hash: '0'.repeat(64) })).toBeNull();
    expect(await repo.findVerificationToken({ clear: 'any', hash: token.tokenHash })).toMatchObject({
      token,
    });
  });
});
