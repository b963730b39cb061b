/** Finding every difference between the stores, and nothing else; and repairing it. */
import { ObjectId } from 'bson';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  CopyRefused,
  fingerprintFields,
  repair,
  resumeVerify,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { NOTES } from '../../cutover/notes.ts';
import { ENTITIES, type Entity, type RecordOf } from '../../db/records.ts';
import { toDocument } from '../canonical/default.ts';
import { resetAt, sessionAt, userAt, verificationAt } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { asSuperuser } from '../support/databases.ts';
import { clear, neverTouching, openBench } from './support.ts';

const LATER = new Date(Date.now() + 3_600_000);
const TABLES = {
  user: 'users',
  verificationToken: 'verification_tokens',
  resetToken: 'password_reset_tokens',
  session: 'sessions',
} as const;

/** As little different as its type allows. */
function altered(value: unknown): unknown {
  if (value instanceof Date) return new Date(value.getTime() + 1);
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'object' && value !== null) return new ObjectId();
  if (value === 'logout') return 'ended';
  if (typeof value === 'string') return value.slice(0, -1) + (value.endsWith('a') ? 'b' : 'a');
  return value === null ? new Date() : value;
}

describe('verify', async () => {
  const bench = await openBench();
  const { stores } = bench;
  const owner = userAt([1, 3], {
    name: 'Plain "name" \\ \t\n\u0001 é😀 \u2028',
    isVerified: true,
    verifiedWith: 'tok',
  });
  const records: { readonly [E in Entity]: RecordOf[E] } = {
    user: owner,
    verificationToken: verificationAt([1, 2], owner.id, { expiresAt: LATER, mailDueAt: LATER }),
    resetToken: { ...resetAt([1, 2], owner.id), expiresAt: LATER },
    session: sessionAt([1, 2], owner.id, {
      expiresAt: LATER,
      previousTokenHash: 'a'.repeat(64),
      revokedAt: new Date(0),
      revokedReason: 'logout',
      userAgent: 'agent',
    }),
  };

  const sql = (text: string, values: readonly unknown[] = []) =>
    asSuperuser(bench.urls.postgres, text, values);
  const differences = async () => (await verify(bench)).differences;
  /** Waits for nobody for long. */
  const hasty = {
    ...bench,
    environment: {
      ...bench.environment,
      sleep: (ms: number, signal?: AbortSignal) => bench.environment.sleep(ms / 50, signal),
    },
  };

  beforeAll(async () => {
    await clear(bench);
    await bench.setMode('dual-write');
    const others = Array.from({ length: 300 }, () => legacyUser());
    const odd = [3, 'textual', '~tilde', true].map((_id) => legacyUser({ _id }));
    await bench.insert('user', [toDocument('user', owner), ...others, ...odd]);
    for (const entity of ENTITIES) {
      if (entity !== 'user') await bench.insert(entity, [toDocument(entity, records[entity])]);
    }
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
  });

  it('is clean after a copy, and says so to the gates', async () => {
    const result = await verify(bench, { jobs: 3 });
    expect(result).toMatchObject({ clean: true, differing: 0, lagging: 0, excused: 0, authority: 'mongo' });
    expect(result.compared).toBeGreaterThanOrEqual(308);
    const notes = await stores.mongo.books.notes(NOTES.evidence, { limit: 5 });
    expect(notes.find(({ key }) => key === 'verify')?.body).toMatchObject({
      ...{ clean: true, run: result.run, copy: expect.any(String) },
    });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', verifiedAtMs: expect.any(Number) });
  });

  it('is of the copy that it began with, whatever has been copied when it ends', async () => {
    const { run: before } = { run: '', ...(await bench.copyState()) };
    const cut = new AbortController();
    cut.abort();
    const runId = bench.environment.newId();
    await expect(verify(bench, { runId, signal: cut.signal })).rejects.toThrow(CopyRefused);
    const { run } = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    expect(await resumeVerify(bench, runId)).toMatchObject({ clean: true });
    expect(await bench.copyState()).toMatchObject({ run, verifiedAtMs: null });
    const notes = await stores.mongo.books.notes(NOTES.evidence, { limit: 5 });
    expect(notes.find(({ key }) => key === 'verify')?.body).toMatchObject({
      copy: before,
    });
    await verify(bench);
    expect(await bench.copyState()).toMatchObject({ run, verifiedAtMs: expect.any(Number) });
  });

  it('knows every column but the mark', async () => {
    for (const entity of ENTITIES) {
      const columns = await sql(
        `select column_name as name from information_schema.columns where table_schema = 'public' and table_name = $1`,
        [TABLES[entity]],
      );
      const names = columns.map(({ name }) => String(name)).filter((name) => name !== 'pending_at');
      const camel = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
      expect([...fingerprintFields(entity)].sort()).toEqual(names.map(camel).sort());
    }
  });

  const planted: readonly (readonly [Entity, string, string, string])[] = [
    ['user', 'email', `email || 'x'`, 'email'],
    ['user', 'email_key', `email_key || 'x'`, 'emailKey'],
    ['user', 'name', `name || ' '`, 'name'],
    ['user', 'password_hash', `overlay(password_hash placing 'Z' from 20)`, 'passwordHash'],
    ['user', 'is_verified', 'false, verified_with = null', 'isVerified'],
    ['user', 'verified_with', `'toc'`, 'verifiedWith'],
    ['user', 'session_generation', 'session_generation + 1', 'sessionGeneration'],
    ['user', 'reset_generation', 'reset_generation + 1', 'resetGeneration'],
    ['user', 'created_at', `created_at + interval '1 ms'`, 'createdAt'],
    ['user', 'updated_at', `updated_at - interval '1 ms'`, 'updatedAt'],
    [
      'user',
      'deleted_at',
      `now(), email = null, email_key = null, name = '', password_hash = null`,
      'deletedAt',
    ],
    ['user', 'epoch', '0', 'epoch'],
    ['user', 'version', 'version + 1', 'version'],
    ...(['verificationToken', 'resetToken'] as const).flatMap((entity) =>
      (
        [
          ['user_id', `user_id || 'x'`, 'userId'],
          ['token_hash', `overlay(token_hash placing 'abcabc' from 9)`, 'tokenHash'],
          ['nonce', `coalesce(nonce, '') || 'x'`, 'nonce'],
          ['created_at', `created_at + interval '1 ms'`, 'createdAt'],
          ['expires_at', `expires_at + interval '1 ms'`, 'expiresAt'],
          ['mail_due_at', `now()`, 'mailDueAt'],
          ['epoch', '0', 'epoch'],
          ['version', 'version + 1', 'version'],
          ...(entity === 'resetToken' ? [['generation', 'generation + 1', 'generation'] as const] : []),
        ] as const
      ).map(([column, value, field]) => [entity, column, value, field] as const),
    ),
    ['session', 'user_id', `(select id from users where id <> user_id order by id desc limit 1)`, 'userId'],
    ['session', 'generation', 'generation + 1', 'generation'],
    ['session', 'token_hash', `overlay(token_hash placing 'abcabc' from 9)`, 'tokenHash'],
    ['session', 'previous_token_hash', 'null', 'previousTokenHash'],
    ['session', 'rotation', 'rotation + 1', 'rotation'],
    ['session', 'key_id', `key_id || 'x'`, 'keyId'],
    ['session', 'created_at', `created_at + interval '1 ms'`, 'createdAt'],
    ['session', 'rotated_at', `rotated_at + interval '1 ms'`, 'rotatedAt'],
    ['session', 'idle_expires_at', `idle_expires_at + interval '1 ms'`, 'idleExpiresAt'],
    ['session', 'expires_at', `expires_at + interval '1 ms'`, 'expiresAt'],
    ['session', 'revoked_at', 'null, revoked_reason = null', 'revokedAt'],
    ['session', 'revoked_reason', `'ended'`, 'revokedReason'],
    ['session', 'user_agent', `'Agent'`, 'userAgent'],
    ['session', 'epoch', '0', 'epoch'],
    ['session', 'version', 'version + 1', 'version'],
  ];

  /** A record of its own for each column, alike in both stores. */
  async function specimens(): Promise<readonly string[]> {
    const ids: string[] = [];
    for (const [place, [entity]] of planted.entries()) {
      const id = new ObjectId().toHexString();
      const email = entity === 'user' ? { email: `u${place}@x.org`, emailKey: `u${place}@x.org` } : {};
      const record = { ...records[entity], ...email, id } as never;
      for (const store of [stores.mongo, stores.postgres]) {
        await store.replica.apply(entity, [record], { epoch: 9, expiredBefore: new Date(0) });
      }
      ids.push(id);
    }
    return ids;
  }

  async function expectAllFound(ids: readonly string[]): Promise<void> {
    const found = await differences();
    expect(JSON.stringify(found)).not.toMatch(/\$2a|Plain|agent/);
    for (const [place, [entity, , , field]] of planted.entries()) {
      const hit = found.find(({ id }) => id === ids[place]);
      expect(hit, `${entity}.${field}`).toMatchObject({ entity, kind: 'differs' });
      expect(hit?.fields).toContain(field);
    }
    expect(found).toHaveLength(planted.length);
  }

  it('is planted one difference in every column there is, but for the id and the mark', async () => {
    for (const entity of ENTITIES) {
      const columns = await sql(
        `select column_name as name from information_schema.columns where table_schema = 'public' and table_name = $1`,
        [TABLES[entity]],
      );
      const names = columns.map(({ name }) => String(name));
      const changed = planted.filter(([each]) => each === entity).map(([, column]) => column);
      // Another id is another record, which the test for records that one store has is about.
      expect([...changed, 'id', 'pending_at'].sort(), entity).toEqual(names.sort());
    }
  });

  it('hashes ranges first, and reads rows only of those that differ', async () => {
    const read = { hashes: 0, rows: 0 };
    const query: typeof bench.postgres.query = async (text, values) => {
      const rows = await bench.postgres.query(text, values);
      if (text.includes('string_agg')) read.hashes += 1;
      else if (text.includes('json_build_array')) read.rows += rows.length;
      return rows as never;
    };
    // Batches of 50.
    const counted = { ...bench, postgres: { ...bench.postgres, query } };
    const look = async () => {
      Object.assign(read, { hashes: 0, rows: 0 });
      const { clean } = await verify(counted, { rate: 200 });
      return { ...read, clean };
    };
    const before = await look();
    expect(before.clean).toBe(true);
    // The four users whose ids are none of MongoDB's own are compared one by one, from either side.
    expect(before.rows).toBe(8);
    expect(before.hashes).toBeGreaterThan(6);
    await sql(`update users set name = 'planted' where id = $1`, [owner.id]);
    const after = await look();
    expect(after.clean).toBe(false);
    expect(after.rows).toBeGreaterThan(before.rows);
    expect(after.rows).toBeLessThanOrEqual(before.rows + 60);
    await sql(`update users set name = $2 where id = $1`, [owner.id, owner.name]);
  });

  it('finds one difference in each column, in PostgreSQL, with either authority', async () => {
    const ids = await specimens();
    expect(await differences()).toEqual([]);
    for (const [place, [entity, column, value]] of planted.entries()) {
      await sql(`update ${TABLES[entity]} set ${column} = ${value} where id = $1`, [ids[place]]);
    }
    await expectAllFound(ids);
    await bench.setMode('postgres-primary');
    await expectAllFound(ids);
    await bench.setMode('dual-write');
    for (const [place, [entity]] of planted.entries()) {
      await sql(`delete from ${TABLES[entity]} where id = $1`, [ids[place]]);
      await bench.mongo.collection(entity).deleteOne({ _id: new ObjectId(ids[place]) });
    }
  });

  it('finds one difference in each field, in MongoDB, with either authority', async () => {
    const ids = await specimens();
    for (const [place, [entity, , , field]] of planted.entries()) {
      const name =
        field === 'passwordHash'
          ? 'password'
          : field === 'tokenHash' && entity !== 'session'
            ? 'token'
            : field;
      // The key is read from the address.
      const key = name === 'emailKey' ? 'email' : name;
      const _id = new ObjectId(ids[place]);
      const value: unknown = (await bench.mongo.collection(entity).findOne({ _id }))?.[key];
      await bench.mongo.collection(entity).updateOne({ _id }, { $set: { [key]: altered(value) } });
    }
    await expectAllFound(ids);
    await bench.setMode('postgres-primary');
    await expectAllFound(ids);
    await bench.setMode('dual-write');
    for (const [place, [entity]] of planted.entries()) {
      await sql(`delete from ${TABLES[entity]} where id = $1`, [ids[place]]);
      await bench.mongo.collection(entity).deleteOne({ _id: new ObjectId(ids[place]) });
    }
  });

  it.each(ENTITIES)('finds a %s that only one store has, whichever it is', async (entity) => {
    const extra = { ...records[entity], id: new ObjectId().toHexString() };
    const record = entity === 'user' ? { ...extra, email: 'extra@x.org', emailKey: 'extra@x.org' } : extra;
    await stores.postgres.replica.apply(entity, [record as never], { epoch: 9, expiredBefore: new Date(0) });
    expect(await differences()).toEqual([{ entity, id: extra.id, kind: 'only-in-mirror', fields: [] }]);
    await sql(`delete from ${TABLES[entity]} where id = $1`, [extra.id]);
    await bench.insert(entity, [toDocument(entity, record as never)]);
    expect(await differences()).toEqual([{ entity, id: extra.id, kind: 'missing-in-mirror', fields: [] }]);
    await bench.mongo.collection(entity).deleteOne({ _id: new ObjectId(extra.id) });
  });

  it('finds records under ids that are no ObjectIds, both ways', async () => {
    const odd = userAt([1, 1], { id: 'odd-one' });
    await stores.postgres.replica.apply('user', [odd], { epoch: 9, expiredBefore: new Date(0) });
    await sql(`update users set name = 'other' where id = 'textual'`);
    expect(await differences()).toEqual([
      { entity: 'user', id: 'odd-one', kind: 'only-in-mirror', fields: [] },
      { entity: 'user', id: 'textual', kind: 'differs', fields: ['name'] },
    ]);
    await sql(`delete from users where id = 'odd-one'`);
    await sql(`update users set name = 'Ann' where id = 'textual'`);
  });

  it('excuses what is past retention, pending, put aside, or a session of nobody', async () => {
    const old = verificationAt([1, 1], owner.id, { expiresAt: new Date('2020-01-01') });
    const nobodys = sessionAt([1, 1], new ObjectId().toHexString(), { expiresAt: LATER });
    await bench.insert('verificationToken', [toDocument('verificationToken', old)]);
    await bench.insert('session', [toDocument('session', nobodys)]);
    await bench.mongo
      .collection('user')
      .updateOne(
        { _id: new ObjectId(owner.id) },
        { $set: { name: 'newer', version: 4, pendingAt: new Date() } },
      );
    expect(await verify(hasty)).toMatchObject({ differing: 0, lagging: 1, excused: 1 });
    await bench.setMode('postgres-primary');
    expect(await verify(hasty)).toMatchObject({ differing: 0, lagging: 1, excused: 1 });
    await bench.setMode('dual-write');
    await bench.mongo
      .collection('user')
      .updateOne(
        { _id: new ObjectId(owner.id) },
        { $set: { name: owner.name, version: 3 }, $unset: { pendingAt: '' } },
      );
    await bench.mongo.collection('session').deleteOne({ _id: new ObjectId(nobodys.id) });
  });

  it.each([
    ['as text', { updatedAt: new Date().toISOString() }],
    ['in seconds', { updatedAt: Math.floor(Date.now() / 1_000) }],
    ['in milliseconds', { updatedAt: Date.now() }],
    ['in another field', { updated_at: new Date(), updatedAt: null }],
  ])('of what others wrote since and date %s', async (_how, dated) => {
    const users = bench.mongo.collection('user');
    const doc = await users.findOne({ _id: { $type: 'objectId' }, version: { $exists: false } } as never);
    await users.updateOne({ _id: doc?._id } as never, { $set: { name: 'foreign', ...dated } });
    const since = await verify(bench, { what: { since: new Date(Date.now() - 60_000) } });
    expect(since.differences).toMatchObject([{ id: String(doc?._id), kind: 'differs' }]);
    expect(since.compared).toBeLessThan(20);
    await users.replaceOne({ _id: doc?._id } as never, doc as never);
  });

  it('is not clean, and no evidence, while nobody mirrors what is pending', async () => {
    const users = bench.mongo.collection('user');
    const doc = await users.findOne({ _id: { $type: 'objectId' }, version: { $exists: false } } as never);
    const mark = { epoch: 1, version: 1, pendingAt: new Date() };
    await users.updateOne({ _id: doc?._id } as never, { $set: { name: 'unseen', ...mark } });
    expect(await verify(hasty)).toMatchObject({ clean: false, differing: 0, differences: [], lagging: 1 });
    const evidence = async () =>
      (await stores.mongo.books.notes(NOTES.evidence, { limit: 5 })).find(({ key }) => key === 'verify')
        ?.body;
    expect(await evidence()).toMatchObject({ clean: false });
    // Nor does a stray mark in the mirror hide what differs for good.
    await users.updateOne({ _id: doc?._id } as never, { $unset: { epoch: '', version: '', pendingAt: '' } });
    await sql('update users set pending_at = now() where id = $1', [String(doc?._id)]);
    const { run, clean } = await verify(hasty);
    expect(clean).toBe(false);
    await sql('update users set pending_at = null where id = $1', [String(doc?._id)]);
    expect(await resumeVerify(bench, run)).toMatchObject({
      clean: false,
      lagging: 0,
      differences: [{ id: String(doc?._id), kind: 'differs', fields: ['name'] }],
    });
    await users.replaceOne({ _id: doc?._id } as never, doc as never);
    expect(await verify(bench)).toMatchObject({ clean: true, lagging: 0 });
    expect(await evidence()).toMatchObject({ clean: true });
  });

  it('of what was written since, and of a share', async () => {
    await sql(`update users set updated_at = now(), name = 'since' where id = $1`, [owner.id]);
    const since = await verify(bench, { what: { since: new Date(Date.now() - 60_000) } });
    expect(since.differences).toMatchObject([{ id: owner.id }]);
    expect(since.compared).toBeLessThan(20);
    const all = await verify(bench, { what: { share: 1 } });
    expect(all.differences).toMatchObject([{ id: owner.id }]);
    const half = await verify(bench, { what: { share: 0.5 } });
    expect(half.compared).toBeGreaterThan(0);
    expect(half.compared).toBeLessThan(all.compared);
  });

  it('repairs what it found by touches, and moves aside what only the mirror has', async () => {
    const [first, second] = await sql(
      `select id from users where id ~ '^[0-9a-f]{24}$' and id <> $1 order by id limit 2`,
      [owner.id],
    );
    await sql(`update users set name = 'planted', version = 9 where id = $1`, [first?.['id']]);
    await sql('delete from users where id = $1', [second?.['id']]);
    const extra = userAt([1, 1]);
    await stores.postgres.replica.apply('user', [extra], { epoch: 9, expiredBefore: new Date(0) });
    await verify(bench);
    expect(await repair(bench, { dryRun: true })).toMatchObject({ found: 4, touched: 0, movedAside: 0 });
    const untouchable = await repair(neverTouching(bench));
    expect(untouchable).toMatchObject({ found: 4, touched: 0, movedAside: 1, unrepairable: [{}, {}, {}] });
    expect(await repair(bench)).toMatchObject({ found: 3, touched: 3, movedAside: 0, unrepairable: [] });
    // What the mirror does.
    const marks = await stores.mongo.replica.marks({ limit: 10 });
    const { found } = await stores.mongo.replica.read(
      'user',
      marks.map(({ id }) => id),
    );
    const held = [...found.values()].map(({ record }) => record);
    const outcomes = await stores.postgres.replica.apply('user', held, {
      epoch: 9,
      expiredBefore: new Date(0),
    });
    expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'applied', 'applied']);
    await stores.mongo.replica.clearMarks(marks);
    expect(await verify(bench)).toMatchObject({ clean: true, lagging: 0 });
    expect(await repair(bench)).toMatchObject({ found: 0 });
  });

  it('says so of a document that only the mirror has, and nobody can read', async () => {
    await bench.setMode('postgres-primary');
    const _id = new ObjectId();
    await bench.mongo.collection('user').insertOne({ _id, email: ['a', 'b'] });
    const difference = { entity: 'user', id: String(_id), kind: 'unreadable', fields: [] };
    expect((await verify(bench)).differences).toEqual([difference]);
    expect(await repair(bench)).toMatchObject({ found: 1, movedAside: 0, unrepairable: [difference] });
    await bench.mongo.collection('user').deleteOne({ _id });
    expect(await verify(bench)).toMatchObject({ clean: true });
  });
});
