/** However many documents there are, a copy holds only a few batches of them. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ObjectId } from 'bson';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { openBench } from './support.ts';

const CHILD = fileURLToPath(new URL('./memory-child.ts', import.meta.url));
/** Of which the program itself takes half. Of 200,000 documents there is no room for more than some hundred bytes each. */
const HEAP_MIB = 72;
const BATCH = 20_000;
/** All of them together more than the heap has room for beside the program. */
const LARGE = 200;
const LARGE_BYTES = 256 * 1024;
/** Their documents together as well. */
const SHARING = 260;
const SHARING_BYTES = 225_000;

describe('the memory of a copy', { timeout: 300_000 }, async () => {
  // Which takes so many documents in half of the time.
  const bench = await openBench({ mongo: inject('mongoStandaloneUrl') });
  const users = bench.mongo.collection('user');
  let there = 0;
  beforeAll(async () => {
    await bench.setMode('dual-write');
    // Of no use to a copy, and most of the time that inserting takes.
    await users.dropIndexes();
  });

  it.each([20_000, 200_000])('is enough for %i documents', async (count) => {
    const before = there;
    for (; there < count; there += BATCH) {
      const documents = Array.from({ length: BATCH }, (_, place) => userOf(there + place));
      await users.insertMany(documents, { ordered: false, writeConcern: { w: 1 } });
    }
    const { stdout } = await promisify(execFile)(process.execPath, [
      `--max-old-space-size=${HEAP_MIB}`,
      CHILD,
      bench.urls.mongo,
      bench.urls.postgres,
    ]);
    const result: unknown = JSON.parse(stdout);
    expect(result).toEqual({ read: count, inserted: count - before, clean: true, compared: count });
  });

  it('is enough for large documents, and for an address that hundreds share', async () => {
    await bench.postgres.query('truncate users cascade');
    await users.deleteMany({});
    const picture = 'x'.repeat(LARGE_BYTES);
    for (let place = 0; place < LARGE; place += 50) {
      const batch = Array.from({ length: 50 }, (_, i) => ({ ...userOf(place + i), picture }));
      await users.insertMany(batch, { ordered: false, writeConcern: { w: 1 } });
    }
    const sharing = Array.from({ length: SHARING }, (_, i) => ({
      ...userOf(i),
      email: 'none@none.example',
      picture: 'x'.repeat(SHARING_BYTES),
    }));
    await users.insertMany(sharing, { ordered: false, writeConcern: { w: 1 } });
    await users.insertOne({ ...userOf(0), email: 'long@example.com', name: 'x'.repeat(1_000_000) } as never);
    const { stdout } = await promisify(execFile)(process.execPath, [
      `--max-old-space-size=${HEAP_MIB}`,
      CHILD,
      bench.urls.mongo,
      bench.urls.postgres,
      'quarantine',
    ]);
    const count = LARGE + SHARING + 1;
    const result: unknown = JSON.parse(stdout);
    expect(result).toEqual({ read: count, inserted: LARGE, clean: true, compared: count });
  });
});

const userOf = (place: number): object => ({
  _id: new ObjectId(),
  email: `person.${place}@example.com`,
  password: '$2b$12$abcdefghijklmnopqrstuuJ0lq4N6o1WmSlmCZ9Jqk3uV0y8pZ7Zu',
  isVerified: true,
});
