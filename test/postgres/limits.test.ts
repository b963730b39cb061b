import pg from 'pg';
import { expect, it } from 'vitest';
import { NOW } from '../contract/fixtures.ts';
import { openPostgres } from '../support/stores.ts';

/** More than one statement of a purge looks at. */
const MANY = 12_000;

it('purge goes through all buckets, whatever their order, and waits for none that is being hit', async () => {
  const { store, url } = await openPostgres();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(
      `insert into rate_limits (key, level, touched_at)
       select md5(n::text), 1, $1::timestamptz - (n % 2) * interval '1 day' from generate_series(1, $2::int) as n`,
      [NOW, MANY],
    );
    await client.query('begin');
    await client.query(`update rate_limits set level = 2, touched_at = $1 where key = md5('1')`, [NOW]);
    expect(await store.limits.purge(NOW)).toBe(MANY / 2 - 1);
    await client.query('commit');
    const { rows } = await client.query('select count(*)::int as kept from rate_limits');
    expect(rows).toEqual([{ kept: MANY / 2 + 1 }]);
  } finally {
    await client.end();
  }
});
