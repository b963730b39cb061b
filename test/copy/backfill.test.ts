/** The copy from MongoDB to PostgreSQL. */
import { Binary, ObjectId } from 'bson';
import { beforeEach, describe, expect, it } from 'vitest';
import { rollbackBackfill, runBackfill, showBackfill, verify } from '../../cutover/copy/index.ts';
import { NOTES } from '../../cutover/notes.ts';
import { resetAt, sessionAt, userAt } from '../contract/replica/records.ts';
import { HASH, legacyUser } from '../mongo/legacy.ts';
import { clear, openBench } from './support.ts';

const LATER = new Date(Date.now() + 3_600_000);

const legacyToken = (userId: unknown, given: object = {}) => ({
  _id: new ObjectId(),
  userId,
  token: `clear-${new ObjectId()}`,
  createdAt: new Date(),
  expiresAt: LATER,
  ...given,
});

describe('backfill from MongoDB', async () => {
  const bench = await openBench();
  const { stores } = bench;
  beforeEach(async () => {
    await clear(bench);
    await bench.setMode('dual-write');
  });
  const backfill = (given: Partial<Parameters<typeof runBackfill>[1]> = {}) =>
    runBackfill(bench, { from: 'mongo', onBad: 'rollback', ...given });

  it('moves every record, and says that the copy is complete', async () => {
    const users = [
      ...Array.from({ length: 2_500 }, () => legacyUser()),
      ...[7, 'textual', '', '~odd', new Binary(Buffer.from('id')), true].map((_id) => legacyUser({ _id })),
    ];
    await bench.insert('user', users);
    const owner = users[0]?._id;
    await bench.insert('verificationToken', [legacyToken(owner), legacyToken('nobody')]);
    await bench.insert('resetToken', [legacyToken(owner, { expiresAt: new Date('2020-01-01') })]);
    const session = sessionAt([1, 1], String(owner), { expiresAt: LATER });
    await stores.mongo.replica.apply('session', [session], { epoch: 1, expiredBefore: new Date(0) });
    const progress: number[] = [];
    const result = await backfill({ jobs: 3, report: ({ documents }) => progress.push(documents) });
    expect(result).toMatchObject({
      outcome: 'complete',
      counts: { read: users.length + 4, inserted: users.length + 3, updated: 0, expired: 1, bad: 0 },
    });
    expect(progress.length).toBeGreaterThan(1);
    for (const user of users) {
      const id = String(user._id instanceof ObjectId ? user._id : '');
      if (id === '') continue;
      const { found } = await stores.mongo.replica.read('user', [id]);
      const copied = (await stores.postgres.replica.read('user', [id])).found;
      expect(copied.get(id)).toEqual(found.get(id));
      if (id > String(users[40]?._id)) break;
    }
    expect((await bench.rows())['users']).toHaveLength(users.length);
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', run: result.run });
    const [evidence] = await stores.mongo.books.notes(NOTES.evidence, { limit: 10 });
    expect(evidence).toMatchObject({
      key: 'backfill',
      body: { clean: true, run: result.run, copy: result.run },
    });
    const log = await stores.mongo.books.readLog({ limit: 10, newestFirst: true });
    expect(log.map(({ id }) => id)).toContain(`${result.run}/ended`);
  });

  it('lays nothing over a newer state, and takes no mark', async () => {
    const doc = legacyUser({ version: 2, epoch: 1, pendingAt: new Date() });
    await bench.insert('user', [doc]);
    const [held] = [...(await stores.mongo.replica.read('user', [String(doc._id)])).found.values()];
    if (held === undefined) throw new Error('no user');
    const newer = { ...held.record, name: 'newer', stamp: { epoch: 1, version: 3 } };
    await stores.postgres.replica.apply('user', [newer], { epoch: 1, expiredBefore: new Date(0) });
    const before = await bench.rows();
    expect((await backfill()).counts).toMatchObject({ inserted: 0, updated: 0 });
    expect(await bench.rows()).toEqual(before);
    expect(await stores.mongo.replica.countMarks()).toMatchObject({ count: 1 });
  });

  it('rolls the whole run back over one bad document, and names each', async () => {
    const kept = userAt([1, 1], { name: 'kept' });
    await stores.postgres.replica.apply('user', [kept], { epoch: 1, expiredBefore: new Date(0) });
    const before = await bench.rows();
    const [noEmail, array] = [legacyUser({ email: null }), legacyUser({ email: ['secret@example.org'] })];
    const huge = legacyUser({ _id: 'x'.repeat(5_000) });
    await bench.insert('user', [...Array.from({ length: 50 }, () => legacyUser()), noEmail, array, huge]);
    await bench.insert('resetToken', [legacyToken(noEmail._id, { token: null })]);
    const result = await backfill();
    expect(result).toMatchObject({ outcome: 'rolled-back', counts: { bad: 4, inserted: 0 } });
    expect(result.bad.map(({ entity, field, reason }) => `${entity} ${field} ${reason}`).sort()).toEqual([
      'resetToken token missing',
      'user email missing',
      'user email not-a-scalar',
      'user id too-long',
    ]);
    expect(result.bad.map(({ id }) => id)).toContain(String(array._id));
    expect(JSON.stringify(result)).not.toMatch(/secret@|\$2a/);
    expect(await bench.rows()).toEqual(before);
    expect(await bench.copyState()).toMatchObject({ kind: 'stale' });
    expect(await bench.postgres.query(`select to_regclass('staging.users') as left`)).toEqual([
      { left: null },
    ]);
  });

  it('names every bad document of many, and every one of many that share an e-mail', async () => {
    const arrays = Array.from({ length: 1_100 }, () => legacyUser({ email: [] }));
    const shared = Array.from({ length: 250 }, () => legacyUser({ email: 'test@test.com' }));
    await bench.insert('user', [...arrays, ...shared]);
    const { bad, run } = await backfill();
    expect(new Set(bad.map(({ id }) => id))).toEqual(
      new Set([...arrays, ...shared].map(({ _id }) => String(_id))),
    );
    const details = bad.filter(({ reason }) => reason === 'duplicate-email').map(({ detail }) => detail);
    expect(details).toHaveLength(250);
    // Not each of them with each other, which would be as many as their square.
    const ids = shared.map(({ _id }) => String(_id)).sort();
    expect(details[0]).toEqual({ ids: ids.slice(0, 100), more: 150 });
    expect((await showBackfill(bench, run)).bad).toHaveLength(1_350);
  });

  it('puts bad documents aside when told to, whole, and moves the rest', async () => {
    const bad = legacyUser({ email: { $gt: '' }, plan: 'gold', n: 5 });
    const good = legacyUser();
    await bench.insert('user', [bad, good]);
    const session = sessionAt([1, 1], String(bad._id), { expiresAt: LATER });
    await stores.mongo.replica.apply('session', [session], { epoch: 1, expiredBefore: new Date(0) });
    const result = await backfill({ onBad: 'quarantine' });
    expect(result).toMatchObject({ outcome: 'complete', counts: { bad: 1, quarantined: 2, inserted: 1 } });
    const rows = await bench.postgres.query<{ document: string }>(
      `select document from copy_quarantine where entity = 'user'`,
    );
    expect(JSON.parse(rows[0]?.document ?? '')).toMatchObject({
      _id: { $oid: String(bad._id) },
      email: { $gt: '' },
      plan: 'gold',
      n: { $numberInt: '5' },
      password: HASH,
    });
    expect(await stores.mongo.books.countNotes()).toMatchObject({ quarantine: 2 });
    const again = await backfill({ onBad: 'quarantine' });
    expect(again.counts).toMatchObject({ quarantined: 2, inserted: 0 });
  });

  it('names all users of one e-mail, or lets a policy choose', async () => {
    const [a, b, c] = ['Same@Example.org', 'same@example.org ', 'SAME@EXAMPLE.ORG'].map((email, i) =>
      legacyUser({ email, isVerified: i === 1, createdAt: new Date(Date.UTC(2020, i)) }),
    );
    await bench.insert('user', [a, b, c, legacyUser()] as object[]);
    const ids = [a, b, c].map((user) => String(user?._id)).sort();
    const refused = await backfill();
    expect(refused.outcome).toBe('rolled-back');
    expect(refused.bad.map(({ id, detail }) => [id, detail])).toEqual(ids.map((id) => [id, { ids }]));
    const chosen = await backfill({ duplicates: 'verified' });
    expect(chosen).toMatchObject({ outcome: 'complete', counts: { inserted: 2, bad: 0 } });
    const { found } = await stores.postgres.replica.read('user', ids);
    expect([...found.keys()]).toEqual([String(b?._id)]);
    const aside = await bench.postgres.query(`select state, resolution from copy_quarantine`);
    expect(aside).toEqual([
      { state: 'accepted', resolution: 'policy verified' },
      { state: 'accepted', resolution: 'policy verified' },
    ]);
  });

  it('counts what it cleaned and which fields nobody knows', async () => {
    await bench.insert('user', [
      legacyUser({ email: ' Spaced@Example.org', plan: 'gold' }),
      legacyUser({ plan: 'tin', password: 'clear text' }),
    ]);
    const result = await backfill();
    expect(result.cleaned).toMatchObject({
      'user.email: white-space': 1,
      'user.password: not-a-bcrypt-hash': 1,
    });
    expect(result.unknownFields).toEqual({ 'user.plan': 2 });
    const rows = await bench.postgres.query(
      'select count(*)::int as n from users where password_hash is null',
    );
    expect(rows).toEqual([{ n: 1 }]);
  });

  it('leaves to the mirror what clashes with what is there', async () => {
    const doc = legacyUser();
    await bench.insert('user', [doc]);
    const holder = userAt([1, 5], { email: doc['email'] });
    const _id = new ObjectId(holder.id);
    await bench.insert('user', [legacyUser({ _id, epoch: 1, version: 6, pendingAt: new Date() })]);
    await stores.postgres.replica.apply('user', [holder], { epoch: 1, expiredBefore: new Date(0) });
    const orphaned = sessionAt([1, 1], new ObjectId().toHexString(), { expiresAt: LATER });
    await stores.mongo.replica.apply('session', [orphaned], { epoch: 1, expiredBefore: new Date(0) });
    const result = await backfill();
    expect(result).toMatchObject({ outcome: 'complete', counts: { deferred: 2, dangling: 1, inserted: 0 } });
    const marks = await stores.mongo.replica.marks({ limit: 10 });
    expect(marks.map(({ entity, id }) => [entity, id])).toEqual([
      ['user', holder.id],
      ['user', String(doc._id)],
    ]);
  });

  it('does nothing live on a dry run', async () => {
    await bench.insert('user', [legacyUser(), legacyUser({ email: null })]);
    expect(await backfill({ dryRun: true })).toMatchObject({
      outcome: 'dry-run',
      counts: { read: 2, staged: 1, bad: 1, inserted: 0 },
    });
    expect((await bench.rows())['users']).toEqual([]);
    expect(await bench.copyState()).toEqual({ kind: 'none' });
  });

  it('refuses the authority as its target, a mode without a mirror, and an instance that is behind', async () => {
    await bench.setMode('mongo-only');
    await expect(backfill()).rejects.toMatchObject({ reason: 'no-mirror' });
    await bench.setMode('dual-write');
    await expect(backfill({ from: 'postgres' })).rejects.toMatchObject({ reason: 'not-authority' });
    const row = { incarnation: 1, epoch: 1, revision: 0, ack: null, leaseMs: 60_000 };
    await stores.mongo.books.writeLease({ instance: 'old', counter: 1, body: row });
    const ended = new AbortController();
    let waits = 0;
    // It is waited for, until somebody has enough of that.
    const sleep = async () => {
      waits += 1;
      if (waits === 3) ended.abort();
    };
    const scope = { ...bench, environment: { ...bench.environment, sleep } };
    const waiting = runBackfill(scope, { from: 'mongo', onBad: 'rollback', signal: ended.signal });
    await expect(waiting).rejects.toMatchObject({ reason: 'instances-behind' });
    expect(waits).toBe(3);
    await stores.mongo.books.removeLease('old');
    expect((await bench.rows())['users']).toEqual([]);
  });

  it('is not complete when the mirror was off meanwhile', async () => {
    await bench.insert('user', [legacyUser()]);
    const gap = async () => {
      const control = await stores.mongo.books.readControl();
      const copy = { kind: 'stale', sinceMs: 1 } as const;
      if (control === null) throw new Error('no record');
      await stores.mongo.books.replaceControl(control, {
        ...control,
        revision: control.revision + 1,
        body: { ...(control.body as object), copy },
      });
    };
    await expect(backfill({ beforeMerge: gap })).rejects.toMatchObject({ reason: 'mirror-gap' });
    expect(await bench.copyState()).toEqual({ kind: 'stale', sinceMs: 1 });
  });

  it('goes to its end over a copy that was verified while it ran', async () => {
    await bench.insert('user', [legacyUser()]);
    await backfill();
    const beforeMerge = async () => {
      expect(await verify(bench)).toMatchObject({ clean: true });
      expect(await bench.copyState()).toMatchObject({ verifiedAtMs: expect.any(Number) });
    };
    const { run } = await backfill({ beforeMerge });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', run, verifiedAtMs: null });
  });

  it('can be undone exactly, but for what was written since', async () => {
    const older = legacyUser({ epoch: 1, version: 2 });
    const id = String(older._id);
    await stores.postgres.replica.apply('user', [userAt([1, 1], { id, name: 'before' })], {
      epoch: 1,
      expiredBefore: new Date(0),
    });
    const before = await bench.rows();
    const [plain, written, referred] = [legacyUser(), legacyUser(), legacyUser()];
    await bench.insert('user', [older, plain, written, referred]);
    const { run } = await backfill();
    expect((await bench.rows())['users']).toHaveLength(4);
    const at = stores.postgres.at({ epoch: 1, pending: false });
    await at.endSessions({ userId: String(written._id), now: new Date() });
    const session = sessionAt([1, 1], String(referred._id), { expiresAt: LATER });
    await stores.postgres.replica.apply('session', [session], { epoch: 1, expiredBefore: new Date(0) });
    expect(await rollbackBackfill(bench, run)).toMatchObject({ run, removed: 1, restored: 1, spared: 2 });
    const { users = [] } = await bench.rows();
    expect(users).toHaveLength(3);
    expect(users).toContain(before['users']?.[0]);
    expect(users.join()).not.toContain(String(plain._id));
    expect(await bench.copyState()).toMatchObject({ kind: 'stale' });
    await expect(rollbackBackfill(bench, run)).rejects.toMatchObject({ reason: 'unknown-state' });
  });

  it('can be undone exactly where tokens had been copied before their users', async () => {
    const [mended, used] = [legacyUser({ email: {} }), legacyUser({ email: {} })];
    await bench.insert('user', [mended, used]);
    // Older than any clock is wrong by.
    const old = { createdAt: new Date(Date.now() - 2 * 3_600_000) };
    await bench.insert('verificationToken', [legacyToken(mended._id, old), legacyToken(used._id, old)]);
    await bench.insert('resetToken', [legacyToken(mended._id, old)]);
    expect(await backfill({ onBad: 'quarantine' })).toMatchObject({ counts: { inserted: 3, bad: 2 } });
    const before = await bench.rows();
    for (const { _id } of [mended, used]) {
      const { email } = legacyUser();
      await bench.mongo.collection('user').updateOne({ _id } as never, { $set: { email } });
    }
    const { run, counts } = await backfill({ onBad: 'quarantine' });
    expect(counts).toMatchObject({ inserted: 2, bad: 0 });
    const since = { ...resetAt([1, 1], String(used._id)), createdAt: new Date(), expiresAt: LATER };
    await stores.postgres.replica.apply('resetToken', [since], { epoch: 1, expiredBefore: new Date(0) });
    expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 1, restored: 0, spared: 1 });
    const { users, password_reset_tokens: resets = [], ...others } = await bench.rows();
    expect(users).toMatchObject([expect.stringContaining(String(used._id))]);
    expect(resets.filter((row) => !row.includes(since.id))).toEqual(before['password_reset_tokens']);
    expect(others['verification_tokens']).toEqual(before['verification_tokens']);
  });

  it('leaves to the mirror what is marked when it is read, and so never takes it back', async () => {
    const under = { epoch: 1, expiredBefore: new Date(0) };
    const older = legacyUser({ epoch: 1, version: 2, pendingAt: new Date() });
    const olderId = String(older._id);
    await stores.postgres.replica.apply('user', [userAt([1, 1], { id: olderId })], under);
    const [plain, owner] = [legacyUser(), legacyUser({ epoch: 1, version: 1, pendingAt: new Date() })];
    await bench.insert('user', [older, plain, owner]);
    const ownerId = String(owner._id);
    const unmarked = sessionAt([0, 0], ownerId, { expiresAt: LATER });
    await stores.mongo.replica.apply('session', [unmarked], under);
    await bench.insert('resetToken', [
      legacyToken(plain._id),
      legacyToken(ownerId, { epoch: 1, version: 1, pendingAt: new Date() }),
    ]);
    const result = await backfill();
    expect(result).toMatchObject({
      outcome: 'complete',
      counts: { read: 6, staged: 6, inserted: 2, updated: 0, deferred: 4, dangling: 0 },
    });
    const marks = await stores.mongo.replica.marks({ limit: 10 });
    expect(marks.map(({ id }) => id)).toContain(unmarked.id);
    expect(marks).toHaveLength(4);
    for (const entity of ['user', 'resetToken', 'session'] as const) {
      const ids = marks.flatMap((mark) => (mark.entity === entity ? [mark.id] : []));
      const { found } = await stores.mongo.replica.read(entity, ids);
      const records = [...found.values()].map(({ record }) => record);
      await stores.postgres.replica.apply(entity, records as never[], under);
    }
    await stores.mongo.replica.clearMarks(marks);
    expect(await verify(bench)).toMatchObject({ clean: true, differences: [] });
    const before = await bench.rows();
    expect(await rollbackBackfill(bench, result.run)).toMatchObject({ removed: 2, restored: 0, spared: 0 });
    const after = await bench.rows();
    expect(after['users']).toEqual(before['users']?.filter((row) => !row.includes(String(plain._id))));
    expect(after['sessions']).toEqual(before['sessions']);
    expect(after['password_reset_tokens']).toHaveLength(1);
  });

  /** Right before staging gets its indexes, all ranges being there. */
  const afterRanges = (work: () => Promise<unknown>): typeof bench => {
    let isDue = true;
    const query: typeof bench.postgres.query = async (sql, values) => {
      if (isDue && sql.includes('create unique index')) {
        isDue = false;
        await work();
      }
      return bench.postgres.query(sql, values);
    };
    return { ...bench, postgres: { ...bench.postgres, query } };
  };

  it('copies a document once that was inserted anew in front of the cursor, as it is by now', async () => {
    const doc = legacyUser({ name: 'earlier' });
    await bench.insert('user', [doc, legacyUser()]);
    const scope = afterRanges(async () => {
      const earlier = `select * from staging.users where name = 'earlier'`;
      await bench.postgres.query(`insert into staging.users ${earlier}`);
      await bench.postgres.query(
        `update staging.users set name = 'later' where ctid = (select max(ctid) from staging.users)`,
      );
    });
    const result = await runBackfill(scope, { from: 'mongo', onBad: 'rollback' });
    expect(result).toMatchObject({ outcome: 'complete', counts: { inserted: 2 } });
    const { found } = await stores.postgres.replica.read('user', [String(doc._id)]);
    expect(found.get(String(doc._id))?.record.name).toBe('later');
  });

  it('names a user whom the table refuses once the address that it shared is another', async () => {
    const [a, b] = [legacyUser(), legacyUser()];
    await bench.insert('user', [a, { ...b, email: a['email'] }]);
    const scope = afterRanges(async () => {
      await bench.postgres.query(
        `alter table staging.users add constraint unplanted check (name <> 'planted') not valid`,
      );
      const changed = { $set: { email: 'other@example.org', name: 'planted' } };
      await bench.mongo.collection('user').updateOne({ _id: b._id as never }, changed);
    });
    const result = await runBackfill(scope, { from: 'mongo', onBad: 'quarantine' });
    expect(result).toMatchObject({ outcome: 'complete', counts: { bad: 1, quarantined: 1, inserted: 1 } });
    expect(result.bad).toMatchObject([{ id: String(b._id), field: 'unplanted', reason: 'refused' }]);
  });

  it('counts marked users among those that share an e-mail', async () => {
    const [a, b] = [legacyUser(), legacyUser({ epoch: 1, version: 1, pendingAt: new Date() })];
    await bench.insert('user', [a, { ...b, email: a['email'] }]);
    expect(await backfill()).toMatchObject({ outcome: 'rolled-back', counts: { bad: 2, inserted: 0 } });
    const chosen = await backfill({ duplicates: 'newest' });
    expect(chosen).toMatchObject({ outcome: 'complete', counts: { inserted: 0, deferred: 1 } });
  });

  it('is byte for byte what it was when nothing was written since', async () => {
    const users = Array.from({ length: 30 }, () => legacyUser());
    const at = users
      .slice(0, 10)
      .map((doc, i) =>
        userAt([1, 1], { id: String(doc._id), name: `tab\t"quoted" ${i} 😀`, email: `u${i}@x.org` }),
      );
    await stores.postgres.replica.apply('user', at, { epoch: 1, expiredBefore: new Date(0) });
    const before = await bench.rows();
    await bench.insert(
      'user',
      users.map((doc) => ({ ...doc, epoch: 1, version: 2 })),
    );
    const { run } = await backfill();
    expect(await bench.rows()).not.toEqual(before);
    expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 20, restored: 10, spared: 0 });
    expect(await bench.rows()).toEqual(before);
  });
});
