/** TC07 under load: a run that finds bad data rolls back, and each row that nobody wrote meanwhile is as it was, to the byte. */
import { expect, it } from 'vitest';
import { runBackfill } from '../../cutover/copy/index.ts';
import { legacyUser, newAccount } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { openBench, serving } from './support.ts';

const USERS = 400;
/** Of them the service writes to these. */
const WRITTEN = 100;
const HEEDLESS = { 'backfill-slow-p99-ms': 0, 'backfill-stop-p99-ms': 0 };

const bench = await openBench();

it('TC07 a run rolled back under load leaves every row without a live write as it was', {
  timeout: 90_000,
}, async () => {
  const { stores } = bench;
  const users = Array.from({ length: USERS }, () => legacyUser());
  await bench.insert('user', users);
  await bench.setMode('dual-write', undefined, HEEDLESS);
  expect(await runBackfill(bench, { from: 'mongo', onBad: 'rollback' })).toMatchObject({
    outcome: 'complete',
  });
  const bad = Array.from({ length: 3 }, () => legacyUser({ email: {} }));
  await bench.insert('user', [...Array.from({ length: 100 }, () => legacyUser()), ...bad]);
  const before = await bench.rows();
  const engine = await serving(bench);

  const touched = new Set<string>();
  const ended = new AbortController();
  async function live(): Promise<void> {
    for (let round = 0; !ended.signal.aborted; round += 1) {
      const now = new Date();
      const userId = String(users[round % WRITTEN]?._id);
      touched.add(userId);
      if (round % 2 === 0) await engine.repository.endSessions({ userId, now });
      else {
        const { user, token, session } = newAccount(`live-${round}@x.org`);
        touched.add(user.id);
        const expiresAt = new Date(now.getTime() + 3_600_000);
        await engine.repository.createAccount({
          user,
          token: { ...token, createdAt: now, expiresAt },
          session: { ...session, createdAt: now, expiresAt, rotatedAt: now, idleExpiresAt: expiresAt },
        });
      }
    }
  }
  const load = live();
  // However slow the service is beside it: it has written before the run finds that it is to be rolled back.
  const query: typeof bench.postgres.query = async (sql, values) => {
    if (sql.includes('create unique index')) await eventually(() => touched.size > 40, { timeoutMs: 30_000 });
    return bench.postgres.query(sql, values) as never;
  };
  const scope = { ...bench, postgres: { ...bench.postgres, query } };
  const result = await runBackfill(scope, { from: 'mongo', onBad: 'rollback', rate: 250 });
  ended.abort();
  await load;
  await eventually(async () => (await stores.mongo.replica.countMarks()).count === 0, { timeoutMs: 30_000 });

  expect(result.outcome).toBe('rolled-back');
  expect(result.bad.map(({ id }) => id).sort()).toEqual(bad.map(({ _id }) => String(_id)).sort());
  const after = await bench.rows();
  const isTouched = (row: string): boolean => [...touched].some((id) => row.includes(id));
  for (const [table, rows] of Object.entries(before)) {
    expect(
      after[table]?.filter((row) => !isTouched(row)),
      table,
    ).toEqual(rows.filter((row) => !isTouched(row)));
  }
  const written = (after['users'] ?? []).filter(isTouched);
  expect(written.length).toBeGreaterThan(20);
  expect(before['users']).not.toEqual(expect.arrayContaining(written));
  expect(before['users']?.filter((row) => !isTouched(row)).length).toBeGreaterThanOrEqual(USERS - WRITTEN);
  expect(await bench.postgres.query('select record_id from copy_quarantine')).toEqual([]);
});
