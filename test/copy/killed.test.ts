/** A copy whose process is killed, at every stage, is finished by another as if nothing had happened. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ObjectId } from 'bson';
import { afterEach, beforeAll, beforeEach, describe, expect, it, onTestFailed } from 'vitest';
import {
  resumeBackfill,
  resumeVerify,
  rollbackBackfill,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { openBench } from './support.ts';

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url));
const USERS = 2_400;

describe('a killed copy', { timeout: 90_000 }, async () => {
  const bench = await openBench();
  const children: ChildProcess[] = [];
  let expected: Awaited<ReturnType<typeof bench.rows>>;
  let serial = 0;

  const emptyPostgres = () =>
    bench.postgres.query(
      'truncate users, verification_tokens, password_reset_tokens, sessions, copy_runs, copy_ranges, copy_findings, copy_quarantine, copy_undo',
    );

  beforeAll(async () => {
    const users = Array.from({ length: USERS }, () => legacyUser());
    const bad = legacyUser({ email: null });
    await bench.insert('user', [...users, bad, legacyUser({ _id: 'textual' })]);
    const expiresAt = new Date(Date.now() + 86_400_000);
    const tokens = users.slice(0, 600).map(({ _id }) => {
      return { _id: new ObjectId(), userId: _id, token: `clear-${_id}`, createdAt: new Date(), expiresAt };
    });
    await bench.insert('resetToken', tokens);
    await bench.setMode('dual-write');
    const result = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    expect(result.counts).toMatchObject({ inserted: USERS + 601, bad: 1, quarantined: 1 });
    expected = await bench.rows();
  });
  beforeEach(async () => {
    await emptyPostgres();
    await bench.setMode('dual-write');
    serial += 1;
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  /** Starts a process; resolves when it has said a line like that, or has ended. */
  async function startUntil(until: RegExp, verb = 'backfill', onReady = () => {}): Promise<ChildProcess> {
    const run = `run-${serial}`;
    const child = spawn(process.execPath, [CHILD, bench.urls.mongo, bench.urls.postgres, run, verb], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    for await (const line of createInterface({ input: child.stdout })) {
      if (line === 'ready') onReady();
      if (until.test(line)) break;
    }
    return child;
  }

  const undoable = async () =>
    (await bench.postgres.query<{ n: number }>('select count(*)::int as n from copy_undo'))[0]?.n ?? 0;

  const killed = (child: ChildProcess) =>
    new Promise<void>((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve();
      child.once('exit', () => resolve());
      child.kill('SIGKILL');
    });

  /** A server notices the end of a killed process's connections, and of their locks, in its own time. */
  const freed = () =>
    eventually(
      async () => {
        const locks = await bench.postgres.query(
          `select from pg_locks join pg_database as here on here.oid = pg_locks.database
           where locktype = 'advisory' and here.datname = current_database()`,
        );
        return locks.length === 0;
      },
      { timeoutMs: 30_000 },
    );

  it.each([
    ['while it copies', /^copying some/],
    ['while it checks', /^checking/],
    ['before it merges', /^before-merge/],
    ['while it merges', /^merging/],
  ])('%s', async (_when, until) => {
    const child = await startUntil(until, until.test('before-merge') ? 'hold' : 'backfill');
    if (until.test('merging')) await eventually(async () => (await undoable()) > 0);
    await killed(child);
    await freed();
    const result = await resumeBackfill(bench, `run-${serial}`);
    expect(result).toMatchObject({
      outcome: 'complete',
      counts: { inserted: USERS + 601, bad: 1, quarantined: 1 },
    });
    expect(await bench.rows()).toEqual(expected);
    expect(await verify(bench)).toMatchObject({ clean: true });
    expect(await rollbackBackfill(bench, result.run)).toMatchObject({ removed: USERS + 601, spared: 0 });
    expect((await bench.rows())['users']).toEqual([]);
  });

  it('a verify goes on where it was, and forgets nothing that it had found', async () => {
    await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    const [planted] = await bench.postgres.query<{ id: string }>('select min(id) as id from users');
    await bench.postgres.query(`update users set name = 'planted' where id = $1`, [planted?.id]);
    const run = `run-${serial}`;
    const child = await startUntil(/^verifying/, 'verify');
    const done = async () => {
      const ranges = await bench.postgres.query<{ entity: string; compared: number | null }>(
        `select entity, (counts->>'compared')::int as compared from copy_ranges where run = $1 and state = 'done'`,
        [run],
      );
      return ranges
        .filter(({ entity }) => entity === 'user')
        .reduce((sum, each) => sum + (each.compared ?? 0), 0);
    };
    await eventually(async () => (await done()) >= USERS, { timeoutMs: 30_000 });
    await killed(child);
    await freed();
    const open = await bench.postgres.query(`select from copy_ranges where run = $1 and state = 'open'`, [
      run,
    ]);
    expect(open.length).toBeGreaterThan(0);
    const started: number[] = [];
    const result = await resumeVerify(bench, run, { report: ({ documents }) => started.push(documents) });
    expect(started[0]).toBeGreaterThanOrEqual(USERS);
    expect(result).toMatchObject({ run, clean: false, differing: 1 });
    expect(result.differences).toEqual([
      { entity: 'user', id: planted?.id, kind: 'differs', fields: ['name'] },
    ]);
    expect(result.compared).toBeGreaterThanOrEqual(USERS + 600);
    expect(result.compared).toBeLessThan(2 * USERS);
  });

  it('at a random moment, again and again', async () => {
    const drawn: number[] = [];
    onTestFailed(() => console.log('killed after', drawn, 'ms'));
    for (let round = 0, verb = 'backfill'; round < 3; round += 1) {
      const child = await startUntil(/^ready|^done/, verb);
      const ms = Math.random() * 1_500;
      drawn.push(ms);
      await new Promise((resolve) => setTimeout(resolve, ms));
      await killed(child);
      await freed();
      const runs = await bench.postgres.query<{ state: string }>('select state from copy_runs');
      verb = runs.length === 0 ? 'backfill' : 'resume';
      if (runs[0]?.state === 'done') break;
    }
    const runs = await bench.postgres.query<{ id: string; state: string }>('select id, state from copy_runs');
    if (runs[0] === undefined) await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    else if (runs[0].state !== 'done') await resumeBackfill(bench, runs[0].id);
    expect(await bench.rows()).toEqual(expected);
  });

  it('costs a helping process nothing but its range, which another has taken up within 30 s', async () => {
    let copy: ReturnType<typeof runBackfill> | null = null;
    const worker = await startUntil(/^copying some/, 'slow-worker', () => {
      copy = runBackfill(bench, { from: 'mongo', onBad: 'quarantine', rate: 300, jobs: 1 });
    });
    await killed(worker);
    const owned = () =>
      bench.postgres.query<{ owner: string }>(
        `select owner from copy_ranges where state = 'open' and owner like 'worker/%'`,
      );
    const dead = new Set((await owned()).map(({ owner }) => owner));
    expect(dead.size).toBeGreaterThan(0);
    await startUntil(/^ready/, 'worker');
    await eventually(async () => (await owned()).every(({ owner }) => !dead.has(owner)), {
      timeoutMs: 30_000,
    });
    const result = await copy;
    expect(result).toMatchObject({ outcome: 'complete', counts: { read: USERS + 602 } });
    expect(await bench.rows()).toEqual(expected);
  });
});
