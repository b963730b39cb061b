/** The service as a process of its own, started as in production: to be killed, stopped, and read. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { fetchDocument, type Mode, newKeys, storeEnv } from './app.ts';
import { type Client, createClient } from './client.ts';
import type { Inbox } from './inbox.ts';
import { inherited } from './inherited.ts';
import { createResponseCheck } from './openapi.ts';
import { ownPostgres } from './stores.ts';
import { eventually } from './wait.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Service {
  readonly url: string;
  readonly pid: number;
  readonly env: Readonly<Record<string, string>>;
  /** Everything it wrote to stdout and stderr so far. */
  output(): string;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  client(): Client;
}

/** Databases for this mode that production accepts: the shared PostgreSQL trades durability for speed, so not there. */
export function durableStoreEnv(mode: Mode): Promise<Record<string, string>> {
  return storeEnv(mode, async () => (await ownPostgres()).url);
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

/** Starts it and waits until it listens; killed after the file if it still runs. */
export async function startService(env: Readonly<Record<string, string>>): Promise<Service> {
  const child = spawn(process.execPath, ['src/server.ts'], {
    cwd: ROOT,
    env: { ...inherited(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const exited: Service['exited'] = new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  afterAll(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const url = await eventually(() => listening(child, output), { timeoutMs: 30_000, intervalMs: 50 });
  const check = createResponseCheck(await fetchDocument(url));
  return {
    url,
    pid: child.pid ?? 0,
    env,
    output: () => output,
    kill: (signal) => void child.kill(signal),
    exited,
    client: () => createClient(url, check),
  };
}

function listening(child: ChildProcess, output: string): string {
  const [, url] = /listening at (http:\/\/127\.0\.0\.1:\d+)/.exec(output) ?? [];
  if (url === undefined) throw new Error(`not listening (exit code ${child.exitCode}): ${output}`);
  return url;
}
