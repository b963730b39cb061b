/** Starts the databases that are not configured. */
import { join } from 'node:path';
import pg from 'pg';
import { identify, startMongo } from '../../db/embedded/mongo.ts';
import { startPostgres } from '../../db/embedded/postgres.ts';
import type { Supervisor } from '../../db/embedded/supervise.ts';

export interface Database {
  readonly url: string;
  /** Product and version, by its real name. */
  readonly server: string;
  /** Where it is, without any secret. */
  readonly place: string;
}

export interface Databases {
  readonly postgres: Database;
  readonly mongo: Database;
}

export interface DatabaseOptions {
  readonly supervisor: Supervisor;
  /** Null keeps nothing. */
  readonly dataDir: string | null;
  readonly toolsDir: string;
  readonly databaseUrl: string | undefined;
  readonly mongoUrl: string | undefined;
  readonly log: (line: string) => void;
}

const NAME = 'auth';

export async function openDatabases(options: DatabaseOptions): Promise<Databases> {
  const [postgres, mongo] = await Promise.all([openPostgres(options), openMongo(options)]);
  return { postgres, mongo };
}

async function openPostgres({ supervisor, dataDir, databaseUrl, log }: DatabaseOptions): Promise<Database> {
  if (databaseUrl !== undefined) return { url: databaseUrl, server: 'PostgreSQL', place: 'at DATABASE_URL' };
  const folder = dataDir === null ? null : join(dataDir, 'postgres');
  const { url, server } = await startPostgres({
    supervisor,
    log,
    ...(folder !== null && { dataDir: folder }),
  });
  await createDatabase(url);
  return { url: withDatabase(url), server, place: placeOf(url, folder) };
}

async function openMongo(options: DatabaseOptions): Promise<Database> {
  const { supervisor, dataDir, toolsDir, mongoUrl, log } = options;
  if (mongoUrl !== undefined) {
    const server = await identify(mongoUrl).catch(() => 'MongoDB-wire server that does not answer yet');
    return { url: mongoUrl, server, place: 'at MONGO_URL' };
  }
  const folder = dataDir === null ? null : join(dataDir, 'mongo');
  const { url, server } = await startMongo({
    ...{ supervisor, toolsDir, log },
    ...(folder !== null && { dataDir: folder }),
  });
  return { url: withDatabase(url), server, place: placeOf(url, folder) };
}

async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [NAME]);
    if (rowCount === 0) await client.query(`create database ${NAME}`);
  } finally {
    await client.end();
  }
}

function withDatabase(url: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${NAME}`;
  return parsed.href;
}

function placeOf(url: string, folder: string | null): string {
  return `on ${new URL(url).host}, ${folder === null ? 'keeps nothing' : `data in ${folder}`}`;
}
