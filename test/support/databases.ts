/** Databases of a test file's own. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { eventually } from './wait.ts';

/** The same server, another database. */
export function databaseUrl(url: string, name: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${name}`;
  return parsed.href;
}

export function newDatabaseName(): string {
  return `test_${randomBytes(6).toString('hex')}`;
}

/** Runs one statement as the superuser. */
export async function asSuperuser<T extends pg.QueryResultRow>(
  url: string,
  sql: string,
  values: readonly unknown[] = [],
): Promise<readonly T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(sql, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** Names are ours, made of letters, digits and underscores. */
export async function createDatabase(url: string, name: string, template = 'template0'): Promise<string> {
  await asSuperuser(url, `create database ${name} template ${template}`);
  return databaseUrl(url, name);
}

/** Less than the 10 s after which a pool of pg lets go of what is idle by itself: one that nobody closed has to be seen. */
const LEAK_PATIENCE = { timeoutMs: 8_000 };

/** Drops it; fails when a connection to it was left open. */
export async function dropDatabase(url: string, name: string): Promise<void> {
  try {
    await eventually(async () => {
      const open = await asSuperuser<{ query: string }>(
        url,
        'select query from pg_stat_activity where datname = $1 and backend_type = $2',
        [name, 'client backend'],
      );
      if (open.length > 0) throw new Error(`leaked PostgreSQL connections, last query: ${open[0]?.query}`);
    }, LEAK_PATIENCE);
  } finally {
    await asSuperuser(url, `drop database ${name} with (force)`);
  }
}
