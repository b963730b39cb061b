import { Kysely, PostgresDialect, sql } from 'kysely';
import { StoreUnavailable } from '../errors.ts';
import type { Store } from '../port.ts';
import { createAssurer } from './assurance.ts';
import type { Database } from './database.ts';
import { createHistory } from './history.ts';
import { createLimits } from './limits.ts';
import { isMigrated, migrate } from './migrate.ts';
import { createPool, type PoolOptions, timesOf } from './pool.ts';
import { poolerProblems } from './pooler.ts';
import { createBooks } from './replica/books.ts';
import { createReplica } from './replica/replica.ts';
import { createRepository } from './repository.ts';
import { sessionProblems } from './session.ts';

/** What is left out has a default here, which is not always that of the service. `timeoutMs` is both time-outs where they are not given. */
export type PostgresStoreOptions = Pick<PoolOptions, 'url'> &
  Partial<PoolOptions> & {
    readonly timeoutMs?: number;
    readonly migrationTimeoutMs?: number;
    /** Bound on `assurance`. Default 200 ms. */
    readonly assuranceTimeoutMs?: number;
  };

/**
 * Opens the PostgreSQL store. Connects with the first operation, so it opens while the server is away; until the
 * server is back, every operation throws `StoreUnavailable` within the connect and statement time-outs.
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const { migrationTimeoutMs = 60_000, timeoutMs = 2_000, assuranceTimeoutMs = 200, ...given } = options;
  const pool: PoolOptions = {
    poolMax: 10,
    statementTimeoutMs: timeoutMs,
    connectTimeoutMs: timeoutMs,
    ...given,
  };
  const opened = createPool(pool);
  const assurer = createAssurer(pool.url, assuranceTimeoutMs);
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: opened }) });

  return {
    name: 'postgres',
    at: (context) => createRepository({ db, context }),
    limits: createLimits(db),
    replica: createReplica(db),
    books: createBooks(db),
    changes: null,

    async ping() {
      const { rows } = await sql<{ read_only: string }>`show transaction_read_only`.execute(db);
      const [answer] = Object.values(rows[0] ?? {});
      if (answer !== 'off') throw new StoreUnavailable('postgres', 'none', 'read-only');
    },

    assurance: assurer.ask,
    leftBehind: assurer.leftBehind,
    poolUse: opened.use,

    durabilityProblems: () => durabilityProblems(db),
    async sessionProblems() {
      const two = createPool({ ...pool, poolMax: 2 });
      try {
        return [...(await poolerProblems(two)), ...(await sessionProblems(db, timesOf(pool)))];
      } finally {
        await two.end();
      }
    },

    async describe() {
      const { rows } = await sql<{ server_version: string }>`show server_version`.execute(db);
      return `PostgreSQL ${rows[0]?.server_version.split(' ')[0]}`;
    },

    history: createHistory(db),

    async clock() {
      const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db);
      return rows[0]?.now ?? new Date();
    },

    isMigrated: (only) => isMigrated(db, only),

    migrate: (report) =>
      migrate({ url: pool.url, connectTimeoutMs: pool.connectTimeoutMs, migrationTimeoutMs }, report),

    // Not `db.destroy()`: that leaves the pool open when no query was ever run.
    async close() {
      await Promise.all([opened.end(), assurer.close()]);
    },
  };
}

/** Settings of the server, or of this role or URL, under which a commit may not survive a crash. */
async function durabilityProblems(db: Kysely<Database>): Promise<readonly string[]> {
  const safe: Readonly<Record<string, readonly string[]>> = {
    fsync: ['on'],
    full_page_writes: ['on'],
    synchronous_commit: ['on', 'local', 'remote_apply'],
  };
  const { rows } = await sql<{ name: string; setting: string }>`
    select name, setting from pg_settings where name = any(${Object.keys(safe)}::text[])
  `.execute(db);
  return rows
    .filter(({ name, setting }) => safe[name]?.includes(setting) !== true)
    .map(({ name, setting }) => `PostgreSQL runs with ${name} = ${setting}: set it to on`);
}
