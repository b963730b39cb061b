/** A copy whose process is killed, at every stage, is finished by another as if nothing had happened. */
import { ObjectId } from 'bson';
import { beforeAll, beforeEach, describe, expect, it, onTestFailed } from 'vitest';
import {
  resumeBackfill,
  resumeVerify,
  rollbackBackfill,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { killing, type Orders } from './killing.ts';
import { openBench } from './support.ts';

const USERS = 500;
const TOKENS = 250;
/** With a bad one, which stays behind, and one of another type. */
const COPIED = USERS + TOKENS + 1;
/** So slow that it is caught in the middle. */
const RATE = 300;

describe('a killed copy', { timeout: 90_000 }, async () => {
  const bench = await openBench();
  const { startUntil, killed, freed, killedAt } = killing(bench, 'mongo');
  let expected: Awaited<ReturnType<typeof bench.rows>>;
  let serial = 0;
  const runId = () => `run-${serial}`;

  const emptyPostgres = () =>
    bench.postgres.query(
      'truncate users, verification_tokens, password_reset_tokens, sessions, copy_runs, copy_ranges, copy_findings, copy_quarantine, copy_undo',
    );

  beforeAll(async () => {
    const users = Array.from({ length: USERS }, () => legacyUser());
    const bad = legacyUser({ email: null });
    await bench.insert('user', [...users, bad, legacyUser({ _id: 'textual' })]);
    const expiresAt = new Date(Date.now() + 86_400_000);
    const tokens = users.slice(0, TOKENS).map(({ _id }) => {
      return { _id: new ObjectId(), userId: _id, token: `clear-${_id}`, createdAt: new Date(), expiresAt };
    });
    await bench.insert('resetToken', tokens);
    await bench.setMode('dual-write');
    const result = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    expect(result.counts).toMatchObject({ inserted: COPIED, bad: 1, quarantined: 1 });
    expected = await bench.rows();
  });
  beforeEach(async () => {
    await emptyPostgres();
    await bench.setMode('dual-write');
    serial += 1;
  });
  it.each<[string, string, number]>([
    ['while it copies', 'copying some', RATE],
    ['while it checks', 'indexed', 0],
    ['before it merges', 'before-merge', 0],
    // It rests after the users.
    ['while it merges', 'merging some', RATE],
  ])('%s', async (_when, haltAt, rate) => {
    await killedAt(haltAt, { run: runId(), verb: 'backfill', rate });
    const [undoable] = await bench.postgres.query<{ n: number }>('select count(*)::int as n from copy_undo');
    expect(undoable?.n).toBe(haltAt === 'merging some' ? USERS + 1 : 0);
    const result = await resumeBackfill(bench, runId());
    expect(result).toMatchObject({
      outcome: 'complete',
      counts: { inserted: COPIED, bad: 1, quarantined: 1 },
    });
    expect(await bench.rows()).toEqual(expected);
    expect(await verify(bench)).toMatchObject({ clean: true });
    expect(await rollbackBackfill(bench, result.run)).toMatchObject({ removed: COPIED, spared: 0 });
    expect((await bench.rows())['users']).toEqual([]);
  });

  it('a verify goes on where it was, and forgets nothing that it had found', async () => {
    await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    const [planted] = await bench.postgres.query<{ id: string }>('select min(id) as id from users');
    await bench.postgres.query(`update users set name = 'planted' where id = $1`, [planted?.id]);
    // By one job, which compares tokens once it is done with the users.
    await killedAt('hashing-tokens', { run: runId(), verb: 'verify' });
    const ranges = await bench.postgres.query<{ entity: string; state: string; compared: number | null }>(
      `select entity, state, (counts->>'compared')::int as compared from copy_ranges where run = $1`,
      [runId()],
    );
    const done = ranges.filter(({ entity, state }) => entity === 'user' && state === 'done');
    expect(done.reduce((sum, { compared }) => sum + (compared ?? 0), 0)).toBeGreaterThanOrEqual(USERS);
    expect(ranges.filter(({ state }) => state === 'open').length).toBeGreaterThan(0);
    const started: number[] = [];
    const report = ({ documents }: { readonly documents: number }) => started.push(documents);
    const result = await resumeVerify(bench, runId(), { report });
    expect(started[0]).toBeGreaterThanOrEqual(USERS);
    expect(result).toMatchObject({ run: runId(), clean: false, differing: 1 });
    expect(result.differences).toEqual([
      { entity: 'user', id: planted?.id, kind: 'differs', fields: ['name'] },
    ]);
    expect(result.compared).toBeGreaterThanOrEqual(USERS + TOKENS);
    expect(result.compared).toBeLessThan(2 * USERS);
  });

  it('at a random moment, again and again', async () => {
    const drawn: number[] = [];
    onTestFailed(() => console.log('killed after', drawn, 'ms'));
    let verb: Orders['verb'] = 'backfill';
    for (let round = 0; round < 3; round += 1) {
      const child = await startUntil(['ready', 'done'], { run: runId(), verb, rate: RATE });
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
    // Ranges for both: what has begun is still open when the helper comes.
    const begun = { from: 'mongo', onBad: 'quarantine', signal: AbortSignal.abort() } as const;
    await expect(runBackfill(bench, { ...begun, runId: runId() })).rejects.toThrow('stopped');
    const haltAt = 'copying some';
    const worker = await startUntil([haltAt], { run: runId(), verb: 'worker', rate: 100, haltAt });
    const copy = resumeBackfill(bench, runId(), { jobs: 1 });
    await killed(worker);
    const owned = () =>
      bench.postgres.query<{ owner: string }>(
        `select owner from copy_ranges where state = 'open' and owner like 'worker/%'`,
      );
    const dead = new Set((await owned()).map(({ owner }) => owner));
    expect(dead.size).toBeGreaterThan(0);
    await startUntil(['ready'], { run: runId(), verb: 'worker' });
    await eventually(async () => (await owned()).every(({ owner }) => !dead.has(owner)), {
      timeoutMs: 30_000,
    });
    expect(await copy).toMatchObject({ outcome: 'complete', counts: { read: COPIED + 1 } });
    expect(await bench.rows()).toEqual(expected);
  });
});
