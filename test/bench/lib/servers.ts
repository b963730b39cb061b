/** The database servers of one run, and a fresh database for whoever asks. */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { SMTPServer } from 'smtp-server';
import { startMongo } from '../../../db/embedded/mongo.ts';
import { startPostgres } from '../../../db/embedded/postgres.ts';
import { openSupervisor } from '../../../db/embedded/supervise.ts';
import type { StoreName } from '../../../db/errors.ts';
import { createDatabase } from '../../support/databases.ts';
import type { Options, PartName } from './options.ts';
import { place } from './placement.ts';

export interface Servers {
  /** What they call themselves, by store. */
  readonly names: Readonly<Partial<Record<StoreName, string>>>;
  /** Of a mail server that takes every mail and drops it. */
  readonly smtpUrl: string;
  /** URL of a new, empty database. */
  newDatabase(store: StoreName): Promise<string>;
  /** Moves the servers to these cores; null: all. */
  place(cores: string | null): void;
  stop(): Promise<void>;
}

const NEED_BOTH: readonly PartName[] = ['modes', 'flip', 'bulk'];
const NEED_CHOSEN: readonly PartName[] = ['logins', 'rates', 'memory'];

const toolsDir = fileURLToPath(new URL('../../../.data/tools', import.meta.url));

/** Starts what the chosen parts need; durable, as in production: an acknowledged write is on disk. */
export async function startServers(options: Options, log: (line: string) => void): Promise<Servers> {
  const supervisor = openSupervisor();
  try {
    const needs = (store: StoreName): boolean =>
      options.parts.some((part) => NEED_BOTH.includes(part)) ||
      (options.stores.includes(store) && options.parts.some((part) => NEED_CHOSEN.includes(part))) ||
      (store === 'postgres' && options.parts.includes('peer'));
    const postgres = needs('postgres') ? await startPostgres({ supervisor, log }) : null;
    const mongo = needs('mongo')
      ? await startMongo({ supervisor, log, toolsDir, url: process.env['MONGO_URL'] })
      : null;
    const mail = await startMailSink();
    const pids = [postgres?.pid, mongo?.pid].filter((pid) => typeof pid === 'number');
    return {
      names: {
        ...(mongo && { mongo: mongo.server }),
        ...(postgres && { postgres: postgres.server }),
      },
      smtpUrl: mail.url,
      async newDatabase(store) {
        const name = `bench_${randomBytes(4).toString('hex')}`;
        if (store === 'postgres' && postgres) return createDatabase(postgres.url, name);
        if (store === 'mongo' && mongo) return withDatabase(mongo.url, name);
        throw new Error(`there is no server for ${store}`);
      },
      place(cores) {
        for (const pid of pids) place(pid, cores);
      },
      async stop() {
        mail.stop();
        await supervisor.end();
      },
    };
  } catch (error) {
    await supervisor.end();
    throw error;
  }
}

function withDatabase(url: string, name: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${name}`;
  return parsed.href;
}

function startMailSink(): Promise<{ readonly url: string; stop(): void }> {
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    logger: false,
    onData(stream, _session, done) {
      stream.on('end', () => done());
      stream.resume();
    },
  });
  server.on('error', () => {});
  return new Promise((resolve) => {
    const listener = server.listen(0, '127.0.0.1', () => {
      const address = listener.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      resolve({ url: `smtp://127.0.0.1:${port}`, stop: () => server.close() });
    });
  });
}
