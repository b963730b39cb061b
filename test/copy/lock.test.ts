/** The lock by which one process at a time coordinates copies. */
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
