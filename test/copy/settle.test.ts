/** Verify beside a mirror at work: what it reads in one moment and the mirror writes in the next is no difference. */
import { expect, it } from 'vitest';
import { verify } from '../../cutover/copy/index.ts';
import type { PostgresBulk } from '../../db/postgres/copy/client.ts';
import { userAt } from '../contract/replica/records.ts';
import { openBench } from './support.ts';

it('a record that the mirror brings up to date right after its look at it is no difference', async () => {
  const bench = await openBench();
  const { mongo, postgres } = bench.stores;
  await bench.setMode('dual-write');
  const user = userAt([1, 1]);
  const changed = { ...user, name: 'changed', stamp: { epoch: 1, version: 2 } };
  const under = { epoch: 1, expiredBefore: new Date(0) };
  await postgres.replica.apply('user', [user], under);
  await mongo.replica.apply('user', [changed], under);
  const users = bench.mongo.collection('user');
  const mark = { $set: { pendingAt: new Date() } };
  await users.updateOne({}, mark);

  // The look at the one record, when its hash has said that there is something to look at.
  let followed = 0;
  const query: PostgresBulk['query'] = async (sql, values) => {
    const rows = await bench.postgres.query(sql, values);
    if (sql.includes('id = any') && sql.includes('users')) {
      await postgres.replica.apply('user', [changed], under);
      await users.updateOne({}, { $unset: { pendingAt: '' } });
      followed += 1;
    }
    return rows as never;
  };
  const seen = await verify({ ...bench, postgres: { ...bench.postgres, query } });
  expect(followed).toBeGreaterThan(0);
  expect(seen).toMatchObject({ clean: true, differences: [], lagging: 0 });
});
