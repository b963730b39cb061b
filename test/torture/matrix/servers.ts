/** For the runs with a frozen store: one more server of each kind for each worker, which nobody else needs to answer. */
import type { TestProject } from 'vitest/node';
import { startMongo } from '../../../db/embedded/mongo.ts';
import { startPostgres } from '../../../db/embedded/postgres.ts';
import { openSupervisor } from '../../../db/embedded/supervise.ts';
import { migrateTemplate, type PostgresTarget, toolsDir } from '../../support/global-setup.ts';
import { troubleOf } from './trouble.ts';

export interface OwnServers {
  readonly postgres: PostgresTarget;
  readonly mongo: { readonly url: string; readonly pid: number };
}

declare module 'vitest' {
  interface ProvidedContext {
    /** By worker; empty unless a store is to be frozen. */
    ownServers: readonly OwnServers[];
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const supervisor = openSupervisor();
  // Durable, since what runs as in production refuses others.
  const shared = { supervisor, log: () => {} };
  const start = async (): Promise<OwnServers> => {
    const postgres = await startPostgres(shared).then(migrateTemplate);
    const { url, pid } = await startMongo({ ...shared, toolsDir });
    if (pid === null) throw new Error('the server was not started here');
    return { postgres, mongo: { url, pid } };
  };
  try {
    const workers = troubleOf(process.env) === 'frozen' ? project.config.maxWorkers : 0;
    project.provide('ownServers', await Promise.all(Array.from({ length: workers }, start)));
    // The supervisor's watchdog lets what stands go on, whatever happens to this process, and stops it.
    return () => supervisor.end();
  } catch (error) {
    await supervisor.end();
    throw error;
  }
}
