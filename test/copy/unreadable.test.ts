/** Documents that no driver reads, or whose `_id` none writes back: named in every report, and never passed over. */
import { randomBytes } from 'node:crypto';
import { Binary, ObjectId, serialize } from 'bson';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type CopyScope,
  openBulk,
  repair,
  resolveQuarantine,
  retryQuarantine,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { eraseUser } from '../../cutover/operator/index.ts';
import { preflight } from '../../cutover/preflight/preflight.ts';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { insertBytes } from './raw-mongo.ts';
import { openRewritingProxy } from './rewriting-proxy.ts';
import { clear, openBench } from './support.ts';

/** A field of this name comes out of the server with a type that BSON does not have. */
const TYPELESS = 'typeless';
/** And these bytes are no UTF-8 then. */
const BROKEN = '#~~#';

describe('documents that cannot be read, or asked for', { timeout: 90_000 }, async () => {
  const bench = await openBench();
  const proxy = await openRewritingProxy(bench.urls.mongo, [
    { from: Buffer.from(`\u0002${TYPELESS}\0`), to: Buffer.from(`\u0099${TYPELESS}\0`, 'latin1') },
    { from: Buffer.from(BROKEN), to: Buffer.of(0xed, 0xa0, 0x80, 0xff) },
  ]);
  const bulk = openBulk({ mongoUrl: proxy.url, postgresUrl: bench.urls.postgres });
  const mongo = await openMongoStore({
    url: proxy.url,
    codec: DEFAULT_CODEC,
    timeoutMs: 10_000,
    emailKeyPass: false,
  });
  afterAll(async () => {
    await Promise.all([bulk.close(), mongo.close()]);
    await proxy.close();
  });
  const scope: CopyScope = { ...bench, ...bulk, stores: { ...bench.stores, mongo } };
  beforeEach(async () => {
    await clear(bench);
    await bench.setMode('dual-write');
  });

  /** An `_id` with a field `_bsontype`, which the driver reads and does not write. */
  function unwritable(value: string): Buffer {
    const bytes = Buffer.from(serialize(legacyUser({ _id: { _bsonTYPE: value } })));
    bytes.write('_bsontype', bytes.indexOf('_bsonTYPE'));
    return bytes;
  }
  const insertUnwritable = async (...values: readonly string[]) => {
    const answer = await insertBytes(bench.urls.mongo, 'users', values.map(unwritable));
    expect(answer).toMatchObject({ ok: 1, n: values.length });
  };
  const NAMELESS = expect.stringMatching(/^~\?.*\.[\w-]{22}$/s);

  it('verify reports an _id that the driver reads and cannot write, until it was put aside', async () => {
    await bench.insert('user', [legacyUser()]);
    expect((await runBackfill(scope, { from: 'mongo', onBad: 'rollback' })).outcome).toBe('complete');
    expect(await verify(scope)).toMatchObject({ clean: true });
    await insertUnwritable('x', 'y');
    const found = await verify(scope);
    const difference = { entity: 'user', id: NAMELESS, kind: 'unreadable', fields: ['_id'] };
    expect(found).toMatchObject({ clean: false, differing: 2, excused: 0 });
    expect(found.differences).toEqual([difference, difference]);
    expect(await verify(scope, { what: { share: 1 } })).toMatchObject({ differing: 2 });
    expect(await repair(scope)).toMatchObject({
      found: 2,
      touched: 0,
      unrepairable: [difference, difference],
    });

    const refused = await runBackfill(scope, { from: 'mongo', onBad: 'rollback' });
    expect(refused).toMatchObject({ outcome: 'rolled-back', counts: { bad: 2 } });
    const names = found.differences.map(({ id }) => id);
    expect(refused.bad.map(({ id }) => id)).toEqual(names);
    const copied = await runBackfill(scope, { from: 'mongo', onBad: 'quarantine' });
    expect(copied).toMatchObject({ outcome: 'complete', counts: { bad: 2, quarantined: 2 } });
    expect(copied.bad.map(({ id, field, reason }) => [id, field, reason])).toEqual(
      names.map((id) => [id, '_id', 'unreadable']),
    );
    const held = await bench.postgres.query<{ document: string }>('select document from copy_quarantine');
    expect(new Set(held.map(({ document }) => document)).size).toBe(2);
    expect(await verify(scope)).toMatchObject({ clean: true, excused: 2 });
    expect(await retryQuarantine(scope)).toMatchObject({ moved: [], gone: [], stillBad: [{}, {}] });
    const [first = '', second = ''] = names;
    const matter = { entity: 'user', reason: 'a script left it' } as const;
    expect(await resolveQuarantine(scope, { ...matter, id: first, verb: 'accept' })).toBe(true);
    expect(await resolveQuarantine(scope, { ...matter, id: second, verb: 'drop' })).toBe(true);
    expect(await verify(scope)).toMatchObject({ clean: true, excused: 2 });
    // As what they are they stay where they were put.
    await runBackfill(scope, { from: 'mongo', onBad: 'quarantine' });
    const states = await bench.postgres.query('select state from copy_quarantine order by state');
    expect(states).toEqual([{ state: 'accepted' }, { state: 'dropped' }]);
  });

  it('one that no driver takes apart takes nothing along, and is named by its _id and its field', async () => {
    const [top, nested] = [{ [TYPELESS]: 'x' }, { extra: { [TYPELESS]: 'x' } }].map((given) =>
      legacyUser(given),
    );
    const textual = legacyUser({ _id: 'textual', [TYPELESS]: 'x' });
    const good = Array.from({ length: 130 }, () => legacyUser());
    const bad = [top, nested, textual] as const;
    await bench.insert('user', [...good.slice(0, 70), top, ...good.slice(70), nested, textual] as object[]);
    const expected = bad
      .map((doc) => [String(doc?._id), doc === nested ? 'extra' : TYPELESS, 'undecodable'])
      .sort();

    // Batches of 50, and the broken one amid the second.
    const refused = await runBackfill(scope, { from: 'mongo', onBad: 'rollback', rate: 200, jobs: 1 });
    expect(refused).toMatchObject({ outcome: 'rolled-back', counts: { read: 133, bad: 3, inserted: 0 } });
    expect(refused.bad.map(({ id, field, reason }) => [id, field, reason])).toEqual(expected);
    const look = await preflight(
      {
        ...scope,
        codec: DEFAULT_CODEC,
        report: () => {},
        urls: { ...bench.urls, mongo: proxy.url },
        env: {},
        poolMax: { mongo: 1, postgres: 1 },
      },
      { instances: 1, sample: null, policy: null },
    );
    expect(look.documents[0]).toMatchObject({ read: 133, bad: 3 });
    expect(look.documents[0]?.examples.map(({ id, field, reason }) => [id, field, reason]).sort()).toEqual(
      expected,
    );
    const copied = await runBackfill(scope, { from: 'mongo', onBad: 'quarantine' });
    expect(copied).toMatchObject({ outcome: 'complete', counts: { inserted: 130, quarantined: 3 } });
    expect(await verify(scope)).toMatchObject({ clean: true, excused: 3 });
    expect((await retryQuarantine(scope)).stillBad.map(({ id, fields }) => [id, ...fields]).sort()).toEqual(
      expected.map(([id, field]) => [id, field]),
    );

    await bench.postgres.query('truncate copy_quarantine');
    const found = await verify(scope);
    expect(found.differences).toEqual(
      expected.map(([id]) => ({ entity: 'user', id, kind: 'unreadable', fields: [] })),
    );
    expect(await repair(scope)).toMatchObject({ found: 3, touched: 0, unrepairable: [{}, {}, {}] });
    // Put right in MongoDB, which the name is good for.
    await bench.mongo.collection('user').updateMany({}, { $unset: { [TYPELESS]: 1, extra: 1 } });
    expect((await runBackfill(scope, { from: 'mongo', onBad: 'rollback' })).counts.inserted).toBe(3);
    expect(await verify(scope)).toMatchObject({ clean: true, excused: 0 });
  });

  it('a user whose document no driver takes apart is erased as any other', async () => {
    const [doc, other] = [legacyUser({ [TYPELESS]: 'x', phone: '555' }), legacyUser()];
    await bench.insert('user', [doc, other]);
    const id = String(doc._id);
    const { environment, telemetry, stores } = scope;
    const context = { stores, environment, telemetry, report: () => {} };
    expect(await eraseUser(context, { userId: id })).toMatchObject({ kind: 'done', reasons: [] });
    const left = await bench.documents('user');
    expect(left.filter((text) => text.includes('555') || text.includes(TYPELESS))).toEqual([]);
    const { found } = await stores.mongo.replica.read('user', [id, String(other._id)]);
    const stamp = { epoch: 1, version: 1 };
    const tombstone = { deletedAt: expect.any(Date), createdAt: doc._id.getTimestamp(), email: null, stamp };
    expect(found.get(id)).toMatchObject({ record: tombstone, pendingAt: expect.any(Date) });
    expect(found.get(String(other._id))?.record.deletedAt).toBeNull();
  });

  it('an _id that is too long for any index, or no UTF-8, is bad and told from others like it', async () => {
    const long = randomBytes(3_000).toString('base64');
    const ids = [long, `${long}1`, `${BROKEN}`, new Binary(randomBytes(2_500)), { of: `a${BROKEN}` }];
    await bench.insert('user', [legacyUser(), ...ids.map((_id) => legacyUser({ _id }))]);
    await bench.insert('user', [legacyUser({ _id: new ObjectId(), email: null })]);
    const result = await runBackfill(scope, { from: 'mongo', onBad: 'quarantine' });
    expect(result).toMatchObject({ outcome: 'complete', counts: { read: 7, inserted: 1, quarantined: 6 } });
    const nameless = result.bad.filter(({ field }) => field !== 'email');
    expect(nameless.map(({ id }) => id)).toEqual(ids.map(() => NAMELESS));
    expect(new Set(nameless.map(({ id }) => id)).size).toBe(ids.length);
    expect(nameless.map(({ field, reason }) => `${field}: ${reason}`).sort()).toEqual([
      '_id: invalid-utf8',
      '_id: unreadable',
      'id: too-long',
      'id: too-long',
      'id: too-long',
    ]);
    expect(await verify(scope)).toMatchObject({ clean: true, excused: 6 });
    await bench.postgres.query('truncate copy_quarantine');
    expect((await verify(scope)).differences.map(({ id }) => id).sort()).toEqual(
      [...result.bad].map(({ id }) => id).sort(),
    );
  });
});
