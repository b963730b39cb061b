/** A process that helps, and a store that is away for a moment. */
import mongoose from 'mongoose';
import { expect, it } from 'vitest';
import { type CopyScope, resumeBackfill, runBackfill, runWorker } from '../../cutover/copy/index.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { openBench } from './support.ts';

it('waits for a MongoDB that is away, and goes on', async () => {
  const bench = await openBench();
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
  const worker = runWorker({ ...bench, mongo: { ...bench.mongo, collection } }, { signal: ended.signal });
  const open = () => bench.postgres.query("select from copy_ranges where state = 'open'");
  await Promise.race([worker, eventually(async () => (await open()).length === 0)]);
  ended.abort();
  await worker;
  expect(lost).toBeGreaterThan(1);
  expect(await resumeBackfill(bench, 'begun')).toMatchObject({ counts: { read: 2, inserted: 2 } });
});
