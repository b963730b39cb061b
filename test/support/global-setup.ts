/** One server of each kind for the whole run. Their addresses reach the tests by `inject`. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { type PostgresServer, startPostgres } from '../../db/embedded/postgres.ts';
import { openSupervisor } from '../../db/embedded/supervise.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { createDatabase, databaseUrl } from './databases.ts';
import { provideMongo } from './mongo-servers.ts';

/** A PostgreSQL the suite runs on, with a migrated database to clone. */
export interface PostgresTarget {
  readonly url: string;
  readonly server: string;
  readonly major: number;
  readonly template: string;
  /** Of the postmaster. */
  readonly pid: number;
}

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser URL of the main server (18). Databases on it belong to the tests that made them. */
    postgresUrl: string;
    /** Every server the contract suite runs on, the main one first, then 15 where it is installed. */
    postgresServers: readonly PostgresTarget[];
    toolsDir: string;
  }
}

const TEMPLATE = 'template_app';
const OLDEST_MAJOR = 15;
/** Programs that are installed once and shared with `npm run dev`. */
export const toolsDir = fileURLToPath(new URL('../../.data/tools', import.meta.url));

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const supervisor = openSupervisor();
  const log = (line: string): void => console.log(`[servers] ${line}`);
  // Crashes of these servers are not what their tests are about: `durable` servers are started by the tests themselves.
  const shared = { supervisor, durable: false, log: () => {} };
  try {
    const [main, older, others] = await Promise.all([
      startPostgres(shared).then(migrateTemplate),
      Promise.all(
        otherInstallations().map((binDir) => startPostgres({ ...shared, binDir }).then(migrateTemplate)),
      ),
      provideMongo(project, { ...shared, toolsDir }, log),
    ]);
    project.provide('toolsDir', toolsDir);
    project.provide('postgresUrl', main.url);
    project.provide('postgresServers', [main, ...older]);
    const names = [...[main, ...older].map((target) => target.server), ...others];
    return async () => {
      await supervisor.end();
      log(`this run used ${names.join('; ')}`);
    };
  } catch (error) {
    await supervisor.end();
    throw error;
  }
}

/** Migrated once, cloned by each test file. */
export async function migrateTemplate({ url, server, major, pid }: PostgresServer): Promise<PostgresTarget> {
  await createDatabase(url, TEMPLATE);
  const store = await openPostgresStore({ url: databaseUrl(url, TEMPLATE) });
  try {
    await store.migrate(() => {});
  } finally {
    await store.close();
  }
  return { url, server, major, pid, template: TEMPLATE };
}

/** The oldest supported PostgreSQL among Debian's, when there is one besides the embedded 18. */
function otherInstallations(): readonly string[] {
  const root = '/usr/lib/postgresql';
  if (!existsSync(root)) return [];
  const [oldest] = readdirSync(root)
    .map(Number)
    .filter((major) => major >= OLDEST_MAJOR && existsSync(join(root, String(major), 'bin', 'initdb')))
    .sort((a, b) => a - b);
  return oldest === undefined ? [] : [join(root, String(oldest), 'bin')];
}
