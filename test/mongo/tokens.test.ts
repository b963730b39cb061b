/** Tokens of the old service in places and types of its own: MongoDB answers as PostgreSQL will once they are there. */
import { createHash } from 'node:crypto';
import mongoose from 'mongoose';
import { describe, expect, it } from 'vitest';
import { createCodec, DEFAULT_MAPPING, parseMapping } from '../../db/canonical.ts';
import { type LegacyDoc, legacyDatabase, legacyUser, NOW } from './legacy.ts';

const { Decimal128, Long, ObjectId } = mongoose.mongo;
const TOKENS = { verificationToken: 'verification_tokens', resetToken: 'password_reset_tokens' } as const;
const MINUTE = 60_000;

const presented = (clear: string) => ({ clear, hash: createHash('sha256').update(clear).digest('hex') });
const ago = (ms: number) => new Date(NOW.getTime() - ms);

async function opened(mapping: object = {}) {
  const legacy = await legacyDatabase();
  const store = await legacy.open({ codec: createCodec(parseMapping(mapping, DEFAULT_MAPPING)) });
  await store.migrate(() => {});
  const user = legacyUser();
  await legacy.db.collection('users').insertOne(user as never);
  const repo = store.at({ epoch: 0, pending: false });
  return {
    store,
    repo,
    db: legacy.db,
    user,
    add: (purpose: keyof typeof TOKENS, docs: readonly LegacyDoc[]) =>
      legacy.db
        .collection(TOKENS[purpose])
        .insertMany(docs.map((doc) => ({ expiresAt: ago(-60 * MINUTE), createdAt: NOW, ...doc })) as never),
    isSuperseded: async (clear: string) => (await repo.findResetToken(presented(clear)))?.superseded,
  };
}

describe('of several reset tokens only the newest works', () => {
  it.each<readonly [string, (id: mongoose.mongo.ObjectId) => LegacyDoc]>([
    ['in another place', (id) => ({ user_id: id })],
    ['as digits in another place', (id) => ({ owner: id.toHexString() })],
    ['as digits in capitals', (id) => ({ userId: id.toHexString().toUpperCase() })],
    ['as it is printed', (id) => ({ userId: `ObjectId("${id.toHexString()}")` })],
  ])('that refer to the user %s', async (_, reference) => {
    const { user, add, isSuperseded } = await opened();
    const whose = reference(user._id);
    await add('resetToken', [
      { ...whose, token: 'older', createdAt: ago(2 * MINUTE) },
      { ...whose, token: 'newer', createdAt: ago(MINUTE) },
    ]);
    expect(await isSuperseded('older')).toBe(true);
    expect(await isSuperseded('newer')).toBe(false);
  });

  it('among thousands that nobody ever deleted', async () => {
    const { user, add, isSuperseded } = await opened();
    const many = Array.from({ length: 2_500 }, (_, i) => ({
      userId: user._id,
      token: `t${i}`,
      createdAt: ago((2_500 - i) * MINUTE),
    }));
    await add('resetToken', many);
    expect(await isSuperseded('t2498')).toBe(true);
    expect(await isSuperseded('t2499')).toBe(false);
  });
});

it('a token of a user whose id is text of digits supersedes none of the ObjectId of these digits', async () => {
  const { user, db, add, isSuperseded } = await opened({
    resetToken: { userId: { from: 'userId', as: 'text-id' } },
  });
  const digits = user._id.toHexString();
  await db.collection('users').insertOne(legacyUser({ _id: digits }) as never);
  await add('resetToken', [
    { userId: user._id, token: 'of the ObjectId', createdAt: ago(MINUTE) },
    { userId: digits, token: 'of the text' },
  ]);
  expect(await isSuperseded('of the ObjectId')).toBe(false);
  expect(await isSuperseded('of the text')).toBe(false);
});

it('a token is found in each place that the mapping names, but for one that another place hides', async () => {
  const { user, repo, add } = await opened({ verificationToken: { token: ['code', 'token'] } });
  await add('verificationToken', [
    { userId: user._id, token: 'second' },
    { userId: user._id, code: 'first', token: 'hidden' },
  ]);
  for (const clear of ['first', 'second']) {
    expect((await repo.findVerificationToken(presented(clear)))?.user?.id, clear).toBe(
      user._id.toHexString(),
    );
  }
  expect(await repo.findVerificationToken(presented('hidden'))).toBeNull();
});

it('a code that was stored as a number is found by its digits, and by no other text', async () => {
  const { user, repo, add } = await opened();
  const codes = [123456, Long.fromString('9007199254740991'), Decimal128.fromString('7'), 0];
  await add(
    'verificationToken',
    codes.map((token) => ({ userId: user._id, token })),
  );
  for (const clear of ['123456', '9007199254740991', '7', '0']) {
    expect(await repo.findVerificationToken(presented(clear)), clear).not.toBeNull();
  }
  for (const clear of ['0123456', '123456.0', '1.23456e5', ' 7', '-0', '9007199254740992', '']) {
    expect(await repo.findVerificationToken(presented(clear)), clear).toBeNull();
  }
});

describe('purge, where times are', () => {
  const year = 365 * 86_400_000;
  const [past, future] = [ago(year), ago(-year)];
  it.each<readonly [string, readonly unknown[], readonly unknown[]]>([
    [
      'milliseconds',
      [past.getTime(), Long.fromNumber(past.getTime())],
      [future.getTime(), Math.floor(future.getTime() / 1_000), future],
    ],
    ['seconds', [past.getTime() / 1_000], [future.getTime() / 1_000, future.getTime()]],
    [
      'iso',
      [past.toISOString(), past.toISOString().slice(0, 10)],
      [
        future.toISOString(),
        String(Math.floor(future.getTime() / 1_000)),
        '15 Jan 2031 10:30:00 GMT',
        future.toUTCString(),
      ],
    ],
  ])('%s, takes nothing that has not ended, in whatever form it says so', async (as, ended, good) => {
    const { db, repo, add } = await opened({ resetToken: { expiresAt: { from: 'expiresAt', as } } });
    const docs = [...ended, ...good].map((expiresAt, i) => ({
      userId: new ObjectId(),
      token: `t${i}`,
      expiresAt,
    }));
    await add('resetToken', docs);
    const { resetTokens } = await repo.purge({ expiredBefore: ago(30 * 86_400_000), limit: 100 });
    expect(resetTokens).toBe(ended.length);
    const left = await db.collection('password_reset_tokens').find().toArray();
    expect(left.map(({ token }) => token).sort()).toEqual(good.map((_, i) => `t${ended.length + i}`).sort());
  });
});
