/** What copies keep of users goes when they are erased, and no copy brings it back. */
import { ObjectId } from 'bson';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  listQuarantine,
  retryQuarantine,
  rollbackBackfill,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { eraseUser } from '../../cutover/operator/index.ts';
import { newId } from '../../db/ids.ts';
import type { UserRecord } from '../../db/records.ts';
import { toDocument } from '../canonical/default.ts';
import { logIn, signUp } from '../contract/fixtures.ts';
import { sessionAt, userAt } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { clear, openBench, serving } from './support.ts';

const LATER = new Date(Date.now() + 3_600_000);
const AGENT = { userAgent: 'Agent 007', expiresAt: LATER, idleExpiresAt: LATER };
const SECRETS = ['gone@example.org', 'Gone Away', 'Agent 007'];

describe('of erased users', async () => {
  const bench = await openBench();
  const { stores, postgres } = bench;
  const unmarked = (store: 'mongo' | 'postgres', epoch: number) =>
    stores[store].at({ epoch, pending: false });
  beforeEach(() => clear(bench));

  /** How much in the tables of the copy, and of what was moved aside, has something of the user in it. */
  async function kept(): Promise<number> {
    const [row] = await postgres.query<{ count: number }>(
      `select count(*)::int as count from (
         select before as text from copy_undo union all select document from copy_quarantine
         union all select body::text from cutover_aside) as kept
       where text ilike any($1::text[])`,
      [SECRETS.map((secret) => `%${secret}%`)],
    );
    return row?.count ?? 0;
  }
  const isErased = async (id: string): Promise<boolean | null> => {
    const [row] = await postgres.query<{ erased: boolean }>(
      'select deleted_at is not null as erased from users where id = $1',
      [id],
    );
    return row?.erased ?? null;
  };
  const backfill = (from: 'mongo' | 'postgres' = 'mongo') =>
    runBackfill(bench, { from, onBad: 'quarantine' });

  /** A user of whom a second run has written over what a first one copied. */
  async function copiedTwice(): Promise<{ readonly user: UserRecord; readonly run: string }> {
    const repository = unmarked('mongo', 1);
    const { user } = await signUp(repository, { email: 'gone@example.org', name: 'Gone Away' });
    const session = await logIn(repository, user.id, AGENT);
    await backfill();
    const now = new Date();
    await repository.revokeSession({ sessionId: session.id, userId: user.id, reason: 'ended', now });
    await repository.endSessions({ userId: user.id, now });
    const { run, counts } = await backfill();
    expect(counts).toMatchObject({ updated: 2 });
    const record = (await stores.mongo.replica.read('user', [user.id])).found.get(user.id)?.record;
    if (record === undefined) throw new Error('no user');
    return { user: record, run };
  }

  it('nothing is kept once the mirror has the tombstone, and no rollback brings them back', async () => {
    await bench.setMode('dual-write');
    const { user, run } = await copiedTwice();
    const twin = legacyUser({ email: 'other@example.org' });
    const rival = legacyUser({ email: 'Other@example.org', name: 'Gone Away' });
    await bench.insert('user', [twin, rival]);
    await logIn(unmarked('mongo', 1), String(rival._id), AGENT);
    await backfill();
    expect(await listQuarantine(bench)).toHaveLength(3);
    expect(await kept()).toBe(4);
    const engine = await serving(bench);
    for (const userId of [user.id, String(rival._id)]) {
      const erasure = { userId, sessionGeneration: null, now: new Date() };
      expect(await engine.repository.eraseUser(erasure)).toBe('done');
    }
    await eventually(async () => (await stores.mongo.replica.countMarks()).count === 0);
    expect(await kept()).toBe(0);
    expect((await listQuarantine(bench)).map(({ id }) => id)).toEqual([String(twin._id)]);
    // What the gates count by.
    await verify(bench);
    expect(await stores.mongo.books.countNotes()).toMatchObject({ quarantine: 1 });
    // As if the run had kept it only now.
    await postgres.query(
      `update copy_undo set before = to_jsonb(users)::text from users where record_id = id`,
    );
    await postgres.query(`update copy_undo set before = $1 where before = ''`, ['Gone Away']);
    expect(await rollbackBackfill(bench, run)).toMatchObject({ restored: 0, removed: 0, spared: 2 });
    expect(await isErased(user.id)).toBe(true);
    expect(await kept()).toBe(0);
  });

  it('nothing is kept after a copy, where PostgreSQL was not told', async () => {
    await bench.setMode('dual-write');
    const { user } = await copiedTwice();
    await bench.setMode('mongo-only');
    await unmarked('mongo', 1).eraseUser({ userId: user.id, sessionGeneration: null, now: new Date() });
    expect(await kept()).toBe(2);
    await bench.setMode('dual-write');
    const { run, counts } = await backfill();
    expect(counts).toMatchObject({ updated: 2 });
    expect(await kept()).toBe(0);
    expect(await rollbackBackfill(bench, run)).toMatchObject({ restored: 0, spared: 2 });
    expect(await isErased(user.id)).toBe(true);
  });

  it('what was put aside goes at the next look, where PostgreSQL was not told', async () => {
    await bench.setMode('dual-write');
    const rivals = ['gone@example.org', 'Gone@example.org'].map((email) => legacyUser({ email }));
    await bench.insert('user', rivals);
    await backfill();
    await bench.setMode('mongo-only');
    for (const { _id } of rivals) {
      const erasure = { userId: String(_id), sessionGeneration: null, now: new Date() };
      await unmarked('mongo', 1).eraseUser(erasure);
    }
    expect(await kept()).toBe(2);
    await retryQuarantine(bench);
    expect(await kept()).toBe(0);
    expect(await listQuarantine(bench)).toEqual([]);
  });

  it.each<[string, (id: ObjectId) => unknown]>([
    ['by its digits in capitals', (id) => id.toHexString().toUpperCase()],
    ['as a shell prints it', (id) => ` ObjectId("${id.toHexString()}") `],
    ['as a whole document', (_id) => ({ _id, name: 'Gone Away' })],
  ])(
    'a session that names its user %s goes too: out of quarantine, and what was moved aside',
    async (_what, refer) => {
      await bench.setMode('dual-write');
      const user = legacyUser({ email: 'gone@example.org' });
      const refers = (given: object = {}) => {
        const written = toDocument('session', sessionAt([0, 0], newId(LATER), AGENT));
        const { epoch: _e, version: _v, ...session } = written;
        return { ...session, userId: refer(user._id), ...given };
      };
      const bad = refers({ tokenHash: 'no digest' });
      const good = { ...refers(), _id: new ObjectId() };
      await bench.insert('user', [user]);
      await bench.insert('session', [bad, good]);
      await backfill();
      const move = { expected: { epoch: 0, version: 0 }, reason: 'orphan', now: new Date() };
      expect(await stores.mongo.replica.moveAside('session', String(good._id), move)).toBe(true);
      const inMongo = async () => (await stores.mongo.replica.asides({ limit: 10 })).map(({ id }) => id);
      expect(await inMongo()).toContain(String(good._id));
      expect(await kept()).toBe(1);
      expect(await byOperator(String(user._id))).toMatchObject({ kind: 'done' });
      expect(await kept()).toBe(0);
      expect(await inMongo()).not.toContain(String(good._id));
    },
  );

  it('what an earlier version moved aside, which did not say whose it is, goes too', async () => {
    await bench.setMode('dual-write');
    const user = legacyUser({ email: 'gone@example.org' });
    const other = legacyUser({ email: 'other@example.org' });
    const sessions = [user, other].map(({ _id }) => {
      const written = toDocument('session', sessionAt([0, 0], String(_id), AGENT));
      const { epoch: _e, version: _v, ...session } = written;
      return { ...session, _id: new ObjectId(), userId: _id.toHexString().toUpperCase() };
    });
    await bench.insert('user', [user, other]);
    await bench.insert('session', sessions);
    await backfill();
    const move = { expected: { epoch: 0, version: 0 }, reason: 'orphan', now: new Date() };
    const ids = sessions.map(({ _id }) => String(_id));
    for (const id of ids) expect(await stores.mongo.replica.moveAside('session', id, move)).toBe(true);
    const aside = bench.mongo.db.collection('cutover_aside');
    await aside.updateMany({ recordId: { $in: ids } }, { $unset: { owner: '' } });
    const engine = await serving(bench);
    const erasure = { userId: String(user._id), sessionGeneration: null, now: new Date() };
    expect(await engine.repository.eraseUser(erasure)).toBe('done');
    const left = await aside.find({ recordId: { $in: ids } }).toArray();
    expect(left).toMatchObject([{ recordId: ids[1], owner: String(other._id) }]);
  });

  it('one who lives in MongoDB again stays aside, whatever an earlier copy brought to PostgreSQL', async () => {
    const [revived, twin] = [
      legacyUser({ email: 'gone@example.org' }),
      legacyUser({ email: 'Gone@example.org' }),
    ];
    const id = String(revived._id);
    const users = bench.mongo.collection('user');
    await bench.setMode('dual-write');
    await bench.insert('user', [{ ...revived, deletedAt: new Date() }]);
    await backfill();
    expect(await isErased(id)).toBe(true);
    await bench.setMode('mongo-only');
    await users.updateOne({ _id: revived._id as never }, { $unset: { deletedAt: '' } });
    await bench.insert('user', [twin]);
    await bench.insert('session', [toDocument('session', sessionAt([0, 0], id, AGENT))]);
    await bench.setMode('dual-write');
    await backfill();
    await verify(bench);
    await retryQuarantine(bench);
    const held = (await listQuarantine(bench)).map((each) => each.id);
    expect(held).toEqual(expect.arrayContaining([id, String(twin._id)]));
    expect(await stores.mongo.books.countNotes()).toMatchObject({ quarantine: held.length });
    // Gone from both, it is in nobody's way.
    await users.deleteOne({ _id: revived._id as never });
    await verify(bench);
    expect((await listQuarantine(bench)).map((each) => each.id)).toEqual([String(twin._id)]);
  });

  const byOperator = (userId: string) =>
    eraseUser(
      { stores, environment: bench.environment, telemetry: bench.telemetry, report: () => {} },
      { userId },
    );
  /** A user whose document means no record: nobody can say which of several addresses it is. */
  const unreadable = (given: object = {}) =>
    legacyUser({ email: ['gone@example.org'], name: 'Gone Away', 'e.mail': 'gone@example.org', ...given });
  async function expectErased(id: string): Promise<void> {
    await eventually(async () => (await stores.mongo.replica.countMarks()).count === 0);
    expect(await isErased(id)).toBe(true);
    expect(await kept()).toBe(0);
    const held = JSON.stringify([await bench.documents('user'), await bench.documents('session')]);
    for (const secret of SECRETS) expect(held).not.toContain(secret);
    expect(await verify(bench)).toMatchObject({ clean: true, differing: 0, lagging: 0, excused: 0 });
    await eventually(async () => Object.keys(await notesLeft()).length === 0);
    expect(await byOperator(id)).toMatchObject({ kind: 'gone', leftoversRemoved: 0 });
  }
  async function notesLeft() {
    const { evidence: _, ...open } = await stores.mongo.books.countNotes();
    return open;
  }

  it('an operator erases one whose document the mirror cannot read', async () => {
    await bench.setMode('dual-write');
    await serving(bench);
    const doc = unreadable({ epoch: 1, version: 3, sessionGeneration: 2, pendingAt: new Date() });
    const id = String(doc._id);
    await bench.insert('user', [doc]);
    await bench.insert('session', [toDocument('session', sessionAt([1, 1], id, AGENT))]);
    await eventually(async () => (await stores.mongo.books.countNotes())['poison'] === 1);
    expect(await byOperator(id)).toMatchObject({ kind: 'done', reasons: [] });
    const { found } = await stores.mongo.replica.read('user', [id]);
    expect(found.get(id)?.record).toMatchObject({ sessionGeneration: 3, stamp: { epoch: 1, version: 4 } });
    await expectErased(id);
  });

  it('and one whom a copy put aside because nothing could read it, or that had nothing but its id', async () => {
    await bench.setMode('dual-write');
    const [doc, stub] = [unreadable(), { _id: legacyUser()._id }];
    await bench.insert('user', [doc, stub]);
    await backfill();
    expect(await listQuarantine(bench)).toHaveLength(2);
    expect(await kept()).toBe(1);
    await serving(bench);
    expect(await byOperator(String(stub._id))).toMatchObject({ kind: 'done' });
    expect(await byOperator(String(doc._id))).toMatchObject({ kind: 'done' });
    expect(await listQuarantine(bench)).toEqual([]);
    await expectErased(String(doc._id));
    expect(await isErased(String(stub._id))).toBe(true);
  });

  it('a document that never came to PostgreSQL is named, to be deleted, once that has authority', async () => {
    const doc = unreadable();
    const id = String(doc._id);
    await bench.insert('user', [doc]);
    await bench.setMode('postgres-primary');
    const named = expect.stringMatching(/^MongoDB holds a document of this id .*: delete it there$/);
    expect(await byOperator(id)).toMatchObject({ kind: 'gone', reasons: [expect.anything(), named] });
    await bench.mongo.collection('user').deleteOne({ _id: doc._id });
    expect((await byOperator(id)).reasons).toEqual(['there is no such living user']);
  });

  it('nothing is kept of the way back either', async () => {
    const old = legacyUser({ email: 'gone@example.org', name: 'Gone Away' });
    await bench.insert('user', [old]);
    const id = String(old._id);
    await bench.setMode('postgres-primary');
    const under = { epoch: 9, expiredBefore: new Date(0) };
    const newer = { ...userAt([2, 1], { id, email: 'gone@example.org' }) };
    await stores.postgres.replica.apply('user', [newer], under);
    const { run } = await backfill('postgres');
    expect(await kept()).toBe(1);
    const erasure = { userId: id, sessionGeneration: null, now: new Date() };
    expect(await unmarked('postgres', 2).eraseUser(erasure)).toBe('done');
    expect(await kept()).toBe(0);
    expect(await rollbackBackfill(bench, run)).toMatchObject({ restored: 0, spared: 1 });
  });
});
