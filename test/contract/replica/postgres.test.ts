import pg from 'pg';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { openPostgres } from '../../support/stores.ts';
import { eventually } from '../../support/wait.ts';
import { postgresDriver } from '../postgres-driver.ts';
import { replicaContract } from './harness.ts';
import { UNDER, userAt } from './records.ts';

for (const target of inject('postgresServers')) {
  replicaContract(postgresDriver(target), {
    hasForeignKey: true,
    // A check of the table refuses it.
    poison: (user) => ({ ...user, isVerified: false, verifiedWith: 'token' }),
  });
}

describe('an apply that meets a change of authority', async () => {
  const { store, url } = await openPostgres();
  const pool = new pg.Pool({ connectionString: url, max: 3 });
  afterAll(() => pool.end());
  const { replica, books } = store;
  await books.createControl({ epoch: 1, revision: 1, body: null });

  async function waiting(): Promise<number> {
    const { rows } = await pool.query<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return rows[0]?.count ?? 0;
  }

  it('waits for its commit, and then writes nothing', async () => {
    const client = await pool.connect();
    await client.query('begin');
    await client.query('update cutover_control set epoch = 2, revision = revision + 1');
    const user = userAt([1, 1]);
    const applying = replica.apply('user', [user], { ...UNDER, epoch: 1 }).catch((error: unknown) => error);
    await eventually(async () => (await waiting()) === 1);
    await client.query('commit');
    client.release();
    expect(await applying).toMatchObject({ name: 'StaleEpoch', stored: 2 });
    expect((await replica.read('user', [user.id])).found.size).toBe(0);
  });

  it('does not wait for other changes of the control record', async () => {
    const client = await pool.connect();
    await client.query('begin');
    await client.query('update cutover_control set epoch = epoch, revision = revision + 1');
    const user = userAt([1, 1]);
    expect(await replica.apply('user', [user], UNDER)).toEqual([{ kind: 'applied' }]);
    await client.query('rollback');
    client.release();
  });

  it('is waited for by it', async () => {
    const client = await pool.connect();
    await client.query('begin');
    await client.query('select epoch from cutover_control for key share');
    const control = await books.readControl();
    if (control === null) throw new Error('no control record');
    const { epoch, revision, body } = control;
    let flipped = false;
    const flipping = books
      .replaceControl(control, { epoch: epoch + 1, revision: revision + 1, body })
      .then((done) => {
        flipped = done;
      });
    await eventually(async () => (await waiting()) === 1);
    expect(flipped).toBe(false);
    await client.query('commit');
    client.release();
    await flipping;
    expect(flipped).toBe(true);
  });
});
