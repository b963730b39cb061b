/** What a copy needs besides rows, statistics and a dump, by the roles of roles.sql, on every server version. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { openPostgresBulk } from '../../db/postgres/copy/client.ts';
import { analyzeLive } from '../../db/postgres/copy/merge.ts';
import { migrate } from '../../db/postgres/migrate.ts';
import { connectPostgres } from '../../db/postgres/snapshot/client.ts';
import { dumpPostgres } from '../../db/postgres/snapshot/dump.ts';
import { inspectPostgres } from '../../db/postgres/snapshot/inspect.ts';
import { findTools } from '../../db/postgres/snapshot/tools.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { newAccount } from '../contract/fixtures.ts';
import { asSuperuser, createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';

const ROLES = new URL('../../db/postgres/roles.sql', import.meta.url);

/** A migrated database, and its URL under a role. */
async function newDatabase(server: string) {
  const name = newDatabaseName();
  const owner = await createDatabase(server, name);
  onTestFinished(() => dropDatabase(server, name));
  const sql = await readFile(ROLES, 'utf8');
  await asSuperuser(owner, sql);
  await asSuperuser(owner, sql);
  const as = (role: string) => `${owner}?options=${encodeURIComponent(`-c role=${role}`)}`;
  await migrate({ url: as('auth_migration'), connectTimeoutMs: 5_000, migrationTimeoutMs: 30_000 }, () => {});
  return { owner, as };
}

async function inspect(url: string) {
  const client = await connectPostgres(url);
  try {
    return await inspectPostgres(client);
  } finally {
    await client.end();
  }
}

describe.each(inject('postgresServers'))('on PostgreSQL $major', ({ url: server, major }) => {
  it('the backfill role dumps the whole schema, by pg_dump where one fits', async () => {
    const { as } = await newDatabase(server);
    const folder = await mkdtemp(join(tmpdir(), 'dump-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const files: string[] = [];
    const dumped = await dumpPostgres({
      url: as('auth_backfill'),
      env: process.env,
      async write(name, chunks) {
        await writeFile(join(folder, name), chunks);
        files.push(name);
      },
      async writeByPath(name, fill) {
        await fill(join(folder, name));
        files.push(name);
      },
    });
    const fits = (await findTools(process.env, major)) !== null;
    expect(dumped).toMatchObject({ method: fits ? 'pg_dump' : 'copy', pending: 0 });
    expect(files).not.toEqual([]);
    expect(await inspect(as('auth_backfill'))).toMatchObject({ missing: [], mayDump: true });
    expect(await inspect(as('auth_runtime'))).toMatchObject({ missing: [], mayDump: false });
  });

  it('the backfill role gathers statistics, the run-time role is told that it may not', async () => {
    const { owner, as } = await newDatabase(server);
    const store = await openPostgresStore({ url: as('auth_runtime'), timeoutMs: 10_000 });
    await store.at({ epoch: 1, pending: false }).createAccount(newAccount());
    await store.close();
    const isAnalyzed = async () => {
      const text = `select count(*)::int as n from pg_stats where schemaname = 'public' and tablename = 'users'`;
      return ((await asSuperuser<{ n: number }>(owner, text))[0]?.n ?? 0) > 0;
    };
    const analyze = async (role: string) => {
      const bulk = openPostgresBulk({ url: as(role), poolMax: 1, statementTimeoutMs: 10_000 });
      try {
        return await analyzeLive(bulk);
      } finally {
        await bulk.close();
      }
    };
    expect(await inspect(as('auth_runtime'))).toMatchObject({ mayAnalyze: false });
    expect(await analyze('auth_runtime')).toBe(false);
    expect(await isAnalyzed()).toBe(false);
    expect(await inspect(as('auth_backfill'))).toMatchObject({ mayAnalyze: true });
    expect(await analyze('auth_backfill')).toBe(true);
    expect(await isAnalyzed()).toBe(true);
    expect(await analyze('auth_migration')).toBe(true);
    if (major < 17) return;
    await asSuperuser(owner, 'grant maintain on all tables in schema public to auth_runtime');
    expect(await inspect(as('auth_runtime'))).toMatchObject({ mayAnalyze: true });
    expect(await analyze('auth_runtime')).toBe(true);
  });
});
