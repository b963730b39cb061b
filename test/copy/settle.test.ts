/** Verify beside a mirror at work: what it reads in one moment and the mirror writes in the next is no difference. */
import { beforeEach, expect, it } from 'vitest';
import { resumeVerify, verify } from '../../cutover/copy/index.ts';
import { settle } from '../../cutover/copy/settle.ts';
import type { PostgresBulk } from '../../db/postgres/copy/client.ts';
import { userAt } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { clear, openBench } from './support.ts';

const bench = await openBench();
beforeEach(() => clear(bench));

it('a record that the mirror brings up to date right after its look at it is no difference', async () => {
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

/** So many that nobody mirrors. */
async function insertMarked(count: number): Promise<readonly string[]> {
  await bench.setMode('dual-write');
  const users = Array.from({ length: count }, () =>
    legacyUser({ epoch: 1, version: 1, pendingAt: new Date() }),
  );
  await bench.insert('user', users);
  return users.map(({ _id }) => String(_id));
}

it('all that lag are waited for together, however many there are', async () => {
  const ids = await insertMarked(450);
  let sleptMs = 0;
  const environment = {
    ...bench.environment,
    sleep: async (ms: number) => {
      sleptMs += ms;
    },
  };
  const settled = await settle({ ...bench, environment }, 'mongo', 'user', ids, { leftMs: 10_000 });
  expect(settled).toMatchObject({ differences: [], stuck: 450, excused: 0 });
  expect([...settled.lagging].sort()).toEqual([...ids].sort());
  expect(sleptMs).toBe(10_250);
});

it('a verify that is interrupted while it waits for them ends, and can be resumed', async () => {
  await insertMarked(1);
  const interrupted = new AbortController();
  const waits: number[] = [];
  const environment: typeof bench.environment = {
    ...bench.environment,
    sleep: async (ms, signal) => {
      if (signal === interrupted.signal) {
        waits.push(ms);
        interrupted.abort();
      }
    },
  };
  const runId = bench.environment.newId();
  const scope = { ...bench, environment };
  const cut = verify(scope, { runId, signal: interrupted.signal });
  await expect(cut).rejects.toMatchObject({ reason: 'stopped' });
  expect(waits).toEqual([250]);
  expect(await resumeVerify(scope, runId)).toMatchObject({ clean: false, lagging: 1, differences: [] });
});
