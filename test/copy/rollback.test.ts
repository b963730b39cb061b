/** A run that is taken back before it wrote anything, and while copies are paused. */
import { beforeEach, describe, expect, it } from 'vitest';
import { rollbackBackfill, runBackfill } from '../../cutover/copy/index.ts';
import { applyTo, resetAt } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
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

  it('waits for a session that is being written, and spares its user', async () => {
    const user = legacyUser();
    await bench.insert('user', [user, legacyUser()]);
    await bench.setMode('dual-write');
    const { run } = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    const rolledBack = await bench.postgres.transaction(async (connection) => {
      await connection.query(
        `insert into sessions (id, user_id, generation, token_hash, rotation, key_id, created_at, rotated_at,
           idle_expires_at, expires_at, epoch, version)
         values ('new', $1, 0, repeat('0', 64), 0, 'k1', now(), now(), now(), now(), 1, 1)`,
        [String(user._id)],
      );
      const undoing = Promise.allSettled([rollbackBackfill(bench, run)]);
      await eventually(async () => {
        const waiting = await bench.postgres.query(
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        expect(waiting).not.toEqual([]);
      });
      return { undoing };
    });
    expect(await rolledBack.undoing).toMatchObject([{ value: { removed: 1, spared: 1 } }]);
    expect(await bench.rows()).toMatchObject({ users: [expect.stringContaining(String(user._id))] });
  });

  it('spares a user of a token by an instance whose clock is behind', async () => {
    const [asking, other] = [legacyUser(), legacyUser()];
    await bench.insert('user', [asking, other]);
    await bench.setMode('dual-write');
    const { run } = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    const createdAt = new Date(Date.now() - 600_000);
    const token = {
      ...resetAt([1, 1], String(asking._id)),
      createdAt,
      expiresAt: new Date(Date.now() + 600_000),
    };
    expect(await applyTo(bench.stores.postgres, 'resetToken', token)).toEqual(['applied']);
    expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 1, spared: 1 });
    expect(await bench.rows()).toMatchObject({ users: [expect.stringContaining(String(asking._id))] });
  });

  it('is so although copies are paused', async () => {
    await bench.insert('user', [legacyUser()]);
    await bench.setMode('dual-write');
    const { run } = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    await bench.setMode('dual-write', await bench.copyState(), { 'backfill-paused': true });
    expect(await rollbackBackfill(bench, run)).toMatchObject({ removed: 1 });
  });
});
