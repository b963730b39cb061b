/** Both stores with contents of every kind, a system in them, and what they hold to the last byte. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ObjectId } from 'bson';
import mongoose from 'mongoose';
import { afterAll, inject } from 'vitest';
import { fromControl } from '../../cutover/control.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import type { Mode } from '../../cutover/mode.ts';
import type { SnapshotContext } from '../../cutover/snapshot/types.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Store } from '../../db/port.ts';
import { newAccount } from '../contract/fixtures.ts';
import { asSuperuser } from '../support/databases.ts';
import type { PostgresTarget } from '../support/global-setup.ts';
import { newMongoDatabase, type OpenedStore, openPostgres } from '../support/stores.ts';

/** Words of the documents, which no manifest and no output may hold. */
export const PLANTED = 'Planted-Person';

export interface SnapshotWorld {
  readonly context: SnapshotContext;
  readonly stores: { readonly mongo: Store; readonly postgres: Store };
  readonly urls: { readonly mongo: string; readonly postgres: string };
  /** A folder for snapshots, gone after the file. */
  readonly dir: string;
}

export function newFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'snapshot-test-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export const servers = (): readonly PostgresTarget[] => inject('postgresServers');

export async function openWorld(
  target: PostgresTarget | undefined = servers()[0],
  mode: Mode = 'dual-write',
  env: NodeJS.ProcessEnv = process.env,
): Promise<SnapshotWorld> {
  const [mongo, postgres] = await Promise.all([openQuietMongo(), openPostgres(target)]);
  const stores = { mongo: mongo.store, postgres: postgres.store };
  const urls = { mongo: mongo.url, postgres: postgres.url };
  for (const store of [mongo.store, postgres.store]) {
    await store.books.createControl(
      fromControl({
        mode,
        epoch: 3,
        revision: 7,
        transition: null,
        changedBy: null,
        copy: { kind: 'none' },
        settings: { 'poll-ms': 50 },
      }),
    );
    const accounts = store.at({ epoch: 3, pending: true });
    await accounts.createAccount(newAccount({ name: `${PLANTED}\t\\N\n"quoted" 👩‍💻` }));
    await accounts.createAccount(newAccount());
    await store.books.putNote('conflict', 'user/x', { reason: 'a note' }, new Date());
  }
  await insertLegacy(urls.mongo);
  await asSuperuser(
    urls.postgres,
    `insert into cutover_aside (entity, record_id, epoch, version, reason, moved_at, body)
     values ('user', 'aside', 1, 1, 'a test', now(), '{"name": "${PLANTED}"}')`,
  );
  const environment = systemEnvironment();
  const context = {
    stores,
    urls,
    env,
    environment,
    telemetry: SILENT,
    report: () => {},
  };
  return { context, stores, urls, dir: newFolder() };
}

/** One that writes nothing by itself: the others give legacy documents their key meanwhile. */
async function openQuietMongo(): Promise<OpenedStore> {
  const url = newMongoDatabase();
  const store = await openMongoStore({ url, timeoutMs: 10_000, emailKeyPass: false });
  afterAll(() => store.close());
  await store.migrate(() => {});
  return { store, url };
}

const { Decimal128, Long, Double, Int32, Binary, Timestamp, BSONRegExp, MinKey, MaxKey, Code } =
  mongoose.mongo;

/** A value of every type that a document may hold. */
async function insertLegacy(url: string): Promise<void> {
  await withMongo(url, async (db) => {
    await db.collection('users').createIndex({ legacy: 1 }, { name: 'legacy_1', sparse: true });
    await db.collection<{ _id: unknown }>('users').insertMany([
      {
        _id: new ObjectId(),
        email: 'every@example.org',
        legacy: `${PLANTED} \u0000 nul`,
        long: Long.fromString('9007199254740993'),
        double: new Double(1),
        int: new Int32(1),
        decimal: Decimal128.fromString('1.10'),
        bytes: new Binary(Buffer.from([0, 255, 1]), 0),
        uuid: new Binary(Buffer.alloc(16, 7), 4),
        stamp: new Timestamp({ t: 1, i: 2 }),
        pattern: new BSONRegExp('^a', 'i'),
        ends: [new MinKey(), new MaxKey()],
        code: new Code('f()'),
        nothing: null,
        nested: { deep: [{ at: new Date('2020-01-01T00:00:00.123Z') }] },
      },
      { _id: 'a string', email: 'string@example.org' },
      { _id: 12, email: 'number@example.org' },
    ] as never[]);
  });
}

export async function withMongo<T>(url: string, work: (db: mongoose.mongo.Db) => Promise<T>): Promise<T> {
  const client = await mongoose.mongo.MongoClient.connect(url, { enableUtf8Validation: false });
  try {
    return await work(client.db());
  } finally {
    await client.close();
  }
}

type Content = Readonly<Record<string, readonly string[]>>;

/** Every document of every collection as its bytes, and the indexes; the control record and leases left out. */
export function contentOfMongo(url: string): Promise<Content> {
  return withMongo(url, async (db) => {
    const content: Record<string, readonly string[]> = {};
    for (const { name } of await db.listCollections().toArray()) {
      if (name.startsWith('cutover_control') || name.startsWith('cutover_leases') || name === 'limits')
        continue;
      const collection = db.collection(name);
      const raws = (await collection.find({}, { raw: true }).toArray()) as unknown as readonly Buffer[];
      const documents = raws.map((bytes) => Buffer.from(bytes).toString('hex')).sort();
      const indexes = (await collection.listIndexes().toArray()).map(({ ns: _, ...index }) =>
        JSON.stringify(Object.entries(index).sort()),
      );
      content[name] = [...documents, ...indexes.sort()];
    }
    return content;
  });
}

/** Every row of every table as text, and the indexes; the control record and leases left out. */
export async function contentOfPostgres(url: string): Promise<Content> {
  const tables = await asSuperuser<{ name: string }>(
    url,
    "select tablename as name from pg_tables where schemaname = 'public'",
  );
  const content: Record<string, readonly string[]> = {};
  for (const { name } of tables) {
    if (['cutover_control', 'cutover_leases', 'rate_limits', 'schema_migrations'].includes(name)) continue;
    const rows = await asSuperuser<{ line: string }>(url, `select t::text as line from ${name} as t`);
    const indexes = await asSuperuser<{ line: string }>(
      url,
      'select indexdef as line from pg_indexes where schemaname = $1 and tablename = $2',
      ['public', name],
    );
    content[name] = [...rows, ...indexes].map(({ line }) => line).sort();
  }
  return content;
}
