/** Two stores of the calling file's own, under a control record, as a copy finds them. */
import { afterAll, onTestFinished } from 'vitest';
import { fromControl, readControl } from '../../cutover/control.ts';
import { type Bulk, type CopyScope, openBulk } from '../../cutover/copy/index.ts';
import { createEngine, type Engine } from '../../cutover/engine.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import type { CopyState, Mode } from '../../cutover/mode.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { UnfaithfulWrite } from '../../db/errors.ts';
import { toExtendedJson } from '../../db/mongo/copy/client.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Store } from '../../db/port.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import type { Replica } from '../../db/replica.ts';
import { asSuperuser } from '../support/databases.ts';
import type { PostgresTarget } from '../support/global-setup.ts';
import { newMongoDatabase, type OpenedStore, openPostgres, TIMEOUT_MS } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';

/** Of MongoDB's documents none is read back as a touch would write it. */
export function neverTouching(scope: CopyScope): CopyScope {
  const { mongo } = scope.stores;
  const replica: Replica = {
    ...mongo.replica,
    touch: (entity, id) => Promise.reject(new UnfaithfulWrite(entity, id, ['name'])),
  };
  return { ...scope, stores: { ...scope.stores, mongo: { ...mongo, replica } } };
}

export const DAY_MS = 86_400_000;

export interface Bench extends CopyScope {
  readonly urls: { readonly mongo: string; readonly postgres: string };
  /** The mode, written into both stores without asking anybody. */
  setMode(mode: Mode, copy?: CopyState, settings?: Record<string, string | number | boolean>): Promise<void>;
  copyState(): Promise<CopyState | undefined>;
  /** Every row of the live tables, as text that differs when any byte does. */
  rows(): Promise<Readonly<Record<string, readonly string[]>>>;
  /** Inserts documents as they are. */
  insert(entity: Entity, documents: readonly object[]): Promise<void>;
  /** Every document, as canonical extended JSON. */
  documents(entity: Entity): Promise<readonly string[]>;
}

const TABLES = ['users', 'verification_tokens', 'password_reset_tokens', 'sessions'];

/** What a test puts there stays as it is: no pass gives it e-mail keys meanwhile. */
async function openQuietMongo(server?: string): Promise<OpenedStore> {
  const url = newMongoDatabase(server);
  const store = await openMongoStore({ url, timeoutMs: TIMEOUT_MS, emailKeyPass: false });
  afterAll(() => store.close());
  await store.migrate(() => {});
  return { store, url };
}

/** Without others, on the servers that all share. Not within a test, after which nothing of it would be closed or dropped. */
export async function openBench(
  on: { readonly mongo?: string; readonly postgres?: PostgresTarget } = {},
): Promise<Bench> {
  const mongo = await openQuietMongo(on.mongo);
  const postgres = await openPostgres(on.postgres);
  const bulk: Bulk = openBulk({ mongoUrl: mongo.url, postgresUrl: postgres.url });
  afterAll(() => bulk.close());
  const stores = { mongo: mongo.store, postgres: postgres.store };
  const urls = { mongo: mongo.url, postgres: postgres.url };
  let epoch = 1;
  let mode: Mode = 'mongo-only';

  async function write(store: Store, given: Parameters<Bench['setMode']>): Promise<void> {
    const [to, copy = { kind: 'none' } as const, settings = {}] = given;
    const before = await readControl(store);
    const entry = fromControl({
      mode: to,
      epoch,
      revision: (before?.revision ?? 0) + 1,
      transition: null,
      changedBy: null,
      copy,
      settings: { 'poll-ms': 50, ...settings },
    });
    if (before === null) await store.books.createControl(entry);
    else await store.books.replaceControl(before, entry);
  }

  return {
    stores,
    mongo: bulk.mongo,
    postgres: bulk.postgres,
    environment: systemEnvironment(),
    telemetry: SILENT,
    retentionMs: 30 * DAY_MS,
    urls,
    async setMode(...given) {
      const isPostgres = (each: Mode) => each.startsWith('postgres');
      if (isPostgres(mode) !== isPostgres(given[0])) epoch += 1;
      mode = given[0];
      await write(stores.mongo, given);
      await write(stores.postgres, given);
    },
    async copyState() {
      const store = mode.startsWith('postgres') ? stores.postgres : stores.mongo;
      return (await readControl(store))?.copy;
    },
    async rows() {
      const all: Record<string, readonly string[]> = {};
      for (const table of TABLES) {
        const rows = await asSuperuser<{ line: string }>(
          urls.postgres,
          `select t::text as line from ${table} as t order by id`,
        );
        all[table] = rows.map(({ line }) => line);
      }
      return all;
    },
    async insert(entity, documents) {
      if (documents.length > 0) await bulk.mongo.collection(entity).insertMany([...documents] as never[]);
    },
    async documents(entity) {
      const raws = await bulk.mongo
        .collection(entity)
        .find({}, { sort: { _id: 1 }, raw: true })
        .toArray();
      return raws.map((bytes) => toExtendedJson(bytes as unknown as Uint8Array));
    },
  };
}

/**
 * An instance of the service's engine beside the copy; it stops after the file. Within a test say so: `afterAll` does nothing
 * there, and the instance would follow the tests to come.
 */
export function serve(
  { stores, environment, telemetry, retentionMs }: Bench,
  onEnd: (stop: () => Promise<void>) => void = afterAll,
): Engine {
  const engine = createEngine({
    stores,
    environment,
    telemetry,
    firstMode: 'dual-write',
    retentionMs,
    storeTimeoutMs: TIMEOUT_MS,
    digestKey: new Uint8Array(32),
  });
  onEnd(() => engine.stop(1_000));
  return engine;
}

/** Within a test: one that serves, until the test has ended. */
export const serving = (bench: Bench): Promise<Engine> => started(serve(bench, onTestFinished));

/** Starts it, and waits until it serves. */
export async function started(engine: Engine): Promise<Engine> {
  await engine.start();
  await eventually(() => engine.status().standing === 'serving', { timeoutMs: 30_000 });
  return engine;
}

/** Empties both stores. */
export async function clear(bench: Bench): Promise<void> {
  await bench.postgres.query(
    'truncate users, verification_tokens, password_reset_tokens, sessions, copy_runs, copy_ranges, copy_findings, copy_quarantine, copy_undo, cutover_notes, cutover_aside',
  );
  for (const entity of ENTITIES) await bench.mongo.collection(entity).deleteMany({});
  await bench.mongo.db.collection('cutover_notes').deleteMany({});
}
