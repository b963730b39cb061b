/** A restored store serves nothing until an operator says so; then it is a system of its own. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { RestoredStore, readControl } from '../../cutover/control.ts';
import type { Engine } from '../../cutover/engine.ts';
import type { Mode } from '../../cutover/mode.ts';
import { readStatus } from '../../cutover/operator/index.ts';
import { clearRestored } from '../../cutover/snapshot/clear.ts';
import { createSnapshot } from '../../cutover/snapshot/create.ts';
import { restoreSnapshot } from '../../cutover/snapshot/restore.ts';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { connectMongo } from '../../db/mongo/snapshot/client.ts';
import { dumpMongo } from '../../db/mongo/snapshot/dump.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { signUp } from '../contract/fixtures.ts';
import { createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { openEngine } from '../support/engine.ts';
import { newMongoDatabase } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { openWorld, servers } from './snapshot-support.ts';

const world = await openWorld();
const { name } = await createSnapshot(world.context, world);

const restored = (into: 'mongo' | 'postgres', url: string) =>
  restoreSnapshot(world.context, { ...world, name, into, url, replace: null });

/** An empty database that goes when everything that is open on it has been closed. */
async function newPostgres(): Promise<{ readonly url: string; readonly drop: () => Promise<void> }> {
  const database = newDatabaseName();
  const main = servers()[0]?.url ?? '';
  const url = await createDatabase(main, database);
  return { url, drop: () => dropDatabase(main, database) };
}

const contextOf = (stores: { mongo: Store | null; postgres: Store | null }) => ({ ...world.context, stores });

async function servesOnlyOnceCleared(store: Store, mode: Mode): Promise<void> {
  const stores = { mongo: null, postgres: null, [store.name]: store };
  const { engine } = await openEngine(mode, { stores });
  try {
    expect(engine.status()).toMatchObject({
      effective: null,
      problem: expect.stringMatching(/restored from a snapshot/),
    });
    await expect(engine.repository.findUser('x')).rejects.toMatchObject({ reason: 'no-record' });
    await expect(readControl(store)).rejects.toThrow(RestoredStore);
    await expect(readStatus(contextOf(stores), { watchMs: 0 })).rejects.toThrow(RestoredStore);

    const cleared = await clearRestored(contextOf(stores), null);
    expect(cleared).toMatchObject({ store: store.name, snapshot: name, mode, epoch: 4 });
    await serving(engine);
    expect(engine.status()).toMatchObject({ effective: mode, epoch: 4 });
    await signUp(engine.repository);
    expect(await readControl(store)).toMatchObject({ mode, epoch: 4, settings: { 'poll-ms': 50 } });
    const [entry] = await store.books.readLog({ limit: 1, newestFirst: true });
    expect(entry?.body).toMatchObject({ kind: 'created', details: { restoredFrom: name } });
    await expect(clearRestored(contextOf(stores), null)).rejects.toMatchObject({ reason: 'not-restored' });
  } finally {
    await engine.stop(0);
  }
}

const serving = (engine: Engine) => eventually(() => expect(engine.status().standing).toBe('serving'));

describe('an instance that finds a restored store', () => {
  test('MongoDB: serves nothing, says so, and begins once it is cleared', async () => {
    const url = newMongoDatabase();
    await restored('mongo', url);
    const store = await openMongoStore({ url, timeoutMs: 10_000, emailKeyPass: false });
    onTestFinished(() => store.close());
    await servesOnlyOnceCleared(store, 'mongo-only');
  });

  test('PostgreSQL: serves nothing, says so, and begins once it is cleared', async () => {
    const { url, drop } = await newPostgres();
    await restored('postgres', url);
    const store = await openPostgresStore({ url });
    try {
      await servesOnlyOnceCleared(store, 'postgres-only');
    } finally {
      await store.close();
      await drop();
    }
  });
});

test('a dump that is not of one moment is fenced above what was announced while it was made', async () => {
  const url = newMongoDatabase();
  const store = await openMongoStore({ url, timeoutMs: 10_000, emailKeyPass: false });
  onTestFinished(() => store.close());
  await store.migrate(() => {});
  await store.books.createControl({ epoch: 3, revision: 1, body: {} });
  const session = await connectMongo(url);
  onTestFinished(() => session.close());
  const fences: number[] = [];
  const files: string[] = [];
  const dump = await dumpMongo(
    session,
    DEFAULT_CODEC,
    async (file, chunks) => {
      files.push(file);
      for await (const _bytes of chunks);
      if (file !== 'users.bson') return;
      const entry = await store.books.readControl();
      if (entry !== null) await store.books.replaceControl(entry, { ...entry, epoch: 5, revision: 9 });
    },
    (_control, epoch) => {
      fences.push(epoch);
      return {};
    },
  );
  expect(files).toContain('users.bson');
  expect(dump.control).toMatchObject({ epoch: 3 });
  expect(fences).toEqual([dump.inconsistent === null ? 3 : 5]);
});

test('a restored store is not cleared beside a system, nor before its restore has ended', async () => {
  const url = newMongoDatabase();
  await restored('mongo', url);
  const store = await openMongoStore({ url, timeoutMs: 10_000, emailKeyPass: false });
  onTestFinished(() => store.close());
  const beside = contextOf({ mongo: store, postgres: world.stores.postgres });
  await expect(clearRestored(beside, 'mongo')).rejects.toMatchObject({ reason: 'in-use' });

  const entry = await store.books.readControl();
  if (entry === null) throw new Error('no fence');
  const { restored: fence } = entry.body as { readonly restored: object };
  await store.books.replaceControl(entry, { ...entry, body: { restored: { ...fence, complete: false } } });
  const alone = contextOf({ mongo: store, postgres: null });
  await expect(clearRestored(alone, 'mongo')).rejects.toMatchObject({ reason: 'unfinished' });
});
