/** A copy while the service writes: nothing is lost, nothing comes back, and verify has nothing to say. */
import { ObjectId } from 'bson';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  type Progress,
  resumeBackfill,
  rollbackBackfill,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { legacyUser, newAccount } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { openBench, serve, started } from './support.ts';

const USERS = 1_000;
/** So many writes at least while a copy is at work, and as many before it is looked at. */
const WRITES = 20;
/** The service may be as slow as this machine is. */
const HEEDLESS = { 'backfill-slow-p99-ms': 0, 'backfill-stop-p99-ms': 0 };
/** Slower than this it always is. */
const TOO_SLOW_MS = 0.001;

describe('a copy under load', { timeout: 90_000 }, async () => {
  const bench = await openBench();
  const { stores } = bench;
  const engine = serve(bench);
  const users = Array.from({ length: USERS }, () => legacyUser());
  beforeAll(async () => {
    await bench.insert('user', users);
    await bench.setMode('dual-write', undefined, HEEDLESS);
    await started(engine);
  });

  it('ends with both stores alike', async () => {
    const { repository } = engine;
    let writes = 0;
    const made: string[] = [];
    const failures: unknown[] = [];
    const ended = new AbortController();
    async function live(worker: number): Promise<void> {
      for (let round = 0; !ended.signal.aborted; round += 1) {
        const now = new Date();
        const userId = String(users[(round * 37 + worker * 911) % USERS]?._id);
        const email = `live-${worker}-${round}@x.org`;
        try {
          if (round % 4 === 0) {
            const { user, token, session } = newAccount(email);
            const later = new Date(now.getTime() + 3_600_000);
            const times = { createdAt: now, expiresAt: later };
            await repository.createAccount({
              user,
              token: { ...token, ...times },
              session: { ...session, ...times, rotatedAt: now, idleExpiresAt: later },
            });
            made.push(user.id);
          } else if (round % 4 === 1) await repository.endSessions({ userId, now });
          else if (round % 4 === 2)
            await repository.verifyEmail({ userId, tokenId: new ObjectId().toHexString(), now });
          else await repository.eraseUser({ userId, sessionGeneration: null, now });
          writes += 1;
        } catch (error) {
          failures.push(error);
        }
      }
    }
    const load = Promise.all([live(0), live(1)]);
    onTestFinished(async () => {
      ended.abort();
      await load;
    });
    const haveWritten = (count: number) => eventually(() => writes > count, { timeoutMs: 30_000 });
    // However slow the service is beside it: when all documents have been read, some have been written since.
    const beforeMerge = async () => void (await haveWritten(WRITES));
    const result = await runBackfill(bench, { from: 'mongo', onBad: 'rollback', rate: 300, beforeMerge });
    expect(result.outcome).toBe('complete');
    // Of what was copied.
    await haveWritten(writes + WRITES);
    const checked = await verify(bench);
    expect(checked).toMatchObject({ clean: true, differences: [] });
    ended.abort();
    await load;
    expect(failures).toEqual([]);
    await eventually(async () => (await stores.mongo.replica.countMarks()).count === 0, {
      timeoutMs: 30_000,
    });
    expect(await verify(bench)).toMatchObject({ clean: true, lagging: 0, excused: 0 });
    const erased = await bench.postgres.query<{ n: number }>(
      'select count(*)::int as n from users where deleted_at is not null and email is not null',
    );
    expect(erased).toEqual([{ n: 0 }]);
    const before = await bench.rows();
    const undone = await rollbackBackfill(bench, result.run);
    const after = await bench.rows();
    const size = (rows: typeof before) => Object.values(rows).reduce((sum, { length }) => sum + length, 0);
    expect(size(after)).toBe(size(before) - undone.removed);
    expect(undone.spared).toBeGreaterThan(0);
    // Users, tokens and sessions of accounts that were made meanwhile, each as it was.
    for (const [table, rows] of Object.entries(before)) {
      const live = rows.filter((row) => made.some((id) => row.includes(id)));
      expect(live.length > 0, table).toBe(table !== 'password_reset_tokens');
      expect(after[table], table).toEqual(expect.arrayContaining(live));
    }
  });

  it('goes slower, and stops, when the service says that the authority has become slow', async () => {
    const ended = new AbortController();
    async function read(): Promise<void> {
      while (!ended.signal.aborted) await engine.repository.findUser(new ObjectId().toHexString());
    }
    const load = read();
    const set = async (settings: object) =>
      bench.setMode('dual-write', await bench.copyState(), { ...HEEDLESS, ...settings });
    const held: Progress['held'][] = [];
    await set({ 'backfill-slow-p99-ms': TOO_SLOW_MS });
    const run = runBackfill(bench, {
      from: 'mongo',
      onBad: 'rollback',
      runId: 'slowed',
      rate: 50,
      report: (progress) => held.push(progress.held),
    });
    const stopped = expect(run).rejects.toMatchObject({
      reason: 'overloaded',
      message: expect.stringMatching(/p99 on the authority is \d+ ms, over 0.001 ms; resume run slowed/),
    });
    await eventually(() => held.some((each) => each?.reason === 'slowed'), { timeoutMs: 30_000 });
    expect(held.find((each) => each !== null)).toMatchObject({
      reason: 'slowed',
      boundMs: TOO_SLOW_MS,
      rate: expect.any(Number),
    });
    await set({ 'backfill-stop-p99-ms': TOO_SLOW_MS });
    await stopped;
    expect(held.at(-1)).toMatchObject({ reason: 'over', boundMs: TOO_SLOW_MS });
    await set({});
    expect(await resumeBackfill(bench, 'slowed')).toMatchObject({ outcome: 'complete' });
    ended.abort();
    await load;
    expect(await verify(bench)).toMatchObject({ clean: true });
  });
});
