/** Snapshots of real stores: what comes back is what was there, and what is broken is found. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deserialize } from 'bson';
import { describe, expect, test } from 'vitest';
import { NOTES } from '../../cutover/notes.ts';
import { createSnapshot } from '../../cutover/snapshot/create.ts';
import { listSnapshots, verifySnapshot } from '../../cutover/snapshot/read.ts';
import { restoreSnapshot } from '../../cutover/snapshot/restore.ts';
import type { SnapshotRefused } from '../../cutover/snapshot/types.ts';
import { STORES } from '../../db/errors.ts';
import { findTools } from '../../db/postgres/snapshot/tools.ts';
import { asSuperuser, createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { newMongoDatabase, newPostgresDatabase } from '../support/stores.ts';
import {
  contentOfMongo,
  contentOfPostgres,
  openWorld,
  PLANTED,
  type SnapshotWorld,
  servers,
  withMongo,
} from './snapshot-support.ts';

const filesOf = (path: string): readonly string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** Where it leads stands behind: the driver takes that, and `URL` does not. */
function withoutHost(url: string): string {
  const { username, password, hostname, port, pathname } = new URL(url);
  return `postgres://${username}:${password}@${pathname}?host=${hostname}&port=${port}`;
}

const WITHOUT_TOOLS = { PATH: '' };

/** Each server with COPY, and with the programs that are here where they fit it. */
const ways = await Promise.all(
  servers().map(async (target) => {
    const fit = (await findTools(process.env, target.major)) !== null;
    return [target.server, target, fit ? [WITHOUT_TOOLS, process.env] : [WITHOUT_TOOLS]] as const;
  }),
);

describe.each(ways)('on %s', (_, target, envs) => {
  test.each(envs)('what was there comes back, indexes too (%#)', async (env) => {
    const world = await openWorld(target, 'dual-write', env);
    const urls = { ...world.urls, postgres: withoutHost(world.urls.postgres) };
    const context = { ...world.context, env, urls };
    const expectsTools = (await findTools(env, target.major)) !== null;
    const before = {
      mongo: await contentOfMongo(world.urls.mongo),
      postgres: await contentOfPostgres(world.urls.postgres),
    };
    const { name, manifest } = await createSnapshot(context, world);
    expect(manifest.stores.postgres?.method).toBe(expectsTools ? 'pg_dump' : 'copy');
    expect(manifest.system).toMatchObject({ mode: 'dual-write', epoch: 3, revision: 7, authority: 'mongo' });
    expect(manifest.stores).toMatchObject({ mongo: { pending: 6 }, postgres: { pending: 6 } });

    const into = newMongoDatabase();
    const mongo = await restoreSnapshot(context, { ...world, name, into: 'mongo', url: into, replace: null });
    expect(mongo.altered).toBe(0);
    expect(await contentOfMongo(into)).toEqual(before.mongo);

    const database = newDatabaseName();
    const url = await createDatabase(target.url, database);
    try {
      const there = withoutHost(url);
      await restoreSnapshot(context, { ...world, name, into: 'postgres', url: there, replace: null });
      expect(await contentOfPostgres(url)).toEqual(before.postgres);
      // Numbers go on where they were, constraints hold again.
      await asSuperuser(
        url,
        `insert into cutover_aside (entity, record_id, epoch, version, reason, moved_at, body)
         values ('user', 'next', 1, 1, 'a test', now(), '{}')`,
      );
      await expect(asSuperuser(url, 'insert into users select * from users')).rejects.toThrow(/users_/);
    } finally {
      await dropDatabase(target.url, database);
    }
  });
});

describe.each(ways)('in a database that others use too, on %s', (_, target, envs) => {
  test.each(envs)('theirs is neither read nor in the way (%#)', async (env) => {
    const world = await openWorld(target, 'dual-write', env);
    const context = { ...world.context, env };
    const theirs = 'create schema theirs; create table theirs.things as select 1 as thing';
    await asSuperuser(world.urls.postgres, theirs);
    const before = await contentOfPostgres(world.urls.postgres);
    const { name } = await createSnapshot(context, world);
    const database = newDatabaseName();
    const url = await createDatabase(target.url, database);
    try {
      await asSuperuser(url, theirs);
      await asSuperuser(url, 'insert into theirs.things values (2)');
      await restoreSnapshot(context, { ...world, name, into: 'postgres', url, replace: null });
      expect(await contentOfPostgres(url)).toEqual(before);
      expect(await asSuperuser(url, 'select thing from theirs.things order by 1')).toEqual([
        { thing: 1 },
        { thing: 2 },
      ]);
    } finally {
      await dropDatabase(target.url, database);
    }
  });
});

describe('a snapshot', () => {
  test('is closed to others, checks out, is listed, and leaves evidence in both stores', async () => {
    const world = await openWorld();
    const { name, path } = await createSnapshot(world.context, world);
    expect(await verifySnapshot(world.dir, name)).toMatchObject({ problems: [] });
    for (const file of filesOf(path)) expect(statSync(file).mode & 0o777, file).toBe(0o600);
    for (const folder of [path, join(path, 'mongo'), join(path, 'postgres')]) {
      expect(statSync(folder).mode & 0o777).toBe(0o700);
    }
    const { snapshots, unfinished } = await listSnapshots(world.dir);
    expect(snapshots).toMatchObject([{ name, mode: 'dual-write', stores: ['mongo', 'postgres'] }]);
    expect(unfinished).toEqual([]);
    for (const store of [world.stores.mongo, world.stores.postgres]) {
      const [note] = await store.books.notes(NOTES.evidence, { limit: 10 });
      expect(note).toMatchObject({
        key: 'snapshot',
        body: { clean: true, run: name, copy: null },
      });
    }
    const [entry] = await world.stores.mongo.books.readLog({ limit: 1, newestFirst: true });
    expect(entry?.body).toMatchObject({ kind: 'snapshot', details: { name } });
    expect(readFileSync(join(path, 'manifest.json'), 'utf8')).not.toContain(PLANTED);
  });

  test('has MongoDB as mongodump writes it, with a fence for a control record', async () => {
    const world = await openWorld();
    const { path, manifest } = await createSnapshot(world.context, world);
    const folder = join(path, 'mongo', manifest.stores.mongo?.database ?? '');
    const metadata = JSON.parse(readFileSync(join(folder, 'users.metadata.json'), 'utf8'));
    expect(metadata).toMatchObject({ options: {}, collectionName: 'users', type: 'collection' });
    const legacy = metadata.indexes.find((index: { name: string }) => index.name === 'legacy_1');
    expect(legacy).toMatchObject({ sparse: true, key: { legacy: { $numberInt: '1' } } });
    const bytes = readFileSync(join(folder, 'users.bson'));
    expect(bytes.readInt32LE(0)).toBeLessThan(bytes.length);
    const control = deserialize(readFileSync(join(folder, 'cutover_control.bson')));
    expect(JSON.parse(control['body'])).toHaveProperty('restored.complete', true);
  });

  test('that holds one flipped byte, lost a file or got one, is found out and not restored', async () => {
    const world = await openWorld();
    const { name, path } = await createSnapshot(world.context, world);
    for (const file of filesOf(path)) {
      const whole = readFileSync(file);
      const broken = Buffer.from(whole);
      const at = Math.floor(broken.length / 2);
      broken[at] = (broken[at] ?? 0) ^ 1;
      writeFileSync(file, broken.length === 0 ? Buffer.from('x') : broken);
      expect((await verifySnapshot(world.dir, name)).problems, file).not.toEqual([]);
      writeFileSync(file, whole);
    }
    expect((await verifySnapshot(world.dir, name)).problems).toEqual([]);
    writeFileSync(join(path, 'mongo', 'more.bson'), '');
    expect((await verifySnapshot(world.dir, name)).problems).toEqual([
      { path: 'mongo/more.bson', problem: 'unexpected' },
    ]);
    const url = newMongoDatabase();
    const restoring = restoreSnapshot(world.context, { ...world, name, into: 'mongo', url, replace: null });
    await expect(restoring).rejects.toMatchObject({ reason: 'damaged' } satisfies Partial<SnapshotRefused>);
    expect(await contentOfMongo(url)).toEqual({});
  });

  test('that fails leaves nothing behind', async () => {
    const world = await openWorld();
    const urls = { ...world.urls, postgres: 'postgres://127.0.0.1:9/nowhere' };
    await expect(createSnapshot({ ...world.context, urls }, world)).rejects.toMatchObject({
      name: 'StoreUnavailable',
    });
    expect(readdirSync(world.dir)).toEqual([]);
  });
});

describe('a restore', () => {
  const attempt = (
    world: SnapshotWorld,
    name: string,
    into: 'mongo' | 'postgres',
    url: string,
    confirm?: string,
  ) =>
    restoreSnapshot(world.context, {
      ...world,
      name,
      into,
      url,
      replace: confirm === undefined ? null : { confirm },
    });

  test.each(['dual-write', 'postgres-primary'] as const)(
    'never goes into the authority or the mirror of %s, even to replace it',
    async (mode) => {
      const world = await openWorld(servers()[0], mode);
      const { name } = await createSnapshot(world.context, world);
      for (const into of STORES) {
        const url = world.urls[into];
        const before = await (into === 'mongo' ? contentOfMongo : contentOfPostgres)(url);
        const database = new URL(url).pathname.slice(1);
        await expect(attempt(world, name, into, url, database)).rejects.toMatchObject({ reason: 'in-use' });
        expect(await (into === 'mongo' ? contentOfMongo : contentOfPostgres)(url)).toEqual(before);
      }
    },
  );

  test('brings back documents that are older than a validator, which it switches off and names', async () => {
    const world = await openWorld();
    const validator = { plan: { $exists: true } };
    await withMongo(world.urls.mongo, async (db) => {
      await db.createCollection('plans', { validator });
      await db.collection('plans').insertMany([{ _id: 1 }] as never[], { bypassDocumentValidation: true });
    });
    const before = await contentOfMongo(world.urls.mongo);
    const { name } = await createSnapshot(world.context, world);
    const into = newMongoDatabase();
    const said: string[] = [];
    const context = { ...world.context, report: ({ message }: { message: string }) => said.push(message) };
    await restoreSnapshot(context, { ...world, name, into: 'mongo', url: into, replace: null });
    expect(said).toContain('plans: its validator is switched off');
    expect((await contentOfMongo(into))['plans']).toEqual(before['plans']);
    await withMongo(into, async (db) => {
      const [plans] = await db.listCollections({ name: 'plans' }, { nameOnly: false }).toArray();
      expect(plans?.options).toMatchObject({ validator, validationLevel: 'off' });
    });
  });

  test('goes into a database that holds something only when that is named', async () => {
    const world = await openWorld();
    const { name } = await createSnapshot(world.context, world);
    const mongo = newMongoDatabase();
    await withMongo(mongo, (db) => db.collection('users').insertOne({ mine: true }));
    const postgres = await newPostgresDatabase();
    await asSuperuser(postgres, `insert into rate_limits values ('x', 1, now())`);
    await asSuperuser(postgres, `insert into cutover_log (id, at, body) values ('mine', now(), '{}')`);
    for (const [into, url] of [
      ['mongo', mongo],
      ['postgres', postgres],
    ] as const) {
      await expect(attempt(world, name, into, url)).rejects.toMatchObject({ reason: 'not-empty' });
      await expect(attempt(world, name, into, url, 'other')).rejects.toMatchObject({ reason: 'not-empty' });
      await attempt(world, name, into, url, new URL(url).pathname.slice(1));
    }
    expect(await contentOfMongo(mongo)).not.toHaveProperty('mine');
    expect((await contentOfPostgres(postgres))['cutover_log']?.join()).not.toContain('mine');
  });

  /** Of each kind that a schema may hold besides tables with a journal: how it is made, and dropped. */
  const OTHERS = [
    ['create unlogged table other_u as select 1 as mine', 'drop table other_u'],
    [
      'create table other_p (mine int) partition by range (mine); create table other_d partition of other_p default; insert into other_p values (1)',
      'drop table other_p',
    ],
    ['create view other_v as select 1 as mine', 'drop view other_v'],
    ['create materialized view other_m as select 1 as mine', 'drop materialized view other_m'],
    ['create foreign table other_f (mine int) server away', 'drop foreign table other_f'],
    ['create sequence other_s', 'drop sequence other_s'],
  ] as const;

  test('takes no database for empty that holds something of any kind, and replaces all of it', async () => {
    const world = await openWorld();
    const { name } = await createSnapshot(world.context, world);
    const url = await newPostgresDatabase();
    await asSuperuser(url, 'create foreign data wrapper nothing');
    await asSuperuser(url, 'create server away foreign data wrapper nothing');
    for (const [make, drop] of OTHERS) {
      await asSuperuser(url, make);
      const refused = { reason: 'not-empty' };
      await expect(attempt(world, name, 'postgres', url), make).rejects.toMatchObject(refused);
      await asSuperuser(url, drop);
    }
    for (const [make] of OTHERS) await asSuperuser(url, make);
    await attempt(world, name, 'postgres', url, new URL(url).pathname.slice(1));
    const left = "select relname from pg_class where relname like 'other%'";
    expect(await asSuperuser(url, left)).toEqual([]);
  });

  test('goes into a migrated database that is empty, but for what an extension brought', async () => {
    const world = await openWorld();
    const { name } = await createSnapshot(world.context, world);
    const url = await newPostgresDatabase();
    await asSuperuser(url, 'create extension pg_stat_statements');
    await attempt(world, name, 'postgres', url);
    expect(await contentOfPostgres(url)).toMatchObject({ sessions: expect.any(Array) });
    const there = "select to_regclass('pg_stat_statements')::text as name";
    expect(await asSuperuser(url, there)).toEqual([{ name: 'pg_stat_statements' }]);
  });
});
