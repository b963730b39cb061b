/** The copy from PostgreSQL back to MongoDB. */
import { serialize } from 'bson';
import { beforeEach, describe, expect, it } from 'vitest';
import { rollbackBackfill, runBackfill, verify } from '../../cutover/copy/index.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import { toExtendedJson } from '../../db/mongo/copy/client.ts';
import type { Entity, RecordOf } from '../../db/records.ts';
import { resetAt, sessionAt, tombstoneAt, userAt, verificationAt } from '../contract/replica/records.ts';
import { inside, json } from '../cutover/cli-program.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { clear, openBench } from './support.ts';

const LATER = new Date(Date.now() + 3_600_000);
const UNDER = { epoch: 9, expiredBefore: new Date(0) };

describe('backfill from PostgreSQL', async () => {
  const bench = await openBench();
  const { stores } = bench;
  beforeEach(async () => {
    await clear(bench);
    await bench.setMode('postgres-primary');
  });
  const put = <E extends Entity>(store: 'mongo' | 'postgres', entity: E, ...records: RecordOf[E][]) =>
    stores[store].replica.apply(entity, records, UNDER);

  it('brings every record into MongoDB, under what it does not own', async () => {
    const old = legacyUser({ plan: 'gold', password: 'sha1$clear' });
    await bench.insert('user', [old]);
    const id = String(old._id);
    const { found } = await stores.mongo.replica.read('user', [id]);
    const before = found.get(id)?.record;
    if (before === undefined) throw new Error('no user');
    const changed = { ...before, name: 'changed', stamp: { epoch: 2, version: 3 } };
    const users = Array.from({ length: 350 }, () => userAt([2, 1]));
    await put('postgres', 'user', changed, ...users, userAt([2, 1], { id: 'textual' }));
    await put('postgres', 'verificationToken', { ...verificationAt([2, 1], id), expiresAt: LATER });
    await put('postgres', 'resetToken', { ...resetAt([2, 1], id), expiresAt: LATER });
    await put('postgres', 'session', sessionAt([2, 1], id, { expiresAt: LATER }));
    const dry = await runBackfill(bench, { from: 'postgres', onBad: 'rollback', dryRun: true });
    expect(dry).toMatchObject({ outcome: 'dry-run', counts: { read: 355, staged: 355, inserted: 0 } });
    const result = await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(result).toMatchObject({
      outcome: 'complete',
      to: 'mongo',
      counts: { read: 355, inserted: 354, updated: 1 },
    });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', run: result.run });
    const raw = await bench.mongo.collection('user').findOne({ _id: old._id });
    expect(raw).toMatchObject({ plan: 'gold', password: 'sha1$clear', name: 'changed', version: 3 });
    expect(await verify(bench)).toMatchObject({ clean: true, authority: 'postgres' });
  });

  it('brings every record, whatever signs the ids are of and wherever the ranges are cut', async () => {
    // In UTF-16, which JavaScript compares by, the first of these two signs comes after the other.
    const ids = ['\u{ff21}', '\u{1f600}'].flatMap((sign) =>
      Array.from({ length: 60 }, (_, i) => `${sign}${String(i).padStart(3, '0')}`),
    );
    await put('postgres', 'user', ...ids.map((id) => userAt([2, 1], { id })));
    const result = await runBackfill(bench, { from: 'postgres', onBad: 'rollback', jobs: 4 });
    expect(result.counts).toMatchObject({ read: ids.length, inserted: ids.length });
    expect(await verify(bench)).toMatchObject({ clean: true });
  });

  it('can be undone exactly, but for what was written or erased since', async () => {
    const kept = legacyUser({ plan: 'gold', email: ' Kept@Example.org' });
    const erased = legacyUser({ phone: 'personal' });
    await bench.insert('user', [kept, erased]);
    const before = await bench.documents('user');
    const ids = [kept, erased].map(({ _id }) => String(_id));
    const { found } = await stores.mongo.replica.read('user', ids);
    const [a, b] = ids.map((id) => found.get(id)?.record);
    if (a === undefined || b === undefined) throw new Error('no users');
    const tombstone = tombstoneAt([2, 2], b, new Date());
    await put('postgres', 'user', { ...a, name: 'x', stamp: { epoch: 2, version: 2 } }, tombstone);
    const [added, live] = [userAt([2, 1]), userAt([2, 1])];
    await put('postgres', 'user', added, live);
    const { run } = await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect((await bench.documents('user')).join()).not.toContain('personal');
    await put('mongo', 'user', { ...live, name: 'newer', stamp: { epoch: 2, version: 2 } });
    expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 1, restored: 1, spared: 2 });
    const after = await bench.documents('user');
    expect(after).toHaveLength(3);
    expect(after.find((doc) => doc.includes(a.id))).toBe(before.find((doc) => doc.includes(a.id)));
    expect(after.join()).not.toContain('personal');
  });

  it('can be undone exactly where MongoDB had tokens of its users already', async () => {
    const [known, used] = [userAt([2, 1]), userAt([2, 1])];
    const before = { ...verificationAt([2, 1], known.id), createdAt: new Date(0), expiresAt: LATER };
    await put('mongo', 'verificationToken', before);
    await put('postgres', 'verificationToken', before);
    await put('postgres', 'user', known, used);
    const { run, counts } = await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(counts).toMatchObject({ inserted: 2 });
    await put('mongo', 'resetToken', {
      ...resetAt([2, 1], used.id),
      createdAt: new Date(),
      expiresAt: LATER,
    });
    expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 1, restored: 0, spared: 1 });
    expect(await bench.documents('user')).toMatchObject([expect.stringContaining(used.id)]);
  });

  it('can be undone where MongoDB wrote and the answer was lost', async () => {
    const old = legacyUser({ plan: 'gold' });
    await bench.insert('user', [old]);
    const before = await bench.documents('user');
    const changed = userAt([2, 1], { id: String(old._id) });
    await put('postgres', 'user', changed, userAt([2, 1]));
    let lost = 0;
    const replica: typeof stores.mongo.replica = {
      ...stores.mongo.replica,
      async apply(...given) {
        const outcomes = await stores.mongo.replica.apply(...given);
        lost += 1;
        if (lost === 1) throw new StoreUnavailable('mongo', 'unknown', 'timeout');
        return outcomes;
      },
    };
    const scope = { ...bench, stores: { ...stores, mongo: { ...stores.mongo, replica } } };
    const { run, counts } = await runBackfill(scope, { from: 'postgres', onBad: 'rollback' });
    expect(lost).toBeGreaterThan(1);
    expect(counts).toMatchObject({ read: 2, staged: 2, inserted: 1, updated: 1, deferred: 0 });
    expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 1, restored: 1, spared: 0 });
    expect(await bench.documents('user')).toEqual(before);
  });

  it('writes nothing once the connection that holds its run is gone', async () => {
    await put('postgres', 'user', userAt([2, 1]));
    let [ended, applied] = [0, 0];
    const query: typeof bench.postgres.query = async (sql, values) => {
      const rows = await bench.postgres.query(sql, values);
      if (sql.startsWith('insert into copy_undo')) {
        const gone = await bench.postgres.query(
          `select pg_terminate_backend(pid, 30000) from pg_stat_activity
           where datname = current_database() and state = 'idle in transaction' and query like '%copy_ranges%'`,
        );
        ended += gone.length;
      }
      return rows as never;
    };
    const replica: typeof stores.mongo.replica = {
      ...stores.mongo.replica,
      apply(...given) {
        applied += 1;
        return stores.mongo.replica.apply(...given);
      },
    };
    const scope = {
      ...bench,
      postgres: { ...bench.postgres, query },
      stores: { ...stores, mongo: { ...stores.mongo, replica } },
    };
    await expect(
      runBackfill(scope, { from: 'postgres', onBad: 'rollback', runId: 'let-go', jobs: 1 }),
    ).rejects.toMatchObject({ name: 'StoreUnavailable', store: 'postgres' });
    expect({ ended, applied }).toEqual({ ended: 1, applied: 0 });
    expect(await rollbackBackfill(bench, 'let-go')).toMatchObject({ removed: 0, spared: 1 });
  });

  it('says what of it nobody can put back', async () => {
    const old = legacyUser({ note: 'no UTF?8' });
    await bench.insert('user', [old]);
    await put('postgres', 'user', userAt([2, 1], { id: String(old._id) }));
    const { run, counts } = await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(counts).toMatchObject({ updated: 1 });
    // As if it had had these bytes, which not every server takes.
    const bytes = Buffer.from(serialize(old));
    bytes[bytes.indexOf('UTF?8') + 3] = 0xff;
    await bench.postgres.query('update copy_undo set before = $1', [toExtendedJson(bytes)]);
    const opened = { stores: bench.stores, urls: bench.urls, configuredMode: null, close: async () => {} };
    const undone = await inside(['backfill', 'rollback', run, '--json'], async () => opened);
    expect(json('backfillUndone', undone)).toMatchObject({
      ...{ exitCode: 1, restored: 0, spared: 0, unrestorable: 1 },
    });
  });

  it('leaves clashes, and what is ahead, to the mirror, by touches', async () => {
    const mine = userAt([2, 1]);
    const ahead = userAt([2, 1]);
    await put('postgres', 'user', mine, ahead);
    await put('mongo', 'user', userAt([1, 1], { email: mine.email ?? '' }), {
      ...ahead,
      stamp: { epoch: 2, version: 7 },
    });
    const result = await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(result).toMatchObject({ outcome: 'complete', counts: { inserted: 0, updated: 0 } });
    const marks = await stores.postgres.replica.marks({ limit: 10 });
    expect(marks.map(({ id }) => id).sort()).toEqual([mine.id, ahead.id].sort());
    expect(marks.find(({ id }) => id === ahead.id)?.stamp).toEqual({ epoch: 2, version: 8 });
  });

  it('leaves to the mirror what is marked, and so never takes it back', async () => {
    const [older, added, plain] = [userAt([2, 1]), userAt([2, 1]), userAt([2, 1])];
    await put('mongo', 'user', older);
    await put('postgres', 'user', older, added, plain);
    for (const { id } of [older, added]) {
      const to = { epoch: 2, version: 2 };
      expect(
        await stores.postgres.replica.touch('user', id, { expected: { epoch: 2, version: 1 }, to }),
      ).toBe(true);
    }
    const { run, counts } = await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(counts).toMatchObject({ inserted: 1, updated: 0, deferred: 2 });
    const marks = await stores.postgres.replica.marks({ limit: 10 });
    const { found } = await stores.postgres.replica.read(
      'user',
      marks.map(({ id }) => id),
    );
    await put('mongo', 'user', ...[...found.values()].map(({ record }) => record));
    await stores.postgres.replica.clearMarks(marks);
    expect(await verify(bench)).toMatchObject({ clean: true, differences: [] });
    expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 1, restored: 0, spared: 0 });
    const left = await bench.documents('user');
    expect(left).toHaveLength(2);
    expect(left.join()).not.toContain(plain.id);
  });

  it('takes it all back when MongoDB refuses a record', async () => {
    await bench.insert('user', [legacyUser()]);
    const before = await bench.documents('user');
    await put('postgres', 'user', userAt([2, 1]), userAt([2, 1], { id: '~bogus' }));
    const result = await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(result).toMatchObject({ outcome: 'rolled-back', counts: { bad: 1 } });
    expect(result.bad).toMatchObject([{ id: '~bogus', reason: 'refused' }]);
    expect(await bench.documents('user')).toEqual(before);
  });
});
