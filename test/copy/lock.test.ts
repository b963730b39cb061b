/** The lock by which one process at a time coordinates copies, and what a copy holds when its machine is gone. */
import { afterAll, expect, it } from 'vitest';
import { openPostgresBulk } from '../../db/postgres/copy/client.ts';
import { createLagProxy } from '../support/lag-proxy.ts';
import { newPostgresDatabase } from '../support/stores.ts';

it('one whose answer is lost says that the store does not answer, and keeps no connection', async () => {
  const url = await newPostgresDatabase();
  const proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
  const bulk = openPostgresBulk({ url: proxy.through(url), poolMax: 1, statementTimeoutMs: 10_000 });
  afterAll(async () => {
    await bulk.close();
    await proxy.close();
  });
  proxy.loseReplies(1, (sent) => sent.includes('pg_try_advisory_lock'));
  const lost = { name: 'StoreUnavailable', outcome: 'none', reason: 'connection-lost' };
  await expect(bulk.lock(7)).rejects.toMatchObject(lost);
  // On the only connection that there may be; the server notices the end of the other one in its own time.
  const lock = await bulk.lock(8);
  expect(lock).not.toBeNull();
  await lock?.release();
  expect(await bulk.query('select 1 as one')).toEqual([{ one: 1 }]);
});

it('what a machine held that is gone without a word, the server lets go before another takes its range up', async () => {
  const bulk = openPostgresBulk({
    url: await newPostgresDatabase(),
    poolMax: 1,
    statementTimeoutMs: 600_000,
  });
  afterAll(() => bulk.close());
  // As the server's system has them for this very connection.
  const [held] = await bulk.query<{ idle: number; interval: number; count: number; unansweredMs: number }>(
    `select current_setting('tcp_keepalives_idle')::int as idle,
       current_setting('tcp_keepalives_interval')::int as interval,
       current_setting('tcp_keepalives_count')::int as count,
       current_setting('tcp_user_timeout')::int as "unansweredMs"`,
  );
  if (held === undefined) throw new Error('no answer');
  expect(held.idle + held.interval * held.count).toBeLessThanOrEqual(12);
  expect(held.unansweredMs).toBeGreaterThan(0);
  expect(held.unansweredMs).toBeLessThanOrEqual(12_000);
});
