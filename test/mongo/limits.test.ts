import { afterAll, expect, it } from 'vitest';
import type { LimitHit } from '../../db/limits.ts';
import { LIMITS_COLLECTION } from '../../db/mongo/models.ts';
import { freshId, NOW, parallel } from '../contract/fixtures.ts';
import { openMongoAt, withDatabase } from '../support/mongo.ts';
import { openMongo } from '../support/stores.ts';

const { store, url } = await openMongo();
const other = await openMongoAt(url);
afterAll(() => other.close());
const instances = [store, other];

const bucket = (capacity: number): LimitHit => ({
  key: `case:${freshId()}`,
  capacity,
  windowMs: 1e9,
  backoff: null,
});

it('attempts of several instances that one bucket refuses are taken back from the other', async () => {
  const [wide, narrow] = [bucket(100), bucket(4)];
  const verdicts = await parallel(24, (index) => {
    const hits = index % 4 < 2 ? [wide, narrow] : [narrow, wide];
    return (instances[index % 2] ?? store).limits.hit(hits, NOW);
  });
  expect(verdicts.filter((each) => each.every(({ allowed }) => allowed))).toHaveLength(4);
  expect((await store.limits.hit([wide], NOW))[0]?.remaining).toBe(95);
});

it('purge deletes more than one batch, and nothing younger', async () => {
  const { limits } = store;
  const recent = bucket(3);
  await limits.hit([recent], NOW);
  const old = Array.from({ length: 1_050 }, () => ({
    _id: freshId() as never,
    level: 1,
    touchedAt: new Date(NOW.getTime() - 1),
    revision: 1,
  }));
  await withDatabase(url, (db) => db.collection(LIMITS_COLLECTION).insertMany(old));
  expect(await limits.purge(NOW)).toBe(old.length);
  expect((await limits.hit([recent], NOW))[0]?.remaining).toBe(1);
});
