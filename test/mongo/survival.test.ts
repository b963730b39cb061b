/** What a document of the old service holds beside a record survives every write of ours, and so does a password we refused. */
import { BSONRegExp, Double, Long, ObjectId } from 'bson';
import { beforeAll, describe, expect, it } from 'vitest';
import { ASIDE_COLLECTION } from '../../db/mongo/indexes.ts';
import type { MongoStore } from '../../db/mongo/store.ts';
import type { Repository } from '../../db/port.ts';
import type { Entity, RecordOf } from '../../db/records.ts';
import { type LegacyDatabase, legacyDatabase, legacyUser, NOW, newAccount, OTHER_HASH } from './legacy.ts';

const REFUSED = 'sha1$5f4dcc3b$clear';
const LATER = new Date(NOW.getTime() + 3_600_000);
const UNDER = { epoch: 9, expiredBefore: new Date(0) };
/** Of every shape, and none of them a record's. */
const FOREIGN = {
  plan: 'gold',
  prefs: { theme: { dark: true }, langs: ['de', { fallback: null }] },
  'odd name': new Double(2.5),
  counter: Long.fromString('9007199254740993'),
  tags: [],
  nothing: null,
  // No pattern to JavaScript.
  pattern: new BSONRegExp('(?i)abc', 'x'),
};
const COLLECTION = {
  user: 'users',
  verificationToken: 'verification_tokens',
  resetToken: 'password_reset_tokens',
  session: 'sessions',
} as const;

describe('fields of nobody survive', async () => {
  let legacy: LegacyDatabase;
  let store: MongoStore;
  let repo: Repository;
  beforeAll(async () => {
    legacy = await legacyDatabase();
    store = await legacy.open();
    await store.migrate(() => {});
    repo = store.at({ epoch: 1, pending: true });
  });

  const raw = (entity: Entity, id: string) =>
    legacy.db
      .collection(COLLECTION[entity])
      .findOne({ _id: ObjectId.createFromHexString(id) as never }, { promoteValues: false });
  async function put(entity: Entity, document: object): Promise<string> {
    const { _id = new ObjectId(), ...rest } = document as { readonly _id?: ObjectId };
    await legacy.db.collection(COLLECTION[entity]).insertOne({ _id, ...rest, ...FOREIGN } as never);
    return String(_id);
  }
  async function held<E extends Entity>(entity: E, id: string): Promise<RecordOf[E]> {
    const found = (await store.replica.read(entity, [id])).found.get(id);
    if (found === undefined) throw new Error('no record');
    return found.record;
  }
  const newer = <T extends RecordOf[Entity]>(record: T, given: Partial<T> = {}): T => ({
    ...record,
    ...given,
    stamp: { epoch: 2, version: record.stamp.version + 1 },
  });
  async function expectKept(entity: Entity, id: string, password: string | null): Promise<void> {
    const document = await raw(entity, id);
    expect(document).toMatchObject(FOREIGN);
    expect(Number(document?.['version'])).toBeGreaterThan(0);
    if (password !== null) expect(document?.['password']).toBe(password);
  }

  const newTimes = { createdAt: NOW, expiresAt: LATER };
  const userPaths: Readonly<Record<string, (id: string, user: RecordOf['user']) => Promise<unknown>>> = {
    verifyEmail: (userId) => repo.verifyEmail({ userId, tokenId: 't', now: NOW }),
    endSessions: (userId) => repo.endSessions({ userId, now: NOW }),
    requestReset: (userId) => {
      const { token } = newAccount('x@example.org', userId);
      return repo.requestReset({ token: { ...token, ...newTimes }, decoy: false, now: NOW });
    },
    touch: (id, { stamp }) =>
      store.replica.touch('user', id, { expected: stamp, to: { epoch: 1, version: 1 } }),
    apply: (_, user) => store.replica.apply('user', [newer(user, { name: 'Newer' })], UNDER),
    'apply of what it holds already': (_, user) => store.replica.apply('user', [newer(user)], UNDER),
    'apply, then clearMarks': async (id, user) => {
      await repo.endSessions({ userId: id, now: NOW });
      await store.replica.apply('user', [newer(newer(user), { isVerified: true })], UNDER);
      const marks = await store.replica.marks({ limit: 1_000 });
      return store.replica.clearMarks(marks.filter((mark) => mark.id === id));
    },
    'releaseEmailKey, then apply': async (_, user) => {
      const touched = newer(user);
      await store.replica.apply('user', [touched], UNDER);
      await store.replica.releaseEmailKey(user.id, { expected: touched.stamp });
      return store.replica.apply(
        'user',
        [newer(touched, { email: `free-${user.id}@x.org`, emailKey: `free-${user.id}@x.org` })],
        UNDER,
      );
    },
  };

  it.each(Object.keys(userPaths))('%s of a user, whose refused password stays as well', async (path) => {
    const id = await put('user', legacyUser({ password: REFUSED }));
    await userPaths[path]?.(id, await held('user', id));
    await expectKept('user', id, REFUSED);
    expect((await held('user', id)).passwordHash).toBeNull();
  });

  it('a new password of a user, which takes the place of the refused one', async () => {
    const id = await put('user', legacyUser({ password: REFUSED }));
    expect(await repo.consumeReset({ userId: id, generation: 0, newHash: OTHER_HASH, now: NOW })).toBe(
      'done',
    );
    await expectKept('user', id, OTHER_HASH);
    await repo.changePassword({
      userId: id,
      sessionGeneration: 1,
      newHash: OTHER_HASH,
      keepSessionId: 's',
      now: NOW,
    });
    await repo.upgradeHash({
      userId: id,
      oldHash: OTHER_HASH,
      newHash: `${OTHER_HASH.slice(0, -1)}z`,
      now: NOW,
    });
    await expectKept('user', id, `${OTHER_HASH.slice(0, -1)}z`);
  });

  const legacyToken = () => ({
    userId: String(new ObjectId()),
    token: `clear-${new ObjectId()}`,
    ...newTimes,
  });

  it.each(['verificationToken', 'resetToken'] as const)(
    'a touch and an apply of a %s, which goes on naming its user',
    async (entity) => {
      const given = legacyToken();
      const id = await put(entity, given);
      const before = await held(entity, id);
      await store.replica.touch(entity, id, { expected: before.stamp, to: { epoch: 1, version: 1 } });
      expect(await held(entity, id)).toEqual({ ...before, stamp: { epoch: 1, version: 1 } });
      await store.replica.apply(entity, [newer(before, { mailDueAt: NOW })], UNDER);
      await expectKept(entity, id, null);
      expect((await held(entity, id)).userId).toBe(given.userId);
    },
  );

  it('moveMailDue of a token, which goes on naming its user', async () => {
    const given = { ...legacyToken(), mailDueAt: NOW };
    const id = await put('resetToken', given);
    const moving = { purpose: 'resetToken', tokenId: id, from: NOW, to: null } as const;
    expect(await repo.moveMailDue(moving)).toBe(true);
    await expectKept('resetToken', id, null);
    expect((await held('resetToken', id)).userId).toBe(given.userId);
  });

  it('rotating, revoking, touching and applying a session', async () => {
    const { session } = newAccount('s@example.org');
    const { id: _, ...fields } = session;
    const userId = await put('user', legacyUser());
    const id = await put('session', {
      ...fields,
      ...newTimes,
      idleExpiresAt: LATER,
      userId: new ObjectId(userId),
      epoch: 1,
      version: 1,
    });
    const rotation = {
      sessionId: id,
      fromHash: session.tokenHash,
      toHash: 'b'.repeat(64),
      now: NOW,
      idleExpiresAt: LATER,
    };
    expect(await repo.rotateSession(rotation)).not.toBeNull();
    await expectKept('session', id, null);
    const { stamp } = await held('session', id);
    await store.replica.touch('session', id, {
      expected: stamp,
      to: { epoch: 1, version: stamp.version + 1 },
    });
    await store.replica.apply('session', [newer(newer(await held('session', id)), { rotation: 7 })], UNDER);
    await expectKept('session', id, null);
    const late = store.at({ epoch: 2, pending: true });
    expect(await late.revokeSession({ sessionId: id, userId, reason: 'logout', now: NOW })).toBe(true);
    await expectKept('session', id, null);
  });

  it('being moved aside, whole', async () => {
    const id = await put('user', legacyUser({ password: REFUSED }));
    const { stamp } = await held('user', id);
    expect(await store.replica.moveAside('user', id, { expected: stamp, reason: 'r', now: NOW })).toBe(true);
    const [aside] = await legacy.db
      .collection(ASIDE_COLLECTION)
      .find({ recordId: id }, { promoteValues: false })
      .toArray();
    expect(aside?.['document']).toMatchObject({ ...FOREIGN, password: REFUSED });
  });

  it('but not the erasure of a user', async () => {
    const id = await put('user', legacyUser({ password: REFUSED }));
    await repo.eraseUser({ userId: id, sessionGeneration: null, now: NOW });
    const document = await raw('user', id);
    expect(Object.keys(document ?? {})).not.toEqual(expect.arrayContaining(['plan']));
    expect(document?.['password']).toBe('');
  });
});

describe('the first write of a legacy document', async () => {
  const legacy = await legacyDatabase();
  const store = await legacy.open();
  const repo = store.at({ epoch: 1, pending: false });

  it('changes the meaning of nothing but what it writes', async () => {
    const escaped = legacyUser({ name: 'O&#39;Neil &amp; Sons', updatedAt: new Date(0) });
    const textual = legacyUser({ _id: 'textual', email: 'textual@example.org', createdAt: null });
    await legacy.db.collection('users').insertMany([escaped, textual] as never[]);
    for (const id of [String(escaped._id), 'textual']) {
      const before = (await store.replica.read('user', [id])).found.get(id)?.record;
      expect(await repo.verifyEmail({ userId: id, tokenId: 't', now: NOW })).toBe('done');
      const after = (await store.replica.read('user', [id])).found.get(id)?.record;
      expect(after).toEqual({
        ...before,
        isVerified: true,
        verifiedWith: 't',
        updatedAt: NOW,
        stamp: { epoch: 1, version: 1 },
      });
    }
  });
});
