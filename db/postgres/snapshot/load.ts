/** A dump back into a database. Its tables come first, then the control record, then what they hold. */
import { devNull } from 'node:os';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { ControlEntry } from '../../replica.ts';
import { toStoreError } from '../errors.ts';
import { migrate, readMigrations } from '../migrate.ts';
import { presentSchema, serverMajor } from './client.ts';
import { type DumpedTable, type PostgresDump, quoted } from './dump.ts';
import { withLibpq } from './libpq.ts';
import { PSQL, runScript } from './script.ts';
import { type PostgresTools, runTool } from './tools.ts';

const MIGRATION_MS = 600_000;

/** Puts the first control record there; false when there is one. The table may have no key yet. */
export async function putFirstControl(
  client: pg.Client,
  { epoch, revision, body }: ControlEntry,
): Promise<boolean> {
  try {
    await client.query('begin');
    await client.query('lock table cutover_control in exclusive mode');
    const { rowCount } = await client.query(
      `insert into cutover_control (id, epoch, revision, body)
       select 1, $1::int, $2::int, $3::jsonb where not exists (select from cutover_control)`,
      [epoch, revision, JSON.stringify(body)],
    );
    await client.query('commit');
    return rowCount === 1;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw toStoreError(error, 'committing');
  }
}

/** The control record that is there; null: none, or no table for it. */
export async function firstControl(client: pg.Client): Promise<ControlEntry | null> {
  try {
    const there = await client.query<{ name: string | null }>(
      "select to_regclass('cutover_control') as name",
    );
    if (there.rows[0]?.name == null) return null;
    const { rows } = await client.query<ControlEntry>('select epoch, revision, body from cutover_control');
    return rows[0] ?? null;
  } catch (error) {
    throw toStoreError(error, 'uncommitted');
  }
}

/** Replaces the record that this restore put there. */
export async function finishControl(
  client: pg.Client,
  { epoch, revision, body }: ControlEntry,
): Promise<void> {
  try {
    await client.query('update cutover_control set body = $3::jsonb where epoch = $1 and revision = $2', [
      epoch,
      revision,
      JSON.stringify(body),
    ]);
  } catch (error) {
    throw toStoreError(error, 'committing');
  }
}

/** Of these migrations the first that this version lacks, or has otherwise; null when it has them all. */
export async function unknownMigration(wanted: PostgresDump['migrations']): Promise<string | null> {
  const known = new Map((await readMigrations()).map(({ tag, hash }) => [tag, hash]));
  return wanted.find(({ tag, hash }) => known.get(tag) !== hash)?.tag ?? null;
}

export interface LoadOptions {
  readonly url: string;
  readonly client: pg.Client;
  /** Between the tables and their rows. */
  readonly fence: () => Promise<void>;
  readonly signal?: AbortSignal;
}

/** Whether the programs get into the database, before it is emptied for them; changes nothing. Throws `ToolFailed`. */
export async function tryArchive(
  { url, client, signal }: Omit<LoadOptions, 'fence'>,
  tools: PostgresTools,
  path: string,
): Promise<void> {
  const isNewer = await isNewerThan(client, tools);
  await withLibpq(url, ({ dbname, env }) => {
    const options = { env, ...(signal === undefined ? {} : { signal }) };
    const into = `--dbname=${dbname}`;
    if (isNewer) return runTool(tools.psql, [...PSQL, into, '--command=select'], options);
    // Of all that the archive holds an empty list chooses nothing.
    return runTool(tools.restore, [into, '--no-password', `--use-list=${devNull}`, path], options);
  });
}

/** Then what they send has to be adapted to the server. */
const isNewerThan = async (client: pg.Client, { major }: PostgresTools): Promise<boolean> =>
  major > (await serverMajor(client));

/** What pg_dump wrote. Throws `ToolFailed`; what was loaded until then stays. */
export async function loadArchive(
  { url, client, fence, signal }: LoadOptions,
  tools: PostgresTools,
  path: string,
): Promise<void> {
  const isNewer = await isNewerThan(client, tools);
  const known = isNewer ? await settingsOf(client) : new Set<string>();
  // It is there; and an archive of an older version of this program holds those of others too.
  const schema = await presentSchema(client);
  const section = (name: string) => {
    const what = ['--no-owner', '--no-privileges', `--schema=${schema}`, `--section=${name}`, path];
    return withLibpq(url, (to) => {
      const options = { ...to, ...(signal === undefined ? {} : { signal }) };
      if (isNewer) return runScript(tools, what, { ...options, known });
      const how = [`--dbname=${to.dbname}`, '--no-password', '--single-transaction', '--exit-on-error'];
      return runTool(tools.restore, [...how, ...what], options);
    });
  };
  await section('pre-data');
  await fence();
  await section('data');
  await section('post-data');
}

async function settingsOf(client: pg.Client): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ name: string }>('select name from pg_settings');
  return new Set(rows.map(({ name }) => name));
}

/** What COPY wrote, into the tables of the same migrations; all rows or none. */
export async function loadCopies(
  { url, client, fence, signal }: LoadOptions,
  { migrations, tables }: Pick<PostgresDump, 'migrations' | 'tables'>,
  open: (file: string) => AsyncIterable<Uint8Array>,
): Promise<void> {
  const tags = new Set(migrations.map(({ tag }) => tag));
  await migrate({ url, tags, connectTimeoutMs: MIGRATION_MS, migrationTimeoutMs: MIGRATION_MS }, () => {});
  await fence();
  try {
    await client.query('begin');
    for (const table of inOrder(tables)) {
      signal?.throwIfAborted();
      const list = table.columns.map(quoted).join(', ');
      await pipeline(
        open(`${table.name}.copy`),
        client.query(copyFrom(`copy ${quoted(table.name)} (${list}) from stdin`)),
      );
    }
    await advanceIdentities(client);
    await client.query('commit');
    await client.query('analyze');
  } catch (error) {
    throw toStoreError(error, 'committing');
  }
}

/** What is referred to first. */
const inOrder = (tables: readonly DumpedTable[]): readonly DumpedTable[] =>
  [...tables].sort((a, b) => Number(b.name === 'users') - Number(a.name === 'users'));

/** Numbers go on after the highest that was loaded. */
async function advanceIdentities(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ table: string; column: string }>(`
    select c.relname as table, a.attname as column
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = current_schema() and c.relkind = 'r' and a.attidentity <> ''`);
  for (const { table, column } of rows) {
    await client.query(
      `select setval(pg_get_serial_sequence($1, $2), max(${quoted(column)})) from ${quoted(table)}
       having max(${quoted(column)}) is not null`,
      [quoted(table), column],
    );
  }
}
