/** The MongoDB-wire servers of the whole run: a replica set, and one without. */
import type { TestProject } from 'vitest/node';
import { startMongo } from '../../db/embedded/mongo.ts';
import type { Supervisor } from '../../db/embedded/supervise.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A replica set. */
    mongoUrl: string;
    /** A server without a replica set. */
    mongoStandaloneUrl: string;
    mongoServer: string;
    /** Null when `MONGO_URL` names a server that was not started here. */
    mongoPid: number | null;
  }
}

/** Starts both and tells the tests; their names. */
export async function provideMongo(
  project: TestProject,
  shared: { readonly supervisor: Supervisor; readonly durable: boolean; readonly toolsDir: string },
  log: (line: string) => void,
): Promise<readonly string[]> {
  const mongo = await startMongo({ ...shared, log, url: process.env['MONGO_URL'] });
  const standalone = await startMongo({ ...shared, log: () => {}, standalone: true });
  project.provide('mongoUrl', mongo.url);
  project.provide('mongoStandaloneUrl', standalone.url);
  project.provide('mongoServer', mongo.server);
  project.provide('mongoPid', mongo.pid);
  return [mongo.server, `standalone ${standalone.server}`];
}
