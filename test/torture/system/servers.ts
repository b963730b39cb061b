/** Both store servers, durable, on data folders that outlive a `kill -9`, each restarted on its old port. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import mongoose from 'mongoose';
import pg from 'pg';
import { startMongo } from '../../../db/embedded/mongo.ts';
import { freePort } from '../../../db/embedded/ports.ts';
import { startPostgres } from '../../../db/embedded/postgres.ts';
import { isRunning, signal } from '../../../db/embedded/processes.ts';
import type { Supervisor } from '../../../db/embedded/supervise.ts';
import type { StoreName } from '../../../db/errors.ts';
import { familyOf } from '../../support/family.ts';
import { type Frozen, freezePostgres, freezeProcess } from '../../support/faults.ts';
import { eventually } from '../../support/wait.ts';

const toolsDir = fileURLToPath(new URL('../../../.data/tools', import.meta.url));

export interface StoreServer {
  readonly name: StoreName;
  /** Of the database the service uses, straight to the server. */
  readonly url: string;
  readonly port: number;
  readonly product: string;
  /** SIGKILL to the server and everything below it; resolves when all of it is gone. */
  kill(): Promise<void>;
  /** After `kill`: the same data on the same port. */
  restart(): Promise<void>;
  /** Resolves once every process of it was seen to stand. */
  freeze(): Promise<Frozen>;
  /** Whether it answers within this time. */
  answers(timeoutMs: number): Promise<boolean>;
  close(): Promise<void>;
}

interface Started {
  readonly url: string;
  readonly server: string;
  readonly pid: number | null;
  stop(): Promise<void>;
}

async function startServer(
  supervisor: Supervisor,
  name: StoreName,
  start: (dataDir: string, port: number) => Promise<Started>,
  url: (started: Started) => string,
  answers: (url: string, timeoutMs: number) => Promise<boolean>,
): Promise<StoreServer> {
  const dataDir = await mkdtemp(join(tmpdir(), `torture-${name}-`));
  supervisor.removeAtEnd(dataDir);
  const port = await freePort();
  let running = await start(dataDir, port);
  const pid = (): number => running.pid ?? 0;
  return {
    name,
    url: url(running),
    port,
    product: running.server,
    async kill() {
      const family = familyOf(pid());
      for (const each of family) signal(each.pid, 'SIGKILL');
      await eventually(() => !family.some(isRunning), { timeoutMs: 60_000 });
    },
    async restart() {
      await running.stop();
      // The same watchdog has held it since the first start.
      supervisor.unlock(join(dataDir, 'lock'));
      running = await start(dataDir, port);
    },
    freeze: () =>
      name === 'postgres' ? freezePostgres({ pid: pid(), url: running.url }) : freezeProcess({ pid: pid() }),
    answers: (timeoutMs) => answers(url(running), timeoutMs),
    async close() {
      await running.stop();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export function startPostgresServer(supervisor: Supervisor): Promise<StoreServer> {
  const start = (dataDir: string, port: number) =>
    startPostgres({ dataDir, port, supervisor, log: () => {} });
  return startServer(supervisor, 'postgres', start, ({ url }) => url, postgresAnswers);
}

export function startMongoServer(supervisor: Supervisor): Promise<StoreServer> {
  const start = (dataDir: string, port: number) =>
    startMongo({ dataDir, port, toolsDir, supervisor, log: () => {} });
  return startServer(supervisor, 'mongo', start, ({ url }) => `${url}/torture`, mongoAnswers);
}

async function postgresAnswers(url: string, timeoutMs: number): Promise<boolean> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    // Not awaited: a frozen server never says goodbye.
    client.end().catch(() => {});
  }
}

async function mongoAnswers(url: string, timeoutMs: number): Promise<boolean> {
  const client = new mongoose.mongo.MongoClient(url, {
    serverSelectionTimeoutMS: timeoutMs,
    connectTimeoutMS: timeoutMs,
    socketTimeoutMS: timeoutMs,
    directConnection: true,
  });
  try {
    await client.db('admin').command({ ping: 1 });
    return true;
  } catch {
    return false;
  } finally {
    client.close(true).catch(() => {});
  }
}
