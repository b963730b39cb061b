/** A MongoDB-wire server for development and tests: MongoDB where it can be had, else a compatible one, by its name. */
import { join } from 'node:path';
import mongoose from 'mongoose';
import { logTail, openFolder } from './folders.ts';
import { findMongod } from './mongod.ts';
import { freePort } from './ports.ts';
import { sameAccount } from './privileges.ts';
import { secantusCommand } from './secantus.ts';
import { openSupervisor, type Supervised, type Supervisor } from './supervise.ts';

const { MongoClient } = mongoose.mongo;

export interface MongoOptions {
  /** A running server; then nothing is started. */
  readonly url?: string | undefined;
  /** Kept between runs; without it the server lives in a temporary folder that goes with it. */
  readonly dataDir?: string;
  /** Where downloaded and installed programs are kept, between runs and shared by them. */
  readonly toolsDir: string;
  /** Without it a free one. */
  readonly port?: number;
  /** Without a replica set, so without transactions and change streams. Default false. */
  readonly standalone?: boolean;
  /** False trades durability for speed: a kill may lose acknowledged writes. Default true. */
  readonly durable?: boolean;
  /** Shared with other servers; without it the server gets one of its own. */
  readonly supervisor?: Supervisor;
  readonly log: (line: string) => void;
}

export interface MongoServer {
  readonly url: string;
  /** Product and version: a compatible server is named as what it is. */
  readonly server: string;
  /** Null when the server was not started here. */
  readonly pid: number | null;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const PORT_ATTEMPTS = 5;
const REPLICA_SET = 'rs0';

/**
 * Uses the given server, or starts the first that can be had: a `mongod` on PATH, a downloaded one, SecantusDB.
 * Throws `DataInUse`, or an error that says what to install.
 */
export async function startMongo(options: MongoOptions): Promise<MongoServer> {
  if (options.url !== undefined && options.url !== '') {
    return { url: options.url, server: await identify(options.url), pid: null, stop: async () => {} };
  }
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

/** What the server calls itself: `MongoDB 8.0.4`, or a compatible server's own name. */
export async function identify(url: string): Promise<string> {
  const client = new MongoClient(url, { serverSelectionTimeoutMS: 5_000 });
  try {
    const info = await client.db('admin').command({ buildInfo: 1 });
    const secantus: unknown = info['secantusVersion'];
    if (typeof secantus === 'string') return `SecantusDB ${secantus} (MongoDB-wire compatible, not MongoDB)`;
    const known = Array.isArray(info['modules']) && typeof info['storageEngines'] === 'object';
    const version = String(info['version']);
    return known
      ? `MongoDB ${version}`
      : `MongoDB-wire server (not known to be MongoDB), reporting ${version}`;
  } finally {
    await client.close();
  }
}

async function start(options: MongoOptions, supervisor: Supervisor): Promise<MongoServer> {
  const context = { toolsDir: options.toolsDir, supervisor, log: options.log };
  const mongod = await findMongod(context);
  const program =
    mongod === null
      ? await secantusProgram(options, await secantusCommand(context))
      : mongodProgram(options, mongod);
  const folder = await openFolder(supervisor, options.dataDir);
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    const dbPath = join(folder, program.folder);
    const child = await supervisor.start({
      // Nobody is left to insist when it does not stop by itself; what it acknowledged is in its journal.
      ...sameAccount.launch(program.command, program.args(dbPath, port), 'KILL'),
      cwd: folder,
      env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC', HOME: folder },
      logFile: join(folder, 'mongo.log'),
      stopSignals: ['SIGTERM'],
      stopTimeoutMs: STOP_TIMEOUT_MS,
    });
    try {
      const url = `mongodb://127.0.0.1:${port}`;
      await waitUntilReady(url, child, program.replicaSet);
      return { url, server: await identify(url), pid: child.pid, stop: () => child.stop() };
    } catch (error) {
      await child.stop();
      const tail = logTail(join(folder, 'mongo.log'));
      // Between finding a free port and using it, somebody else may have taken it.
      const taken = /address already in use/i.test(tail);
      if (taken && options.port === undefined && attempt < PORT_ATTEMPTS) continue;
      throw new Error(`the MongoDB-wire server did not start:\n${tail}`, { cause: error });
    }
  }
}

interface MongoProgram {
  readonly command: string;
  /** Data files of one product are of no use to another. */
  readonly folder: string;
  /** Whether a replica set has to be initiated. */
  readonly replicaSet: boolean;
  args(dbPath: string, port: number): readonly string[];
}

function mongodProgram(options: MongoOptions, mongod: string): MongoProgram {
  const replicaSet = options.standalone !== true;
  return {
    command: 'sh',
    folder: 'mongodb',
    replicaSet,
    args: (dbPath, port) => [
      ...['-c', 'mkdir -p "$1" && exec "$0" --dbpath "$@"', mongod, dbPath],
      ...['--port', String(port), '--bind_ip', '127.0.0.1', '--wiredTigerCacheSizeGB', '0.25'],
      ...(replicaSet ? ['--replSet', REPLICA_SET] : []),
    ],
  };
}

async function secantusProgram(
  options: MongoOptions,
  [python, daemon]: readonly [string, string],
): Promise<MongoProgram> {
  return {
    command: python,
    folder: 'secantusdb',
    replicaSet: false,
    args: (dbPath, port) => [
      ...[
        daemon,
        '--storage-path',
        dbPath,
        '--host',
        '127.0.0.1',
        '--port',
        String(port),
        '--cache-size',
        '256M',
      ],
      ...((options.durable ?? true) ? ['--sync-on-commit'] : []),
      ...(options.standalone === true ? ['--standalone'] : []),
    ],
  };
}

async function waitUntilReady(url: string, child: Supervised, replicaSet: boolean): Promise<void> {
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!ended && Date.now() < deadline) {
    const client = new MongoClient(url, { directConnection: true, serverSelectionTimeoutMS: 500 });
    try {
      const admin = client.db('admin');
      await admin.command({ ping: 1 });
      if (replicaSet) await ensureReplicaSet(admin, new URL(url).host);
      const hello = await admin.command({ hello: 1 });
      // Another program may answer on the port when ours could not bind it: only ours is still alive.
      if (hello['isWritablePrimary'] === true && !ended) return;
    } catch {
      // Not listening yet, or no primary yet.
    } finally {
      await client.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(ended ? 'it ended' : 'it did not answer in time');
}

/** A set of one member; the port may be another one than in the run before. */
async function ensureReplicaSet(admin: mongoose.mongo.Db, host: string): Promise<void> {
  const members = [{ _id: 0, host }];
  const config = await admin.command({ replSetGetConfig: 1 }).then(
    (reply) => reply['config'],
    () => null,
  );
  if (config === null) {
    await admin.command({ replSetInitiate: { _id: REPLICA_SET, members } });
  } else if (config.members[0]?.host !== host) {
    await admin.command({
      replSetReconfig: { ...config, version: config.version + 1, members },
      force: true,
    });
  }
}
