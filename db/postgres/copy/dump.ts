/** Tables out to files and back in, by COPY: for where no `pg_dump` of the server's version is at hand. */
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import type { PostgresBulk } from './client.ts';

/** In the order in which they can be filled. */
const TABLES = [
  'users',
  'verification_tokens',
  'password_reset_tokens',
  'sessions',
  'cutover_control',
  'cutover_log',
  'cutover_notes',
  'cutover_aside',
  'copy_runs',
  'copy_ranges',
  'copy_findings',
  'copy_quarantine',
  'copy_undo',
] as const;

export interface DumpedTable {
  readonly table: string;
  readonly columns: readonly string[];
  readonly rows: number;
}

/** Every table as it was at one moment. `open` gives where a table's lines go. */
export function dumpTables(
  bulk: PostgresBulk,
  open: (table: string) => Writable,
): Promise<{ readonly tables: readonly DumpedTable[]; readonly migrations: readonly string[] }> {
  return bulk.transaction(async (connection) => {
    await connection.query('set transaction isolation level repeatable read, read only');
    const tables: DumpedTable[] = [];
    for (const table of TABLES) {
      const columns = await columnsOf(bulk, table);
      const lines = connection.query(copyTo(`copy ${table} (${columns.join(', ')}) to stdout`));
      await pipeline(lines, open(table));
      tables.push({ table, columns, rows: lines.rowCount });
    }
    const { rows } = await connection.query<{ tag: string }>(
      'select tag from schema_migrations order by tag',
    );
    return { tables, migrations: rows.map(({ tag }) => tag) };
  });
}

/** Whether a migrated database holds nothing yet. */
export async function isEmptyDatabase(bulk: PostgresBulk): Promise<boolean> {
  const each = TABLES.map((table) => `exists (select from ${table})`);
  const [row] = await bulk.query<{ holds: boolean }>(`select ${each.join(' or ')} as holds`);
  return row?.holds === false;
}

/** Fills the tables of a migrated database, all or none. */
export async function restoreTables(
  bulk: PostgresBulk,
  tables: readonly DumpedTable[],
  open: (table: string) => Readable,
): Promise<void> {
  await bulk.transaction(async (connection) => {
    for (const table of [...TABLES].reverse()) await connection.query(`delete from ${table}`);
    for (const table of TABLES) {
      const dumped = tables.find((each) => each.table === table);
      if (dumped === undefined) continue;
      const known = new Set(await columnsOf(bulk, table));
      const unknown = dumped.columns.find((column) => !known.has(column));
      if (unknown !== undefined)
        throw new RangeError(`the snapshot has a column ${table}.${unknown} that this version has not`);
      const lines = connection.query(copyFrom(`copy ${table} (${dumped.columns.join(', ')}) from stdin`));
      await pipeline(open(table), lines);
    }
    await connection.query(
      `select setval(pg_get_serial_sequence('cutover_aside', 'seq'), coalesce((select max(seq) from cutover_aside), 0) + 1, false)`,
    );
  });
}

async function columnsOf(bulk: PostgresBulk, table: string): Promise<readonly string[]> {
  const rows = await bulk.query<{ name: string }>(
    `select attname as name from pg_attribute
     where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum`,
    [`public.${table}`],
  );
  return rows.map(({ name }) => name);
}
