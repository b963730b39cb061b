import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { migrate, readMigrations } from '../../db/postgres/migrate.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { signUp } from '../contract/fixtures.ts';
import { asSuperuser, createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { newPostgresDatabase, TIMEOUT_MS } from '../support/stores.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

async function emptyDatabase(): Promise<string> {
  const name = newDatabaseName();
  const server = inject('postgresUrl');
  const url = await createDatabase(server, name);
  afterAll(() => dropDatabase(server, name));
  return url;
}

async function migrateAt(url: string): Promise<readonly string[]> {
  const lines: string[] = [];
  await migrate({ url, connectTimeoutMs: 10_000, migrationTimeoutMs: 60_000 }, (line) => lines.push(line));
  return lines;
}

describe('migrations', async () => {
  const fresh = await emptyDatabase();
  const migrated = await newPostgresDatabase();

  it('are applied once, in order, when 20 start at once', async () => {
    const reports = await Promise.all(Array.from({ length: 20 }, () => migrateAt(fresh)));
    const tags = (await readMigrations()).map(({ tag }) => tag);
    expect(reports.flat()).toEqual(tags.map((tag) => `postgres: applied migration ${tag}`));
    const journal = await asSuperuser(fresh, 'select tag from schema_migrations order by tag');
    expect(journal).toEqual(tags.map((tag) => ({ tag })));
  });

  it('refuse to go on when one was changed after it had been applied', async () => {
    await asSuperuser(migrated, `update schema_migrations set hash = 'another' where tag like '0000%'`);
    await expect(migrateAt(migrated)).rejects.toThrow(/was changed after/);
  });

  it('miss the unique index on e-mails once it is gone, and make it again', async () => {
    const url = await newPostgresDatabase(undefined, onTestFinished);
    const store = await openPostgresStore({ url, timeoutMs: TIMEOUT_MS });
    onTestFinished(() => store.close());
    expect(await store.isMigrated()).toBe(true);
    await asSuperuser(url, 'drop index users_email_key_unique');
    expect(await store.isMigrated()).toBe(false);
    expect(await store.isMigrated('tables')).toBe(true);
    expect(await migrateAt(url)).toEqual(['postgres: made the unique index users_email_key_unique again']);
    expect(await store.isMigrated()).toBe(true);
  });

  it('say so when rows have come to share a key meanwhile', async () => {
    const url = await newPostgresDatabase(undefined, onTestFinished);
    const store = await openPostgresStore({ url, timeoutMs: TIMEOUT_MS });
    onTestFinished(() => store.close());
    await asSuperuser(url, 'drop index users_email_key_unique');
    const repository = store.at({ epoch: 1, pending: false });
    const first = await signUp(repository);
    const second = await signUp(repository);
    await asSuperuser(url, 'update users set email_key = $1 where id = $2', [
      first.user.emailKey,
      second.user.id,
    ]);
    await expect(migrateAt(url)).rejects.toThrow(/users_email_key_unique is lost.*share/);
    expect(await store.isMigrated()).toBe(false);
  });

  it('leave the limits unlogged and everything else logged', async () => {
    const tables = await asSuperuser(
      migrated,
      `select relname, relpersistence from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
    );
    const unlogged = tables.filter(({ relpersistence }) => relpersistence === 'u');
    expect(unlogged).toEqual([{ relname: 'rate_limits', relpersistence: 'u' }]);
    expect(tables).toHaveLength(16);
  });

  it('have not drifted from the schema source: generating again adds nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'drift-'));
    try {
      const committed = join(root, 'db/postgres/migrations');
      await cp(committed, folder, { recursive: true });
      const schema = join(root, 'db/postgres/schema.ts');
      const kit = join(root, 'node_modules/drizzle-kit/bin.cjs');
      const options = ['--dialect', 'postgresql', '--schema', schema, '--out', relative(root, folder)];
      const { stdout } = await run(process.execPath, [kit, 'generate', ...options], { cwd: root });
      expect(stdout).toContain('No schema changes');
      expect(await readdir(folder)).toEqual(await readdir(committed));
      const journal = 'meta/_journal.json';
      expect(await readFile(join(folder, journal), 'utf8')).toBe(
        await readFile(join(committed, journal), 'utf8'),
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
