import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CompiledQuery, type Kysely, sql } from 'kysely';
import pg from 'pg';
import type { Database } from './database.ts';
import { toStoreError } from './errors.ts';
import { connectionTo } from './session.ts';

const FOLDER = new URL('./migrations/', import.meta.url);
const UNIQUE_VIOLATION = '23505';
/** Who migrates holds this advisory lock: any number no other program uses on this database. */
export const MIGRATION_LOCK = 4_717_026_501;

/** Default privileges would let the run-time role write it, and so forge what was applied. */
const JOURNAL = `
  do $$
  declare grantee text;
  begin
    if to_regclass('schema_migrations') is null then
      create table schema_migrations (
        tag text primary key, hash text not null, applied_at timestamptz not null default now());
      for grantee in
        select distinct acl.grantee::regrole::text from pg_class, aclexplode(relacl) as acl
        where oid = 'schema_migrations'::regclass and acl.grantee not in (0, relowner)
      loop
        execute format('revoke insert, update, delete on schema_migrations from %s', grantee);
      end loop;
    end if;
  end $$`;

interface Migration {
  readonly tag: string;
  readonly hash: string;
  readonly statements: readonly string[];
}

export interface MigrateOptions {
  readonly url: string;
  readonly connectTimeoutMs: number;
  /** Bounds the wait for another migrator, and each statement of a migration. */
  readonly migrationTimeoutMs: number;
  /** Only these, by tag; without it all. */
  readonly tags?: ReadonlySet<string>;
}

/**
 * Applies the generated migrations that are missing, each in a transaction of its own, on a dedicated connection
 * under an advisory lock: whoever comes first works, the others wait and find nothing to do. Unique indexes that were
 * lost are made again. A role that may not create tables can run it too, as long as nothing is missing. Throws when a
 * migration that was applied has changed.
 */
export async function migrate(options: MigrateOptions, report: (line: string) => void): Promise<void> {
  const migrations = await readMigrations();
  const client = await connect(options);
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const applied = await readApplied(client);
    const wanted = migrations.filter(({ tag }) => options.tags?.has(tag) ?? true);
    for (const migration of wanted.filter((each) => !isApplied(each, applied))) {
      await apply(client, migration);
      report(`postgres: applied migration ${migration.tag}`);
    }
    const unique = uniqueIndexes(wanted);
    const { rows } = await client.query<{ name: string }>(LOST, [[...unique.keys()]]);
    for (const { name } of rows) {
      await remake(client, name, unique.get(name) ?? '');
      report(`postgres: made the unique index ${name} again`);
    }
  } catch (error) {
    throw error instanceof pg.DatabaseError ? toStoreError(error, 'committing') : error;
  } finally {
    await client.end();
  }
}

/** The migrations in their order, as `drizzle-kit generate` left them. */
export async function readMigrations(): Promise<readonly Migration[]> {
  const journal: { readonly entries: readonly { readonly tag: string }[] } = JSON.parse(
    await readFile(new URL('meta/_journal.json', FOLDER), 'utf8'),
  );
  return Promise.all(
    journal.entries.map(async ({ tag }) => {
      const text = await readFile(new URL(`${tag}.sql`, FOLDER), 'utf8');
      const hash = createHash('sha256').update(text).digest('hex');
      return { tag, hash, statements: text.split('--> statement-breakpoint') };
    }),
  );
}

/** The unique indexes that these migrations leave, by name, each with the statement that makes it. */
function uniqueIndexes(migrations: readonly Migration[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const statement of migrations.flatMap(({ statements }) => statements)) {
    const made = /^\s*CREATE UNIQUE INDEX "(\w+)"/i.exec(statement)?.[1];
    const dropped = /^\s*DROP INDEX "(\w+)"/i.exec(statement)?.[1];
    if (made !== undefined) found.set(made, statement);
    if (dropped !== undefined) found.delete(dropped);
  }
  return found;
}

/** Those of these indexes that keep nothing apart: gone, not valid, or no longer unique. */
const LOST = `
  select name from unnest($1::text[]) as name
  where not exists (
    select from pg_index where indexrelid = to_regclass(quote_ident(name)) and indisunique and indisvalid)`;

/** In one transaction, so that a failure leaves what was there. */
async function remake(client: pg.Client, name: string, statement: string): Promise<void> {
  await client.query('begin');
  try {
    await client.query(`drop index if exists "${name}"`);
    await client.query(statement);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    const isTaken = error instanceof pg.DatabaseError && error.code === UNIQUE_VIOLATION;
    throw isTaken
      ? new Error(`the unique index ${name} is lost, and cannot be made again: rows share its key`)
      : error;
  }
}

/** Whether every migration has been applied as it stands here, and, unless only tables matter, what has to keep keys apart is there. */
export async function isMigrated(db: Kysely<Database>, only?: 'tables'): Promise<boolean> {
  const exists = await sql<{ name: string | null }>`
    select to_regclass('schema_migrations') as name`.execute(db);
  if (exists.rows[0]?.name === null) return false;
  const { rows } = await sql<{ tag: string; hash: string }>`
    select tag, hash from schema_migrations`.execute(db);
  const applied = new Map(rows.map(({ tag, hash }) => [tag, hash]));
  const migrations = await readMigrations();
  if (!migrations.every(({ tag, hash }) => applied.get(tag) === hash)) return false;
  if (only === 'tables') return true;
  const names = [...uniqueIndexes(migrations).keys()];
  const lost = await db.executeQuery(CompiledQuery.raw(LOST, [names]));
  return lost.rows.length === 0;
}

async function connect(options: MigrateOptions): Promise<pg.Client> {
  const client = new pg.Client({
    ...connectionTo(options.url, {}, { statement_timeout: options.migrationTimeoutMs }),
    application_name: 'auth-migrate',
    connectionTimeoutMillis: options.connectTimeoutMs,
    query_timeout: options.migrationTimeoutMs + 1_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return client;
  } catch (error) {
    throw toStoreError(error, 'connecting');
  }
}

/** Tags and hashes of what was applied before; empty on a new database. */
async function readApplied(client: pg.Client): Promise<ReadonlyMap<string, string>> {
  const exists = await client.query<{ name: string | null }>(
    "select to_regclass('schema_migrations') as name",
  );
  if (exists.rows[0]?.name === null) return new Map();
  const { rows } = await client.query<{ tag: string; hash: string }>(
    'select tag, hash from schema_migrations',
  );
  return new Map(rows.map(({ tag, hash }) => [tag, hash]));
}

function isApplied(migration: Migration, applied: ReadonlyMap<string, string>): boolean {
  const hash = applied.get(migration.tag);
  if (hash !== undefined && hash !== migration.hash) {
    throw new Error(`migration ${migration.tag} was changed after it had been applied`);
  }
  return hash !== undefined;
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('begin');
  try {
    await client.query(JOURNAL);
    for (const statement of migration.statements) await client.query(statement);
    await client.query('insert into schema_migrations (tag, hash) values ($1, $2)', [
      migration.tag,
      migration.hash,
    ]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}
