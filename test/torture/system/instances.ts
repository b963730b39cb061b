/** The service as processes: each instance has a place with a port of its own, whoever runs there. */
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../../db/embedded/ports.ts';
import { signal } from '../../../db/embedded/processes.ts';
import type { Exit, Supervisor } from '../../../db/embedded/supervise.ts';
import { eventually } from '../../support/wait.ts';
import type { ServiceEnv } from './environment.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const START_TIMEOUT_MS = 120_000;

export interface Instance {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** Null while it runs. */
  exit(): Exit | null;
  readonly exited: Promise<Exit>;
  kill(name: NodeJS.Signals): void;
  /** What it has logged so far. */
  log(): string;
}

export interface Place {
  readonly name: string;
  /** Its own once the first process there has started. */
  readonly url: string;
  /** The process that runs there now; null before the first. */
  current(): Instance | null;
  /** Starts a process there and waits until it is ready; the former one must have ended. */
  start(): Promise<Instance>;
  /** Ends what runs there. */
  close(): Promise<void>;
}

export interface PlaceOptions {
  readonly name: string;
  readonly env: ServiceEnv;
  /** Relative to the repository: `src/server.ts`, or an entry that starts it with a seeded bug. */
  readonly entry: string;
  readonly logFolder: string;
  /** Ends what runs there when this process ends, however it does. */
  readonly supervisor: Supervisor;
}

export async function createPlace({ name, env, entry, logFolder, supervisor }: PlaceOptions): Promise<Place> {
  let port = await freePort();
  let runs = 0;
  let wasReady = false;
  let current: Instance | null = null;
  const urlNow = (): string => `http://127.0.0.1:${port}`;

  async function run(): Promise<Instance> {
    runs += 1;
    const logFile = join(logFolder, `${name}-${runs}.log`);
    const own = { ...env, PORT: String(port) };
    current = await launch(supervisor, { name, url: urlNow(), entry, logFile, env: own });
    return current;
  }

  return {
    name,
    get url() {
      return urlNow();
    },
    current: () => current,
    async start() {
      let instance = await run();
      await eventually(
        async () => {
          // Between finding a free port and using it, somebody else may have taken it.
          if (!wasReady && instance.exit() !== null && instance.log().includes('EADDRINUSE')) {
            port = await freePort();
            instance = await run();
          }
          if (instance.exit() !== null) throw new Error(`instance ${name} ended: ${instance.log()}`);
          if ((await probe(urlNow(), '/readyz', 2_000)) !== 200) {
            throw new Error(`not ready: ${instance.log()}`);
          }
        },
        { timeoutMs: START_TIMEOUT_MS, intervalMs: 50 },
      );
      wasReady = true;
      return instance;
    },
    async close() {
      if (current === null || current.exit() !== null) return;
      current.kill('SIGCONT');
      current.kill('SIGKILL');
      await current.exited;
    },
  };
}

interface Launch {
  readonly name: string;
  readonly url: string;
  readonly entry: string;
  readonly logFile: string;
  readonly env: ServiceEnv;
}

async function launch(supervisor: Supervisor, { name, url, entry, logFile, env }: Launch): Promise<Instance> {
  const { pid, exited } = await supervisor.start({
    command: process.execPath,
    args: [entry],
    cwd: ROOT,
    env,
    logFile,
    stopSignals: [],
    stopTimeoutMs: 0,
  });
  let exit: Exit | null = null;
  return {
    name,
    url,
    pid,
    exit: () => exit,
    exited: exited.then((seen) => {
      exit = seen;
      return seen;
    }),
    kill: (signalName) => void (exit === null && signal(pid, signalName)),
    log: () => readFileSync(logFile, 'utf8'),
  };
}

/** The status of a GET on a connection of its own; null when none comes in time. */
export function probe(url: string, path: string, timeoutMs: number): Promise<number | null> {
  return new Promise((resolve) => {
    const request = get(`${url}${path}`, { agent: false, timeout: timeoutMs }, (response) => {
      response.resume();
      response.on('error', () => resolve(null));
      response.on('end', () => resolve(response.statusCode ?? null));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });
}
