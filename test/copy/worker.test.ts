/** A process that helps, and a store that is away for a moment. */
import mongoose from 'mongoose';
import { beforeEach, expect, it } from 'vitest';
import {
  type CopyRefused,
  type CopyScope,
  resumeBackfill,
  runBackfill,
  runWorker,
  verify,
} from '../../cutover/copy/index.ts';
import { userAt } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { type Bench, clear, openBench } from './support.ts';

const bench = await openBench();
beforeEach(() => clear(bench));
/** A worker looks once a second, on a machine that may be busy. */
const PATIENCE = { timeoutMs: 25_000 };

/** Begun, with all its ranges open, by a process that stopped at once. */
async function begin(bench: Bench, from: 'mongo' | 'postgres'): Promise<void> {
  const options = { from, onBad: 'rollback', signal: AbortSignal.abort() } as const;
  await expect(runBackfill(bench, options)).rejects.toThrow('stopped');
}

/** The same of a verify. */
const beginVerify = (bench: Bench, runId: string) =>
  expect(verify(bench, { runId, signal: AbortSignal.abort() })).rejects.toThrow('stopped');

const isHelped = (bench: Bench, run: string) => async () =>
  (await bench.postgres.query(`select from copy_ranges where run = $1 and state = 'open'`, [run])).length ===
  0;

it.each([
  ['does not let it in', 18, 'AuthenticationFailed'],
  ['does not let it read', 13, 'Unauthorized'],
])('ends with the reason where MongoDB %s', async (_what, code, codeName) => {
  await bench.insert('user', [legacyUser()]);
  await bench.setMode('dual-write');
  const stopped = new AbortController();
  stopped.abort();
  const begun = { from: 'mongo', onBad: 'rollback', signal: stopped.signal } as const;
  await expect(runBackfill(bench, begun)).rejects.toThrow('stopped');
  const collection = () => {
    throw new mongoose.mongo.MongoServerError({ code, codeName, message: 'no' });
  };
  const scope: CopyScope = { ...bench, mongo: { ...bench.mongo, collection } };
  const { signal } = new AbortController();
  await expect(runWorker(scope, { signal })).rejects.toMatchObject({
    name: 'StoreUnavailable',
    store: 'mongo',
    cause: { codeName },
  });
});

it('waits for a MongoDB that is away, and goes on', async () => {
  await bench.insert('user', [legacyUser(), legacyUser()]);
  await bench.setMode('dual-write');
  const stopped = new AbortController();
  stopped.abort();
  const begun = { from: 'mongo', onBad: 'rollback', runId: 'begun', signal: stopped.signal } as const;
  await expect(runBackfill(bench, begun)).rejects.toThrow('stopped');

  let lost = 0;
  const collection: CopyScope['mongo']['collection'] = (entity) => {
    lost += 1;
    if (lost === 1) throw new mongoose.mongo.MongoNetworkError('connection 1 closed');
    return bench.mongo.collection(entity);
  };
  const ended = new AbortController();
  const away: string[] = [];
  const worker = runWorker(
    { ...bench, mongo: { ...bench.mongo, collection } },
    { signal: ended.signal, onAway: ({ store, reason }) => away.push(`${store} ${reason}`) },
  );
  const open = () => bench.postgres.query("select from copy_ranges where state = 'open'");
  await Promise.race([worker, eventually(async () => (await open()).length === 0, PATIENCE)]);
  ended.abort();
  await worker;
  expect(lost).toBeGreaterThan(1);
  expect(away).toEqual(['mongo connection-lost']);
  expect(await resumeBackfill(bench, 'begun')).toMatchObject({ counts: { read: 2, inserted: 2 } });
});

it('leaves a copy alone that was begun before authority moved, there or there and back', async () => {
  await bench.setMode('postgres-primary');
  const users = [userAt([2, 1]), userAt([2, 1])];
  await bench.stores.postgres.replica.apply('user', users, { epoch: 2, expiredBefore: new Date(0) });
  await begin(bench, 'postgres');
  const ended = new AbortController();
  await bench.setMode('shadow-read');
  const worker = runWorker(bench, { signal: ended.signal });
  await beginVerify(bench, 'there');
  await Promise.race([worker, eventually(isHelped(bench, 'there'), PATIENCE)]);
  await bench.setMode('postgres-primary');
  await beginVerify(bench, 'back');
  await Promise.race([worker, eventually(isHelped(bench, 'back'), PATIENCE)]);
  ended.abort();
  await worker;
  expect(await bench.postgres.query('select from copy_undo')).toEqual([]);
  expect(await bench.documents('user')).toEqual([]);
});

it('passes over a verify that others left, of another mapping or version, and says so once', async () => {
  await bench.insert('user', [legacyUser()]);
  await bench.setMode('dual-write');
  for (const run of ['own', 'mapped', 'newer']) await beginVerify(bench, run);
  const change = (run: string, body: object) =>
    bench.postgres.query('update copy_runs set body = body || $2 where id = $1', [run, JSON.stringify(body)]);
  await change('mapped', { mapping: 'another' });
  await change('newer', { what: 'something new' });
  const ended = new AbortController();
  const passedOver: string[] = [];
  const onPassedOver = ({ reason }: CopyRefused) => passedOver.push(reason);
  const worker = runWorker(bench, { signal: ended.signal, onPassedOver });
  await Promise.race([worker, eventually(isHelped(bench, 'own'), PATIENCE)]);
  await beginVerify(bench, 'another');
  await Promise.race([worker, eventually(isHelped(bench, 'another'), PATIENCE)]);
  ended.abort();
  await worker;
  expect(passedOver.sort()).toEqual(['other-mapping', 'unknown-state']);
});
