/**
 * Stores on databases of the calling test file's own; all are closed and dropped after its last test.
 * To be called at the top of a file or a `describe`, since they register `afterAll`, which does nothing within a running test:
 * there give `onTestFinished`.
 */
import { afterAll, inject } from 'vitest';
import { type PostgresServer, startPostgres } from '../../db/embedded/postgres.ts';
import type { Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { createDatabase, dropDatabase, newDatabaseName } from './databases.ts';
import type { PostgresTarget } from './global-setup.ts';

export { newMongoDatabase, openMongo, openMongoStandalone, ownMongo } from './mongo.ts';

export interface OpenedStore {
  readonly store: Store;
  /** Of its database, for looking behind the store's back. */
  readonly url: string;
}

/** Where to register an end: `afterAll` unless within a test (`onTestFinished`). */
export type OnEnd = (end: () => Promise<void>) => void;

export interface OwnServer {
  readonly dataDir?: string;
  readonly port?: number;
  readonly onEnd?: OnEnd;
}

/** A machine may be busy; no test waits for it. */
export const TIMEOUT_MS = 10_000;
const POOL_MAX = 10;

/** A clone of the migrated template. */
export async function openPostgres(target = mainPostgres(), onEnd: OnEnd = afterAll): Promise<OpenedStore> {
  const url = await newPostgresDatabase(target, onEnd);
  const store = await openPostgresStore({
    url,
    poolMax: POOL_MAX,
    statementTimeoutMs: TIMEOUT_MS,
    connectTimeoutMs: TIMEOUT_MS,
    assuranceTimeoutMs: TIMEOUT_MS,
  });
  onEnd(() => store.close());
  return { store, url };
}

/** URL of a database cloned from the migrated template; dropped after the file, when nothing is connected any more. */
export async function newPostgresDatabase(target = mainPostgres(), onEnd: OnEnd = afterAll): Promise<string> {
  const name = newDatabaseName();
  const url = await createDatabase(target.url, name, target.template);
  onEnd(() => dropDatabase(target.url, name));
  return url;
}

/** A server for this file alone, to be frozen, killed or filled at will; kept durable unless told otherwise. */
export async function ownPostgres({ onEnd = afterAll, ...options }: OwnServer = {}): Promise<PostgresServer> {
  const server = await startPostgres({ ...options, log: () => {} });
  onEnd(() => server.stop());
  return server;
}

function mainPostgres(): PostgresTarget {
  const [main] = inject('postgresServers');
  if (main === undefined) throw new Error('no PostgreSQL was started for this run');
  return main;
}
