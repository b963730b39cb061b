/** A database as of one moment: by pg_dump where one fits, otherwise by COPY; both under the same exported snapshot. */
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { toStoreError } from '../errors.ts';
import { connectPostgres, presentSchema, serverMajor, tablesOf } from './client.ts';
import { withLibpq } from './libpq.ts';
import { findTools, runTool } from './tools.ts';

export type WriteFile = (name: string, chunks: AsyncIterable<Uint8Array>) => Promise<void>;
/** Tells which path a program may write to, and takes the file in when it is whole. */
export type WriteByPath = (name: string, fill: (path: string) => Promise<void>) => Promise<void>;

export interface DumpedTable {
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: number;
}

export interface PostgresDump {
  readonly major: number;
  readonly method: 'pg_dump' | 'copy';
  /** The program and its version; null: none was needed. */
  readonly tool: string | null;
  /** As of when, by the server's clock. */
  readonly at: Date;
  readonly migrations: readonly { readonly tag: string; readonly hash: string }[];
  /** With how many rows, by COPY; pg_dump does not say. */
  readonly tables: readonly DumpedTable[];
  /** Marks, as of the same moment. */
  readonly pending: number;
  /** The control record, as of the same moment. */
  readonly control: { readonly epoch: number; readonly revision: number; readonly body: unknown } | null;
}

/** What a running system is in: never part of a backup. The journal of migrations is made by whoever restores. */
const CONTROL_TABLES = ['cutover_control', 'cutover_leases'] as const;
const JOURNAL = 'schema_migrations';
const MARKED = ['users', 'verification_tokens', 'password_reset_tokens', 'sessions'] as const;
export const ARCHIVE = 'database.dump';

export interface DumpOptions {
  readonly url: string;
  readonly env: NodeJS.ProcessEnv;
  readonly write: WriteFile;
  readonly writeByPath: WriteByPath;
  readonly signal?: AbortSignal;
}

/** Throws `StoreUnavailable`, `ToolFailed`. */
export async function dumpPostgres(options: DumpOptions): Promise<PostgresDump> {
  const { url, env, signal } = options;
  const client = await connectPostgres(url, signal);
  try {
    const major = await serverMajor(client);
    const tools = await findTools(env, major);
    await client.query('begin transaction isolation level repeatable read read only');
    const { rows } = await client.query<{ snapshot: string; at: Date }>(
      "select pg_export_snapshot() as snapshot, date_trunc('milliseconds', clock_timestamp()) as at",
    );
    const [{ snapshot, at } = { snapshot: '', at: new Date(0) }] = rows;
    const facts = { major, at, ...(await readFacts(client)) };
    const schema = await presentSchema(client);
    if (tools === null) {
      const tables = await copyTables(client, options);
      await client.query('commit');
      return { ...facts, method: 'copy', tool: null, tables };
    }
    const args = [
      '--no-password',
      `--snapshot=${snapshot}`,
      '--format=custom',
      '--no-owner',
      '--no-privileges',
      '--no-unlogged-table-data',
      // Others may have theirs in the same database; staging and jobs are no part of a backup.
      `--schema=${quoted(schema)}`,
      ...CONTROL_TABLES.map((table) => `--exclude-table-data=*.${table}`),
    ];
    const signalled = signal === undefined ? {} : { signal };
    await withLibpq(url, (to) =>
      options.writeByPath(ARCHIVE, (path) =>
        runTool(tools.dump, [`--dbname=${to.dbname}`, ...args, `--file=${path}`], { ...to, ...signalled }),
      ),
    );
    await client.query('commit');
    return { ...facts, method: 'pg_dump', tool: tools.version, tables: [] };
  } catch (error) {
    // Whatever is still being copied is not waited for.
    client.connection.stream.destroy();
    throw toStoreError(error, 'uncommitted');
  } finally {
    await client.end();
  }
}

async function readFacts(
  client: pg.Client,
): Promise<Pick<PostgresDump, 'migrations' | 'pending' | 'control'>> {
  const there = new Set((await tablesOf(client)).map(({ name }) => name));
  const ask = async <R extends pg.QueryResultRow>(table: string, text: string): Promise<readonly R[]> =>
    there.has(table) ? (await client.query<R>(text)).rows : [];
  let pending = 0;
  for (const table of MARKED) {
    const text = `select count(*)::int as count from ${table} where pending_at is not null`;
    pending += (await ask<{ count: number }>(table, text))[0]?.count ?? 0;
  }
  return {
    migrations: await ask(JOURNAL, `select tag, hash from ${JOURNAL} order by tag`),
    pending,
    control:
      (
        await ask<{ epoch: number; revision: number; body: unknown }>(
          'cutover_control',
          'select epoch, revision, body from cutover_control',
        )
      )[0] ?? null,
  };
}

async function copyTables(
  client: pg.Client,
  { write, signal }: DumpOptions,
): Promise<readonly DumpedTable[]> {
  const left: ReadonlySet<string> = new Set([...CONTROL_TABLES, JOURNAL]);
  const dumped: DumpedTable[] = [];
  for (const { name, columns } of await tablesOf(client)) {
    if (left.has(name)) continue;
    const list = columns.map(quoted).join(', ');
    const stream = client.query(copyTo(`copy ${quoted(name)} (${list}) to stdout`));
    signal?.throwIfAborted();
    await write(`${name}.copy`, stream);
    dumped.push({ name, columns, rows: stream.rowCount });
  }
  return dumped;
}

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
