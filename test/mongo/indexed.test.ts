/**
 * A collection may hold millions: what is asked while clients wait, or again and again, names a stretch of an index, in a
 * form that every server's planner follows. Read on the wire, for that is what a server gets to see.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_CODEC } from '../../db/canonical/codec.ts';
import { indexesFor } from '../../db/mongo/indexes.ts';
import { type MongoStore, openMongoStore } from '../../db/mongo/store.ts';
import type { Repository } from '../../db/port.ts';
import { ENTITIES, type UserRecord } from '../../db/records.ts';
import {
  type Account,
  fakeHash,
  freshHash,
  freshToken,
  later,
  NOW,
  newResetToken,
  newSession,
  newVerificationToken,
  signUp,
} from '../contract/fixtures.ts';
import { type MongoCommands, recordMongoCommands } from '../support/mongo-commands.ts';
import { newMongoDatabase, TIMEOUT_MS } from '../support/stores.ts';

type Filter = Readonly<Record<string, unknown>>;

const PENDING = { epoch: 1, pending: true };
const INDEXES = indexesFor(DEFAULT_CODEC);
const BOUNDS = ['$eq', '$in', '$gt', '$gte', '$lt', '$lte', '$type'];

let wire: MongoCommands;
let store: MongoStore;
let repo: Repository;
beforeAll(async () => {
  wire = await recordMongoCommands(await newMongoDatabase());
  store = await openMongoStore({ url: wire.url, timeoutMs: TIMEOUT_MS, poolMax: 5 });
  await store.migrate(() => {});
  await store.whenEmailsKeyed();
  repo = store.at(PENDING);
});
afterAll(async () => {
  await store.close();
  await wire.close();
});

/** Whether some index of the collection begins with a field that the filter bounds, and nothing at the top keeps it from being used. */
function isStretch(collection: string, filter: Filter): boolean {
  if (Object.keys(filter).some((key) => key.startsWith('$'))) return false;
  if (isEquality(filter['_id'])) return true;
  const leading = (INDEXES[collection] ?? []).map(({ key }) => Object.keys(key)[0] ?? '');
  return leading.some((field) => field in filter && isBounded(filter[field]));
}

const operatorsOf = (condition: unknown): readonly string[] =>
  typeof condition === 'object' && condition !== null
    ? Object.keys(condition).filter((key) => key.startsWith('$'))
    : [];

/** Ids of more than one kind have no range that every server looks up. */
const isEquality = (condition: unknown): boolean =>
  condition !== undefined && operatorsOf(condition).every((operator) => ['$eq', '$in'].includes(operator));

const isBounded = (condition: unknown): boolean => {
  const operators = operatorsOf(condition);
  return operators.length === 0 || operators.some((operator) => BOUNDS.includes(operator));
};

async function reset(repository: Repository, { user }: Account): Promise<void> {
  const token = { ...newResetToken(user.id), mailDueAt: NOW };
  await repository.requestReset({ token, decoy: false, now: NOW });
  await repository.findResetToken({ clear: 'x', hash: token.tokenHash });
  await repository.consumeReset({ userId: user.id, generation: 1, newHash: fakeHash('n'), now: NOW });
}

const WORK: Readonly<Record<string, (account: Account) => Promise<unknown>>> = {
  createAccount: () => signUp(repo),
  findUser: ({ user }) => repo.findUser(user.id),
  findUserByEmail: ({ user }) => repo.findUserByEmail(user.email ?? ''),
  'findUserByEmail of nobody': () => repo.findUserByEmail('nobody@example.org'),
  upgradeHash: ({ user }) =>
    repo.upgradeHash({ userId: user.id, oldHash: user.passwordHash ?? '', newHash: fakeHash('u'), now: NOW }),
  changePassword: ({ user, session }) => {
    const change = { userId: user.id, sessionGeneration: 0, newHash: fakeHash('c'), now: NOW };
    return repo.changePassword({ ...change, keepSessionId: session.id });
  },
  eraseUser: ({ user }) => repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW }),
  endSessions: ({ user }) => repo.endSessions({ userId: user.id, now: NOW }),
  findVerificationToken: () => repo.findVerificationToken(freshToken()),
  verifyEmail: ({ user, token }) => repo.verifyEmail({ userId: user.id, tokenId: token.id, now: NOW }),
  'requestReset, findResetToken, consumeReset': (account) => reset(repo, account),
  openSession: ({ user, session }) =>
    repo.openSession({ session: newSession(user.id), replacesId: session.id, sessionsMax: 1, now: NOW }),
  findSession: ({ session }) => repo.findSession(session.id),
  listSessions: ({ user }) => repo.listSessions({ userId: user.id, now: NOW }),
  rotateSession: ({ session }) =>
    repo.rotateSession({
      sessionId: session.id,
      fromHash: session.tokenHash,
      toHash: freshHash(),
      now: NOW,
      idleExpiresAt: later(1_000),
    }),
  revokeSession: ({ session }) =>
    repo.revokeSession({ sessionId: session.id, userId: null, reason: 'logout', now: NOW }),
  'listDueMail, moveMailDue': async ({ user }) => {
    const token = newVerificationToken(user.id, { mailDueAt: NOW });
    await repo.addVerificationToken(token);
    await repo.listDueMail({ now: NOW, limit: 10 });
    await repo.moveMailDue({ purpose: 'verificationToken', tokenId: token.id, from: NOW, to: null });
  },
  purge: () => repo.purge({ expiredBefore: NOW, limit: 10 }),
  'marks, countMarks': async () => {
    const marks = await store.replica.marks({ limit: 2, olderThan: new Date(Date.now() + 1e9) });
    const [after] = marks;
    if (after === undefined) throw new Error('nothing is marked');
    await store.replica.marks({ limit: 2, after });
    await store.replica.countMarks();
  },
  'read, apply, touch': async ({ user }) => {
    const { found } = await store.replica.read('user', [user.id]);
    const record = found.get(user.id)?.record as UserRecord;
    const newer = { ...record, name: 'Jo', stamp: { epoch: 1, version: record.stamp.version + 1 } };
    await store.replica.apply('user', [newer], { epoch: 1, expiredBefore: later(-1e9) });
    await store.replica.touch('user', user.id, { expected: newer.stamp, to: { epoch: 1, version: 9 } });
  },
  clearMarks: async () => store.replica.clearMarks(await store.replica.marks({ limit: 50 })),
  'limits.hit': () => store.limits.hit([{ key: 'k', capacity: 1, windowMs: 1_000, backoff: null }], NOW),
  'limits.peek': () => store.limits.peek([{ key: 'k', capacity: 1, windowMs: 1_000, backoff: null }], NOW),
};

describe('on the wire, every filter is a stretch of an index', () => {
  it.each(Object.entries(WORK))('%s', async (_name, work) => {
    const account = await signUp(repo);
    const commands = await wire.during(() => work(account));
    const large = commands.filter(({ collection }) => collection in INDEXES);
    expect(large.length).toBeGreaterThan(0);
    const passes = large.flatMap(({ name, collection, filters }) =>
      filters
        .filter((filter) => !isStretch(collection, filter))
        .map((filter) => `${name} ${collection} ${Object.keys(filter)}`),
    );
    expect(passes).toEqual([]);
  });

  it('the rule itself knows a pass when it sees one', () => {
    const { user, session } = DEFAULT_CODEC.collections;
    expect(isStretch(user, {})).toBe(false);
    expect(isStretch(user, { _id: { $gt: 1 } })).toBe(false);
    expect(isStretch(user, { name: 'Jo' })).toBe(false);
    expect(isStretch(user, { $or: [{ _id: 1 }, { _id: 2 }] })).toBe(false);
    expect(isStretch(session, { userId: 1, $or: [{ revokedAt: null }] })).toBe(false);
    expect(isStretch(session, { userId: { $ne: 1 } })).toBe(false);
    expect(isStretch(session, { userId: 1, revokedAt: null })).toBe(true);
    expect(isStretch(user, { _id: { $in: [1] } })).toBe(true);
    expect(ENTITIES.every((entity) => DEFAULT_CODEC.collections[entity] in INDEXES)).toBe(true);
  });
});
