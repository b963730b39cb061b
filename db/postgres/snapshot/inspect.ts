/** What can be known of a PostgreSQL before a move, without changing anything. */
import { statfs } from 'node:fs/promises';
import type pg from 'pg';
import { toStoreError } from '../errors.ts';
import { type AnalyzeWay, analyzeWay } from '../statistics.ts';
import { serverMajor, tablesOf } from './client.ts';

export interface PostgresFacts {
  readonly major: number;
  readonly encoding: string;
  readonly isWritable: boolean;
  readonly mayCreateTables: boolean;
  /** `insert on users` and the like, of the tables that are there. */
  readonly missing: readonly string[];
  /** Schemas the bulk copy makes its tables in, and may not. */
  readonly forbidden: readonly string[];
  /** Whether the statistics of the live tables can be brought up to date after a copy. */
  readonly mayAnalyze: boolean;
  /** Whether pg_dump may read all that it asks for besides the tables: where each sequence stands. */
  readonly mayDump: boolean;
  /** Connections: what the server gives to such users, and what is in use. */
  readonly connections: { readonly max: number; readonly used: number };
  /** How long a transaction may take, as the server says it; `0`: as long as it likes. */
  readonly transactionTimeout: string;
  readonly databaseBytes: number;
  /** Free where its data folder is, which this process can only look at on the same machine; null: not known. */
  readonly freeBytes: number | null;
  /** Servers, or programs, that follow its WAL now, and whether a commit waits for any of them. */
  readonly followers: { readonly count: number; readonly isAwaited: boolean };
}

/** Besides that of the live tables. */
const BULK_SCHEMAS = ['staging', 'copy_jobs'];
const NEEDED = ['select', 'insert', 'update', 'delete'] as const;

/** Throws `StoreUnavailable`. */
export async function inspectPostgres(client: pg.Client): Promise<PostgresFacts> {
  try {
    const { rows } = await client.query<{
      encoding: string;
      recovering: boolean;
      read_only: string;
      may_create: boolean;
      forbidden: string[];
      may_dump: boolean;
      max: number;
      used: number;
      transaction_timeout: string;
      bytes: string;
      folder: string | null;
      followers: number;
      awaited: boolean;
    }>(
      `
      select
        current_setting('server_encoding') as encoding,
        pg_is_in_recovery() as recovering,
        current_setting('default_transaction_read_only') as read_only,
        coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create,
        array(select name from unnest($1::text[]) as name where not
          case when to_regnamespace(name) is null then has_database_privilege(current_database(), 'create')
          else has_schema_privilege(name, 'create') end) as forbidden,
        not exists (select from pg_sequence join pg_class on pg_class.oid = seqrelid
          where relnamespace = to_regnamespace(quote_ident(current_schema()))
            and not has_sequence_privilege(seqrelid, 'select')) as may_dump,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
          - coalesce(current_setting('reserved_connections', true)::int, 0) as max,
        (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
        coalesce(current_setting('transaction_timeout', true), '0') as transaction_timeout,
        pg_database_size(current_database())::text as bytes,
        case when pg_has_role('pg_read_all_settings', 'usage') then current_setting('data_directory') end as folder,
        (select count(*)::int from pg_stat_replication) as followers,
        current_setting('synchronous_standby_names') <> '' as awaited`,
      [BULK_SCHEMAS],
    );
    const [row] = rows;
    const major = await serverMajor(client);
    const ways = await client.query<{ way: AnalyzeWay }>(analyzeWay(major));
    if (row === undefined) throw new Error('PostgreSQL answered with nothing');
    return {
      major,
      encoding: row.encoding,
      isWritable: !row.recovering && row.read_only === 'off',
      mayCreateTables: row.may_create,
      missing: await missingPrivileges(client),
      forbidden: row.forbidden,
      mayDump: row.may_dump,
      mayAnalyze: ways.rows[0]?.way !== 'none',
      connections: { max: row.max, used: row.used },
      transactionTimeout: row.transaction_timeout,
      databaseBytes: Number(row.bytes),
      followers: { count: row.followers, isAwaited: row.awaited },
      freeBytes: isLocal(client.host) && row.folder !== null ? await freeIn(row.folder) : null,
    };
  } catch (error) {
    throw toStoreError(error, 'uncommitted');
  }
}

/** By its socket, or over this machine's own network. */
const isLocal = (host: string): boolean =>
  host.startsWith('/') || /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host);

async function freeIn(folder: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    // Behind such an address there may be a container with folders of its own.
    return null;
  }
}

async function missingPrivileges(client: pg.Client): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const { name } of await tablesOf(client)) {
    if (name === 'schema_migrations') continue;
    for (const privilege of NEEDED) {
      const { rows } = await client.query<{ may: boolean }>(
        'select has_table_privilege(quote_ident($1)::regclass, $2) as may',
        [name, privilege],
      );
      if (rows[0]?.may !== true) missing.push(`${privilege} on ${name}`);
    }
  }
  return missing;
}
