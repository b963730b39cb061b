/** The mappings of docs/mappings, each on documents of its shape, on real servers. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fromLease } from '../../cutover/control.ts';
import { type CopyScope, openBulk, runBackfill, verify } from '../../cutover/copy/index.ts';
import { at, type Codec, type Doc, pathOf } from '../../db/canonical.ts';
import { encodeId } from '../../db/ids.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import { readMapping } from '../../plugins/config/mapping.ts';
import { HASH } from '../mongo/legacy.ts';
import { newMongoDatabase } from '../support/stores.ts';
import { SHAPES, type Shape } from './mapping/shapes.ts';
import { clear, openBench } from './support.ts';

const FOLDER = fileURLToPath(new URL('../../docs/mappings', import.meta.url));
const NOW = new Date('2026-06-07T08:09:10.111Z');
const UNDER = { epoch: 1, expiredBefore: new Date(0) };

it('every example has documents here', () => {
  const files = readdirSync(FOLDER).map((name) => name.replace(/\.json$/, ''));
  expect(SHAPES.map(({ file }) => file).sort()).toEqual(files.sort());
});

describe('documents of the shape', async () => {
  const bench = await openBench();
  const urls = new Map(
    [...SHAPES.map(({ file }) => file), 'new', 'other'].map((name) => [name, newMongoDatabase()]),
  );

  /** The shared PostgreSQL, and a MongoDB database of its own under this mapping. */
  async function under(name: string, codec: Codec): Promise<CopyScope> {
    await clear(bench);
    const url = urls.get(name) ?? '';
    const bulk = openBulk({ mongoUrl: url, postgresUrl: bench.urls.postgres, codec });
    const mongo = await openMongoStore({ url, codec, timeoutMs: 10_000, emailKeyPass: false });
    onTestFinished(async () => void (await Promise.all([bulk.close(), mongo.close()])));
    await mongo.migrate(() => {});
    await bench.setMode('dual-write');
    const record = await bench.stores.postgres.books.readControl();
    if (record === null) throw new Error('no control record');
    await mongo.books.createControl(record);
    const stores = { mongo, postgres: bench.stores.postgres };
    return { ...bench, stores, mongo: bulk.mongo, postgres: bulk.postgres };
  }

  const insert = async ({ mongo }: CopyScope, { users, verificationTokens = [] }: Shape) => {
    await mongo.collection('user').insertMany(users.map(({ doc }) => ({ ...doc })) as never[]);
    if (verificationTokens.length > 0)
      await mongo.collection('verificationToken').insertMany([...verificationTokens] as never[]);
  };

  const raw = async ({ mongo }: CopyScope, _id: unknown): Promise<Doc> => {
    const doc = await mongo.collection('user').findOne({ _id } as never);
    if (doc === null) throw new Error('the document is gone');
    return doc;
  };

  function expectHeld(doc: Doc, held: Doc): void {
    for (const [path, value] of Object.entries(held)) {
      const found = at(doc, pathOf(path));
      if (value === 'date') expect([path, found]).toEqual([path, expect.any(Date)]);
      else if (value === 'text') expect([path, typeof found]).toEqual([path, 'string']);
      else if (value === 'number') expect([path, typeof found]).toEqual([path, 'number']);
      else expect([path, found]).toEqual([path, value]);
    }
  }

  it.each(SHAPES)('$file: copied, verified clean, and written where they were read', async (shape) => {
    const codec = readMapping(`${FOLDER}/${shape.file}.json`);
    const scope = await under(shape.file, codec);
    await insert(scope, shape);
    const { mongo, postgres } = scope.stores;
    for (const { doc, record } of shape.users) {
      const read = codec.read('user', doc);
      expect('record' in read ? read.record : read.bad).toMatchObject(record);
    }

    const result = await runBackfill(scope, { from: 'mongo', onBad: 'rollback' });
    const count = shape.users.length + (shape.verificationTokens?.length ?? 0);
    expect(result).toMatchObject({ outcome: 'complete', counts: { read: count, inserted: count, bad: 0 } });
    expect(Object.keys(result.unknownFields).sort()).toEqual([...shape.unknown].sort());
    expect(await verify(scope)).toMatchObject({ clean: true, differences: [] });

    const [first] = shape.users;
    const _id = first?.doc['_id'];
    const userId = encodeId(_id);
    const repository = mongo.at({ epoch: 1, pending: false });
    const byEmail = await repository.findUserByEmail(
      (first?.record.email ?? 'ann@example.org').toUpperCase(),
    );
    expect(byEmail?.id).toBe(userId);
    const found = await repository.findUser(userId);
    if (found === null) throw new Error('no user');
    const { resetGeneration, sessionGeneration } = found;
    expect(
      await repository.verifyEmail({
        userId,
        emailKey: found.emailKey ?? '',
        tokenId: 't',
        now: NOW,
      } as never),
    ).toBe('done');
    const changed = await raw(scope, _id);
    expectHeld(changed, { ...shape.kept, ...shape.verified });
    expect(codec.read('user', changed)).toMatchObject({ record: { isVerified: true, updatedAt: NOW } });

    // The mirror's write of a state that another store is the authority of.
    const record = (await postgres.replica.read('user', [userId])).found.get(userId)?.record;
    if (record === undefined) throw new Error('not copied');
    const written = {
      ...record,
      isVerified: true,
      sessionGeneration: sessionGeneration + 3,
      resetGeneration,
      updatedAt: NOW,
      stamp: { epoch: 1, version: 9 },
    };
    expect(await mongo.replica.apply('user', [written], UNDER)).toEqual([{ kind: 'applied' }]);
    const mirrored = await raw(scope, _id);
    expectHeld(mirrored, { ...shape.kept, ...shape.verified });
    expect(codec.read('user', mirrored)).toMatchObject({ record: written });

    // A password of this service's own goes where the old one was read.
    const withHash = { ...written, passwordHash: HASH, stamp: { epoch: 1, version: 10 } };
    expect(await mongo.replica.apply('user', [withHash], UNDER)).toEqual([{ kind: 'applied' }]);
    expect(codec.read('user', await raw(scope, _id))).toMatchObject({ record: withHash });

    expect(await repository.eraseUser({ userId, sessionGeneration: null, now: NOW })).toBe('done');
    const tombstone = await raw(scope, _id);
    expect(codec.read('user', tombstone)).toMatchObject({ record: { deletedAt: NOW, email: null } });
    expect(JSON.stringify(tombstone)).not.toMatch(/ann@example|\$2[ab]\$|Ghent|Ann/i);
    expectHeld(tombstone, shape.tombstone ?? {});
    expect(await mongo.isMigrated()).toBe(true);
  });

  it('new users are written as the mapping says, and found again', async () => {
    const codec = readMapping(`${FOLDER}/status.json`);
    const scope = await under('new', codec);
    const user = {
      id: 'a'.repeat(24),
      email: 'New@Example.org',
      emailKey: 'new@example.org',
      name: 'New',
      passwordHash: HASH,
      isVerified: false,
      verifiedWith: null,
      sessionGeneration: 0,
      resetGeneration: 0,
      createdAt: NOW,
      updatedAt: NOW,
      deletedAt: null,
      stamp: { epoch: 1, version: 1 },
    };
    expect(await scope.stores.mongo.replica.apply('user', [user], UNDER)).toEqual([{ kind: 'applied' }]);
    const [doc] = await scope.mongo.collection('user').find({}).toArray();
    expect(doc).toMatchObject({
      contact: { email: 'New@Example.org' },
      secret: { hash: HASH },
      status: 'pending',
      enabled: true,
      created_ms: NOW.getTime(),
    });
    expect(codec.read('user', doc ?? {})).toMatchObject({ record: user });
  });

  describe('another mapping', () => {
    it('is refused while an instance lives by it', async () => {
      const scope = await under('other', readMapping(`${FOLDER}/passport.json`));
      const { books } = scope.stores.mongo;
      let isOver = false;
      const beating = (async () => {
        for (let counter = 1; !isOver; counter += 1) {
          const row = { incarnation: 1, epoch: 1, revision: 1_000, ack: null, leaseMs: 60_000 };
          const lease = { instance: 'other', counter, ...row };
          await books.writeLease(
            fromLease(lease, { reaches: ['mongo'], p99Ms: null, mapping: 'f'.repeat(16), host: null }),
          );
          await scope.environment.sleep(20);
        }
      })();
      try {
        const refused = { reason: 'other-mapping', message: expect.stringContaining('other has ffff') };
        await expect(runBackfill(scope, { from: 'mongo', onBad: 'rollback' })).rejects.toMatchObject(refused);
        await expect(verify(scope)).rejects.toMatchObject(refused);
      } finally {
        isOver = true;
        await beating;
        await books.removeLease('other');
      }
    });
  });
});
