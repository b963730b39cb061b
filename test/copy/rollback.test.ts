/** A run that is taken back before it wrote anything, and while copies are paused. */
import { beforeEach, describe, expect, it } from 'vitest';
import { rollbackBackfill, runBackfill } from '../../cutover/copy/index.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { clear, openBench } from './support.ts';

const COMPLETE = { kind: 'complete', run: 'an earlier one', completedAtMs: 1, verifiedAtMs: null } as const;

describe('a run that is rolled back', async () => {
  const bench = await openBench();
  beforeEach(() => clear(bench));

  /** Killed when all is staged. */
  async function killed(options: { readonly onBad: 'rollback' | 'quarantine' }): Promise<void> {
    const beforeMerge = async () => {
      throw new Error('killed');
    };
    const copy = runBackfill(bench, { ...options, from: 'mongo', runId: 'killed', beforeMerge });
    await expect(copy).rejects.toThrow('killed');
  }

  it('leaves an earlier copy complete where it had written nothing', async () => {
    await bench.insert('user', [legacyUser()]);
    await bench.setMode('shadow-read', COMPLETE);
    await killed({ onBad: 'rollback' });
    expect(await rollbackBackfill(bench, 'killed')).toMatchObject({ removed: 0, restored: 0 });
    expect(await bench.copyState()).toMatchObject(COMPLETE);
  });

  it('leaves no copy complete that it had put documents aside of', async () => {
    await bench.insert('user', [legacyUser({ email: {} })]);
    await bench.setMode('shadow-read', COMPLETE);
    await killed({ onBad: 'quarantine' });
    await rollbackBackfill(bench, 'killed');
    expect(await bench.copyState()).toMatchObject({ kind: 'stale' });
  });

  it('leaves no copy complete that it had made, even of nothing', async () => {
    await bench.setMode('dual-write');
    const { run } = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', run });
    await rollbackBackfill(bench, run);
    expect(await bench.copyState()).toMatchObject({ kind: 'stale' });
  });

  it('is so although copies are paused', async () => {
    await bench.insert('user', [legacyUser()]);
    await bench.setMode('dual-write');
    const { run } = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    await bench.setMode('dual-write', await bench.copyState(), { 'backfill-paused': true });
    expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 1 });
  });
});
