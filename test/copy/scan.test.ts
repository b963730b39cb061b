/** Reading every document there is, whatever its `_id`. */
import { Binary, Code, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp } from 'bson';
import { afterAll, describe, expect, it } from 'vitest';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { openMongoBulk } from '../../db/mongo/copy/client.ts';
import { cutRanges } from '../../db/mongo/copy/ranges.ts';
import { scanRange } from '../../db/mongo/copy/scan.ts';
import { newMongoDatabase } from '../support/stores.ts';

describe('ranges over _id', () => {
  const bulk = openMongoBulk({
    url: newMongoDatabase(),
    poolMax: 4,
    timeoutMs: 10_000,
    codec: DEFAULT_CODEC,
  });
  afterAll(() => bulk.close());

  it('together hold every document exactly once, of whatever type its _id is', async () => {
    const ids: unknown[] = [
      ...Array.from({ length: 2_500 }, () => new ObjectId()),
      ...Array.from({ length: 40 }, (_, i) => i * 7 - 20),
      new Double(Number.NaN),
      new Double(Number.NEGATIVE_INFINITY),
      new Double(2.5),
      Long.fromString('9007199254740993'),
      Decimal128.fromString('12345678901234567890.5'),
      new Int32(1_000_000),
      ...Array.from({ length: 30 }, (_, i) => `id-${i}`),
      '',
      '~x',
      'é😀',
      { a: 1 },
      { b: new Date(0) },
      new Binary(Buffer.from('abc')),
      true,
      false,
      new Date(0),
      new Date('2024-01-01'),
      new Timestamp({ t: 5, i: 1 }),
      new MinKey(),
      new MaxKey(),
      new Code('1'),
      null,
    ];
    await bulk.collection('user').insertMany(ids.splice(0, 2_500).map((_id) => ({ _id, a: 1 })) as never[]);
    let accepted = 2_500;
    for (const _id of ids) {
      try {
        await bulk.collection('user').insertOne({ _id, a: 1 } as never);
        accepted += 1;
      } catch {
        // A server may refuse a kind of id altogether.
      }
    }
    expect(accepted).toBeGreaterThan(2_570);
    for (const parts of [7]) {
      const seen: string[] = [];
      const ranges = await cutRanges(bulk, 'user', parts);
      expect(ranges.filter(({ type }) => type === 'objectId').length).toBe(2);
      for (const range of ranges) {
        for await (const { documents } of scanRange(bulk, 'user', range, { batchMax: 500 })) {
          seen.push(...documents.map(({ id }) => id));
        }
      }
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen.length).toBe(accepted);
    }
  });
});
