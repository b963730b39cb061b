/** A run that is taken back while others work on it: nothing of theirs comes after. */
import { expect, it } from 'vitest';
import {
  type CopyScope,
  rollbackBackfill,
  runBackfill,
  runWorker,
  verify,
} from '../../cutover/copy/index.ts';
import { RangeLost } from '../../db/postgres/copy/runs.ts';
import { userAt } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { type Bench, openBench } from './support.ts';

const TAKEN = { reason: 'unknown-state', message: 'run left was changed by another process' };

/** Begun, with all its ranges open, by a process that stopped at once. */
async function begin(bench: Bench, from: 'mongo' | 'postgres'): Promise<void> {
  const options = { from, onBad: 'quarantine', runId: 'left', signal: AbortSignal.abort() } as const;
  await expect(runBackfill(bench, options)).rejects.toThrow('stopped');
}

const countOf = async ({ postgres }: Bench, from: string) =>
  (await postgres.query<{ n: number }>(`select count(*)::int as n from ${from}`))[0]?.n;

/** Each its own: the jobs of a run that was taken back under its workers stay until these are known to be dead. */
const [first, second, third, fourth] = await Promise.all([
  openBench(),
  openBench(),
  openBench(),
  openBench(),
]);

/** Users in PostgreSQL, and one of them, older, in MongoDB. */
async function openReverse(bench: Bench) {
  const old = legacyUser({ plan: 'gold' });
  await bench.insert('user', [old]);
  const before = await bench.documents('user');
  await bench.setMode('postgres-primary');
  const users = Array.from({ length: 250 }, () => userAt([2, 1]));
  const newer = userAt([2, 1], { id: String(old._id) });
  const under = { epoch: 2, expiredBefore: new Date(0) };
  await bench.stores.postgres.replica.apply('user', [newer, ...users], under);
  const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const { mongo } = bench.stores;
  const replica: typeof mongo.replica = {
    ...mongo.replica,
    async apply(...given) {
      reached.resolve();
      await gate.promise;
      return mongo.replica.apply(...given);
    },
  };
  const gated: CopyScope = { ...bench, stores: { ...bench.stores, mongo: { ...mongo, replica } } };
  return { before, gated, reached, gate };
}

/** Takes the run back while the gate is shut, and opens it once nothing more of the run may begin. */
async function takeBack(bench: Bench, gate: PromiseWithResolvers<void>): Promise<void> {
  const undone = rollbackBackfill(bench, 'left');
  const isLeft = async () => (await countOf(bench, "copy_runs where state in ('undoing', 'undone')")) === 1;
  await Promise.race([undone, eventually(isLeft, { timeoutMs: 25_000 })]);
  gate.resolve();
  await undone;
}

/** As a restart of the server does: its lock goes, and its coordinator hears nothing of it. */
async function losesLock(bench: Bench): Promise<void> {
  const locks = `pg_locks where locktype = 'advisory' and objsubid = 1
    and database = (select oid from pg_database where datname = current_database())`;
  await bench.postgres.query(`select pg_terminate_backend(pid) from ${locks}`);
  await eventually(async () => (await countOf(bench, locks)) === 0, { timeoutMs: 25_000 });
}

it('by a worker that is about to write to MongoDB', async () => {
  const bench = first;
  const { before, gated, reached, gate } = await openReverse(bench);
  await begin(bench, 'postgres');
  const ended = new AbortController();
  const worker = runWorker(gated, { jobs: 1, signal: ended.signal });
  await Promise.race([worker, reached.promise]);
  await takeBack(bench, gate);

  // Once it helps with something else it is done with the run.
  const other = { runId: 'other', signal: AbortSignal.abort() };
  await expect(verify(bench, other)).rejects.toThrow('stopped');
  const isHelped = async () =>
    (await countOf(bench, "copy_ranges where run = 'other' and state = 'open'")) === 0;
  await Promise.race([worker, eventually(isHelped, { timeoutMs: 30_000 })]);
  ended.abort();
  await worker;
  expect(await bench.documents('user')).toEqual(before);
  expect(await countOf(bench, 'copy_undo')).toBe(0);
  expect(await countOf(bench, "copy_runs where state = 'undone'")).toBe(1);
});

it('by a coordinator that is about to write to MongoDB, and has lost its lock', async () => {
  const bench = second;
  const { before, gated, reached, gate } = await openReverse(bench);
  const copy = runBackfill(gated, { from: 'postgres', onBad: 'quarantine', runId: 'left', jobs: 1 });
  const refused = expect(copy).rejects.toMatchObject(TAKEN);
  await Promise.race([copy, reached.promise]);
  await losesLock(bench);
  await takeBack(bench, gate);
  await refused;
  expect(await bench.documents('user')).toEqual(before);
  expect(await countOf(bench, 'copy_undo')).toBe(0);
});

/** The bench as a process has it whose transactions wait at a gate from when that is `armed`. */
function gatedTransactions(bench: Bench) {
  const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const transactions: Promise<unknown>[] = [];
  const { postgres } = bench;
  const held = { armed: false };
  const transaction: typeof postgres.transaction = async (work) => {
    if (!held.armed) return postgres.transaction(work);
    reached.resolve();
    await gate.promise;
    const made = postgres.transaction(work);
    transactions.push(made);
    return made;
  };
  return { gated: { ...bench, postgres: { ...postgres, transaction } }, held, reached, gate, transactions };
}

it('by a worker that is about to stage documents, while another run does', async () => {
  const bench = third;
  await bench.insert('user', [legacyUser(), legacyUser(), legacyUser()]);
  await bench.setMode('dual-write');
  await begin(bench, 'mongo');
  const { gated, held, reached, gate, transactions } = gatedTransactions(bench);
  held.armed = true;
  const ended = new AbortController();
  const worker = runWorker(gated, { jobs: 1, signal: ended.signal });
  await Promise.race([worker, reached.promise]);
  await rollbackBackfill(bench, 'left');
  const beforeMerge = async () => {
    gate.resolve();
    await eventually(() => transactions.length > 0, { timeoutMs: 25_000 });
    await expect(transactions[0]).rejects.toBeInstanceOf(RangeLost);
    ended.abort();
    await worker;
  };
  const result = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine', beforeMerge });
  expect(result).toMatchObject({ outcome: 'complete', counts: { inserted: 3, bad: 0, quarantined: 0 } });
  expect(await countOf(bench, 'copy_findings')).toBe(0);
});

it('by a coordinator that is about to merge, and has lost its lock, while another run does', async () => {
  const bench = fourth;
  await bench.insert('user', [legacyUser(), legacyUser(), legacyUser()]);
  await bench.setMode('dual-write');
  const { gated, held, reached, gate } = gatedTransactions(bench);
  const arm = async () => {
    held.armed = true;
  };
  const copy = runBackfill(gated, { from: 'mongo', onBad: 'rollback', runId: 'left', beforeMerge: arm });
  const refused = expect(copy).rejects.toMatchObject(TAKEN);
  await Promise.race([copy, reached.promise]);
  await losesLock(bench);
  await rollbackBackfill(bench, 'left');
  const beforeMerge = async () => {
    gate.resolve();
    await refused;
  };
  expect(await runBackfill(bench, { from: 'mongo', onBad: 'rollback', beforeMerge })).toMatchObject({
    counts: { inserted: 3 },
  });
  expect(await countOf(bench, "copy_undo where run = 'left'")).toBe(0);
});
