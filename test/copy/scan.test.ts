/** Reading every document there is, whatever its `_id`. */
import { Binary, Code, Decimal128, Double, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp } from 'bson';
import { afterAll, describe, expect, it } from 'vitest';
import { bsonType } from '../../db/bson.ts';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { openMongoBulk, packValue, unpackValue } from '../../db/mongo/copy/client.ts';
import { cutRanges, type IdRange } from '../../db/mongo/copy/ranges.ts';
import { scanRange } from '../../db/mongo/copy/scan.ts';
import { newMongoDatabase } from '../support/stores.ts';

describe('a scan', () => {
  it('has asked for the next batch before it hands this one out', async () => {
    const url = new URL(newMongoDatabase());
    url.searchParams.set('monitorCommands', 'true');
    const bulk = openMongoBulk({ url: url.href, poolMax: 4, timeoutMs: 10_000, codec: DEFAULT_CODEC });
    try {
      await bulk.collection('user').insertMany([1, 2, 3, 4, 5].map((_id) => ({ _id }) as never));
      let asked = 0;
      bulk.db.client.on('commandStarted', ({ commandName }) => {
        if (commandName === 'getMore') asked += 1;
      });
      const seen: (readonly [documents: number, asked: number])[] = [];
      const all: IdRange = { type: 'any', after: null, upTo: null };
      for await (const { documents } of scanRange(bulk, 'user', all, { batchMax: 2 })) {
        seen.push([documents.length, asked]);
      }
      expect(seen).toEqual([
        [2, 1],
        [2, 2],
        [1, 2],
      ]);
    } finally {
      await bulk.close();
    }
  });
});

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
      ...Array.from({ length: 300 }, () => new ObjectId()),
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
    await bulk.collection('user').insertMany(ids.splice(0, 300).map((_id) => ({ _id, a: 1 })) as never[]);
    let accepted = 300;
    for (const _id of ids) {
      try {
        await bulk.collection('user').insertOne({ _id, a: 1 } as never);
        accepted += 1;
      } catch {
        // A server may refuse a kind of id altogether.
      }
    }
    expect(accepted).toBeGreaterThan(370);
    const read = async (range: IdRange): Promise<readonly string[]> => {
      const seen: string[] = [];
      for await (const { documents } of scanRange(bulk, 'user', range, { batchMax: 50 })) {
        seen.push(...documents.map(({ doc }) => packValue(doc?.['_id'])));
      }
      return seen;
    };
    const ranges = await cutRanges(bulk, 'user', 2);
    expect(ranges.filter(({ type }) => type === 'objectId').length).toBe(2);
    const seen = (await Promise.all(ranges.map(read))).flat();
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.length).toBe(accepted);

    const [all, ...others] = await cutRanges(bulk, 'user', 1);
    if (all === undefined) throw new Error('no range');
    expect(others).toEqual([]);
    const ordered = await read(all);
    expect([...ordered].sort()).toEqual([...seen].sort());
    for (const [place, cut] of ordered.entries()) {
      // Between ObjectIds one cut is like another.
      if (place % 100 !== 0 && bsonType(unpackValue(cut)) === 'ObjectId') continue;
      expect(await read({ ...all, upTo: cut }), String(place)).toEqual(ordered.slice(0, place + 1));
      expect(await read({ ...all, after: cut }), String(place)).toEqual(ordered.slice(place + 1));
    }
    const [low, high] = [ordered[20] ?? '', ordered[90] ?? ''];
    expect(await read({ ...all, after: low, upTo: high })).toEqual(ordered.slice(21, 91));
    // As a range that is read anew and cut at its very end leaves it.
    expect(await read({ ...all, after: high, upTo: high })).toEqual([]);
  });
});
