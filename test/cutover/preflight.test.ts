/** A first look at real stores: it names what is in the way, and changes nothing. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ObjectId } from 'bson';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openBulk } from '../../cutover/copy/index.ts';
import { originalOf } from '../../cutover/copy/originals.ts';
import { judgeDisk, judgeStandbys } from '../../cutover/preflight/checks.ts';
import { preflight } from '../../cutover/preflight/preflight.ts';
import type { Check, Preflight, PreflightOptions } from '../../cutover/preflight/types.ts';
import { readRaw } from '../../db/mongo/copy/scan.ts';
import { createFindings, putAside } from '../../db/postgres/copy/findings.ts';
import { fakeHash } from '../contract/fixtures.ts';
import { asSuperuser, createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { inside, json } from './cli-program.ts';
import {
  contentOfMongo,
  contentOfPostgres,
  newFolder,
  openWorld,
  PLANTED,
  type SnapshotWorld,
  servers,
  withMongo,
} from './snapshot-support.ts';

const look = (world: SnapshotWorld, options: Partial<PreflightOptions> = {}): Promise<Preflight> =>
  preflight(
    { ...world.context, poolMax: { mongo: 5, postgres: 5 }, retentionMs: 30 * 86_400_000 },
    { instances: 1, sample: null, ...options },
  );

const named = ({ checks }: Preflight, name: string): readonly Check[] =>
  checks.filter((check) => check.name === name);
const blocks = ({ checks }: Preflight): readonly string[] =>
  checks.filter(({ level }) => level === 'block').map(({ name }) => name);

const person = (email: unknown, more: object = {}) => ({
  _id: new ObjectId(),
  email,
  name: PLANTED,
  password: fakeHash('person'),
  isVerified: true,
  createdAt: new Date('2026-01-01'),
  updatedAt: new Date('2026-01-01'),
  ...more,
});

const insert = (world: SnapshotWorld, documents: readonly object[]) =>
  withMongo(world.urls.mongo, (db) => db.collection('users').insertMany([...documents]));

/** Documents that are well, and none of the odd ones. */
async function tidyWorld(): Promise<SnapshotWorld> {
  const world = await openWorld();
  await withMongo(world.urls.mongo, (db) =>
    db.collection('users').deleteMany({ version: { $exists: false } }),
  );
  return world;
}

test.each([
  [{ count: 0, isAwaited: false }, 'ok', /^none now$/],
  [{ count: 2, isAwaited: true }, 'ok', /^2 follow, and commits wait/],
  [
    { count: 1, isAwaited: false },
    'warn',
    /^1 follows, and no commit waits.* may lack what was answered last$/,
  ],
] as const)('standbys: %j is %s', (followers, level, found) => {
  expect(judgeStandbys(followers)).toMatchObject({ level, found: expect.stringMatching(found) });
});

test.each([
  [{ holds: 1_024, free: 5_000, takes: 2_000 }, 'ok', /^holds 1.0 KiB, .* 2.0 KiB more, 4.9 KiB are free$/],
  [{ holds: 1_024, free: 1_999, takes: 2_000 }, 'warn', /2.0 KiB are free/],
  [{ holds: 1_024, free: 650, takes: 2_000 }, 'block', /650 B are free/],
  [{ holds: 1_024, free: null, takes: 2_000 }, 'warn', /what is free is not known/],
  [{ holds: null, free: 5_000, takes: null }, 'warn', /an unknown size more, 4.9 KiB are free/],
])('free space of %o: %s', (space, level, found) => {
  expect(judgeDisk(space)).toMatchObject({ name: 'disk', level, found: expect.stringMatching(found) });
});

describe('preflight', async () => {
  /** For tests that only look. */
  const tidy = await tidyWorld();

  test('finds nothing in the way of tidy stores, and changes nothing', async () => {
    const world = tidy;
    const contents = async () => [
      await contentOfMongo(world.urls.mongo),
      await contentOfPostgres(world.urls.postgres),
    ];
    const before = await contents();
    const found = await look(world);
    expect(blocks(found)).toEqual(
      named(found, 'durability').flatMap(({ level }) => (level === 'block' ? ['durability'] : [])),
    );
    expect(found.documents.map(({ entity, read, bad }) => [entity, read, bad])).toEqual([
      ['user', 2, 0],
      ['verificationToken', 2, 0],
      ['resetToken', 0, 0],
      ['session', 2, 0],
    ]);
    expect(named(found, 'disk').map(({ store }) => store)).toEqual(['mongo', 'postgres']);
    // The server is on this machine, and says where its data is.
    expect(named(found, 'disk')[1]?.found).toMatch(/^holds .*, the move takes about .*B are free$/);
    expect(await contents()).toEqual(before);
  });

  test('tells what would be cleaned, what is bad, what is unknown, and who shares an e-mail; never a value', async () => {
    const world = await tidyWorld();
    await insert(world, [
      person(' Spaced@example.org '),
      person('spaced@Example.org'),
      person('planned@example.org', { plan: `${PLANTED}-gold` }),
      { _id: new ObjectId() },
      person([`${PLANTED}@example.org`, 'second@example.org']),
      person('named@example.org', { _id: `${PLANTED}@example.org` }),
    ]);
    const found = await look(world);
    const [users] = found.documents;
    expect(users).toMatchObject({
      read: 8,
      bad: 2,
      mailboxIds: 1,
      duplicates: 1,
      unknownFields: { plan: 1 },
      cleaned: { 'email: white-space': 1 },
    });
    expect(users?.examples.map(({ field }) => field)).toContain('email');
    expect(blocks(found)).toEqual(expect.arrayContaining(['documents', 'duplicates']));
    expect(found.checks).toContainEqual(
      expect.objectContaining({
        name: 'mailbox-ids',
        level: 'warn',
        found: expect.stringMatching(/: 1 of 8 /),
      }),
    );
    expect(JSON.stringify(found)).not.toContain(PLANTED);
  });

  test('what stays behind by an operator’s word is in nobody’s way, as long as it is what it was', async () => {
    const world = await tidyWorld();
    const [bad, other] = [
      person(['a@example.org', 'b@example.org']),
      person(['c@example.org', 'd@example.org']),
    ];
    const [twin, rival] = [person('twin@example.org'), person('Twin@example.org')];
    await insert(world, [bad, other, twin, rival]);
    const bulk = openBulk({ mongoUrl: world.urls.mongo, postgresUrl: world.urls.postgres });
    onTestFinished(() => bulk.close());
    const decide = async (
      to: 'accepted' | 'dropped',
      ...documents: readonly { readonly _id: ObjectId }[]
    ) => {
      for (const { _id } of documents) {
        const raw = await readRaw(bulk.mongo, 'user', _id);
        if (raw === null) throw new Error('no document');
        const original = originalOf(bulk.mongo.codec, 'user', raw, []);
        await bulk.postgres.transaction((connection) => putAside(connection, 'run', [original], new Date()));
        const how = { to, resolution: 'not worth it', now: new Date(), forgets: to === 'dropped' };
        await createFindings(bulk.postgres).resolve('user', raw.id, how);
      }
    };
    await decide('accepted', bad);
    const half = await look(world);
    expect(half.documents[0]).toMatchObject({ bad: 1, leftBehind: 1, duplicates: 1, undecided: 2 });
    expect(half.documents[0]?.examples.map(({ id }) => id)).toEqual([String(other._id)]);
    await decide('dropped', other, rival);
    const all = await look(world);
    expect(all.documents[0]).toMatchObject({ bad: 0, leftBehind: 2, duplicates: 1, undecided: 0 });
    expect(blocks(all)).not.toEqual(expect.arrayContaining(['documents']));
    expect(blocks(all)).not.toEqual(expect.arrayContaining(['duplicates']));
    // Of a document that was changed since, nobody has decided.
    await withMongo(world.urls.mongo, (db) =>
      db.collection('users').updateOne({ _id: bad._id }, { $set: { name: 'another' } }),
    );
    expect((await look(world)).documents[0]).toMatchObject({ bad: 1, leftBehind: 1 });
  });

  test('names fields of another program that this service uses as its own', async () => {
    const world = await tidyWorld();
    await insert(world, [
      person('own-1@example.org', { version: 3 }),
      person('own-2@example.org', { version: 4, pendingAt: new Date('2024-01-01') }),
      person('own-3@example.org', { pendingAt: null }),
    ]);
    const found = await look(world);
    expect(named(found, 'own-fields').map(({ level, found: what }) => [level, what])).toEqual([
      ['warn', 'users: 2 hold a version of another program, which the first write here goes over'],
      ['warn', 'users: 1 hold a pendingAt of another program, which the first write here goes over'],
    ]);
  });

  test('of a sample, it says how many it looked at', async () => {
    const world = await tidyWorld();
    await insert(
      world,
      Array.from({ length: 300 }, (_, at) => person(`person-${at}@example.org`)),
    );
    const found = await look(world, { sample: 150 });
    expect(found.documents[0]).toMatchObject({ total: 302, duplicates: null });
    expect(found.documents[0]?.read).toBeLessThanOrEqual(150);
    expect(found.documents[0]?.read).toBeGreaterThan(0);
    expect(found.estimate.documents).toBe(306);
    const { durationMs, copyMs } = found.estimate;
    expect(durationMs).toBeGreaterThan(0);
    expect(copyMs).toEqual({ least: (durationMs ?? 0) * 2, most: (durationMs ?? 0) * 4 });
  });

  test('names an index that deletes behind the mirror, and one that refuses', async () => {
    const world = await tidyWorld();
    await withMongo(world.urls.mongo, async (db) => {
      await db
        .collection('password_reset_tokens')
        .createIndex({ createdAt: 1 }, { name: 'createdAt_1', expireAfterSeconds: 3600 });
      await db.collection('users').createIndex({ name: 1 }, { name: 'name_1', unique: true });
    });
    const found = await look(world);
    expect(named(found, 'ttl-index')).toEqual([
      expect.objectContaining({
        level: 'block',
        found: expect.stringMatching(/password_reset_tokens\.createdAt_1 on createdAt deletes/),
        remedy: expect.stringMatching(/npm run migrate/),
      }),
    ]);
    expect(named(found, 'unique-index')).toMatchObject([{ found: expect.stringMatching(/users\.name_1/) }]);
  });

  test('names a validator of the old service', async () => {
    const world = await tidyWorld();
    await withMongo(world.urls.mongo, async (db) => {
      await db.collection('users').drop();
      await db.createCollection('users', { validator: { username: { $exists: true } } });
    });
    expect(named(await look(world), 'validator')).toMatchObject([
      {
        level: 'block',
        found: expect.stringMatching(/^users has a validator/),
        remedy: expect.stringMatching(/collMod/),
      },
    ]);
  });

  test('names a collection of nearly that name where one is empty', async () => {
    const world = await tidyWorld();
    await withMongo(world.urls.mongo, async (db) => {
      await db.collection('verification_tokens').deleteMany({});
      for (const name of ['VerificationTokens', 'Users', 'other']) await db.collection(name).insertOne({});
    });
    expect(named(await look(world), 'empty-collection')).toMatchObject([
      {
        level: 'warn',
        found: 'verification_tokens holds no documents, and there is VerificationTokens',
        remedy: expect.stringMatching(/mapping/),
      },
    ]);
  });

  test('counts the connections that the pools may take', async () => {
    const found = await look(tidy, { instances: 1_000 });
    const [connections] = named(found, 'connections').filter(({ store }) => store === 'postgres');
    expect(connections).toMatchObject({
      level: 'block',
      found: expect.stringMatching(/^6000 wanted by 1000 × \(5 \+ 1\)/),
    });
  });

  test('names what the role may not do, the tables that are not there, and settings that no connection has', async () => {
    const database = newDatabaseName();
    const role = `${database}_role`;
    const main = servers()[0]?.url ?? '';
    const url = new URL(await createDatabase(main, database));
    try {
      await asSuperuser(url.href, `create role ${role} login password 'fixture'`);
      await asSuperuser(url.href, 'create table users (id text, seq int generated always as identity)');
      const tools = newFolder();
      for (const tool of ['pg_dump', 'pg_restore']) {
        writeFileSync(join(tools, tool), `#!/bin/sh\necho '${tool} (PostgreSQL) 99.0'\n`, { mode: 0o755 });
      }
      url.username = role;
      url.password = 'fixture';
      const { stores } = tidy.context;
      const sessionProblems = async () => ['an odd setting'];
      const found = await look({
        ...tidy,
        context: {
          ...tidy.context,
          stores: { ...stores, postgres: stores.postgres && { ...stores.postgres, sessionProblems } },
          urls: { ...tidy.urls, postgres: url.href },
          env: { PG_BIN: tools },
        },
      });
      expect(named(found, 'privileges')).toContainEqual(
        expect.objectContaining({
          store: 'postgres',
          level: 'block',
          found: expect.stringMatching(/insert on users/),
        }),
      );
      expect(named(found, 'staging')).toMatchObject([{ level: 'block' }]);
      expect(named(found, 'pg_dump')).toMatchObject([
        { level: 'block', remedy: expect.stringMatching(/roles\.sql/) },
      ]);
      expect(named(found, 'session')).toMatchObject([{ level: 'block', found: 'an odd setting' }]);
    } finally {
      await dropDatabase(main, database);
      await asSuperuser(main, `drop role ${role}`);
    }
  });

  test('ends with 1 when something blocks, and prints a remedy with it', async () => {
    const world = await tidyWorld();
    await insert(world, [{ _id: new ObjectId() }]);
    const open = async () => ({ ...world, env: process.env, configuredMode: null, close: async () => {} });
    const ended = await inside(['preflight', '--full', '--json'], open);
    expect(json('preflight', ended)).toMatchObject({ outcome: 'difference', exitCode: 1, sample: null });
    const shown = await inside(['preflight'], open);
    expect(shown.code).toBe(1);
    expect(shown.out).toMatch(/✗ documents +users: 1 bad/);
    expect(shown.out).toMatch(/remedy: mend them/);
    expect(shown.out + shown.err).not.toContain(PLANTED);
  });
});
