/** A copy that was killed, and whose target has authority before anybody has gone on with it. */
import { describe, expect, it } from 'vitest';
import {
  listBackfills,
  resumeBackfill,
  rollbackBackfill,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { openBench } from './support.ts';

const COMPLETE = { kind: 'complete', run: 'an earlier one', completedAtMs: 1, verifiedAtMs: null } as const;

describe('a run whose target has authority by now', async () => {
  const bench = await openBench();

  it('stands in the way of no copy in the other direction', async () => {
    await bench.insert('user', [legacyUser(), legacyUser()]);
    await bench.setMode('dual-write');
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    // Once more, as one may while the copy is complete; this process dies before the merge.
    await bench.setMode('shadow-read', COMPLETE);
    const death = async () => {
      throw new Error('killed');
    };
    const runId = 'the-killed-one';
    const dying = runBackfill(bench, { from: 'mongo', onBad: 'rollback', runId, beforeMerge: death });
    await expect(dying).rejects.toThrow('killed');
    await bench.setMode('postgres-primary', { kind: 'stale', sinceMs: 2 });
    // Neither way is open any more: nothing is ever written over the authority.
    await expect(resumeBackfill(bench, runId)).rejects.toMatchObject({ reason: 'not-authority' });
    await expect(rollbackBackfill(bench, runId)).rejects.toMatchObject({ reason: 'not-authority' });

    const result = await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(result).toMatchObject({ outcome: 'complete', to: 'mongo' });
    const runs = await listBackfills(bench);
    expect(runs.find(({ run }) => run === runId)).toMatchObject({ state: 'overtaken' });
    expect(await verify(bench)).toMatchObject({ clean: true });
  });
});
