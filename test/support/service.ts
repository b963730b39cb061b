/** The service as a process of its own, started as in production: to be killed, stopped, and read. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import type { PostgresServer } from '../../db/embedded/postgres.ts';
import { fetchDocument, type Mode, newKeys, storeEnv } from './app.ts';
import { type Client, createClient } from './client.ts';
import { createDatabase, newDatabaseName } from './databases.ts';
import type { Inbox } from './inbox.ts';
import { inherited } from './inherited.ts';
import { createResponseCheck } from './openapi.ts';
import { eventually } from './wait.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface ServiceProcess {
  readonly pid: number;
  readonly env: Readonly<Record<string, string>>;
  /** Everything it wrote to stdout and stderr so far. */
  output(): string;
  /** What of that it wrote to stderr. */
  errors(): string;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

export interface Service extends ServiceProcess {
  readonly url: string;
  client(): Client;
}

/** Databases for this mode that production accepts, on a server of the file's own: the shared one trades durability for speed. */
export function durableStoreEnv(mode: Mode, { url }: PostgresServer): Promise<Record<string, string>> {
  return storeEnv(mode, () => createDatabase(url, newDatabaseName()));
}

/** What production wants to be told, over `durableStoreEnv(mode)`. */
export function productionEnv(
  stores: Readonly<Record<string, string>>,
  inbox: Inbox,
): Record<string, string> {
  return {
    ...stores,
    ...newKeys(),
    NODE_ENV: 'production',
    HOST: '127.0.0.1',
    PORT: '0',
    PUBLIC_URL: 'https://auth.example.test',
    APP_URL: 'https://app.example.test',
    SMTP_URL: inbox.url,
    MAIL_FROM: 'no-reply@example.test',
    ALLOW_UNENCRYPTED: 'smtp',
    BCRYPT_COST: '10',
    STORE_TIMEOUT: '5s',
    SHUTDOWN_DELAY: '0s',
  };
}

/** Starts it, whether it will ever listen or not; killed after the file if it still runs. */
export function spawnService(env: Readonly<Record<string, string>>): ServiceProcess {
  const child = spawn(process.execPath, ['src/server.ts'], {
    cwd: ROOT,
    env: { ...inherited(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    errors += chunk.toString();
  });
  const exited: Service['exited'] = new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  afterAll(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return {
    pid: child.pid ?? 0,
    env,
    output: () => output,
    errors: () => errors,
    kill: (signal) => void child.kill(signal),
    exited,
  };
}

/** Starts it and waits until it listens. */
export async function startService(env: Readonly<Record<string, string>>): Promise<Service> {
  const running = spawnService(env);
  const url = await eventually(() => listening(running), { timeoutMs: 30_000, intervalMs: 50 });
  const check = createResponseCheck(await fetchDocument(url));
  return { ...running, url, client: () => createClient(url, check) };
}

function listening({ output }: ServiceProcess): string {
  const [, url] = /listening at (http:\/\/127\.0\.0\.1:\d+)/.exec(output()) ?? [];
  if (url === undefined) throw new Error(`not listening: ${output()}`);
  return url;
}
