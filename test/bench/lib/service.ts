/** Starts what is measured, each in a process of its own. */
import { randomBytes } from 'node:crypto';
import type { Mode } from '../../../cutover/mode.ts';
import type { StoreName } from '../../../db/errors.ts';
import { makeDevelopmentKeys } from '../../../plugins/config/keys.ts';
import type { LoadAnswer, LoadRequest } from '../entry/load.ts';
import { type Child, startChild } from './child.ts';
import type { FlowName } from './flows.ts';
import type { Reading } from './gauges.ts';
import type { Options } from './options.ts';
import type { Servers } from './servers.ts';

export interface Measured {
  readonly port: number;
  /** What it measured of itself since the last reading. */
  read(): Promise<Reading>;
  /** Waits until the mirror has everything; how long that took, ms. */
  settle(): Promise<number>;
  stop(): Promise<void>;
}

export interface ServiceOptions {
  readonly cores: string | null;
  readonly loopDelay?: boolean;
  /** bcrypt cost; below 10 it cannot run as production, and then only seeds. */
  readonly cost: number;
}

export interface Installation {
  /** A process of the service on this installation's database and keys. */
  start(options: ServiceOptions): Promise<Measured>;
}

const PUBLIC_URL = 'https://auth.bench.example';
/** No limit is ever reached: what is measured is the work, counters included. */
const GENEROUS = '1000000/1h';
const LOWEST_COST = 4;
const PRODUCTION_COST_MIN = 10;

/** A fresh database and keys for the service, in the mode of one store. */
export async function install(servers: Servers, store: StoreName, options: Options): Promise<Installation> {
  const url = await servers.newDatabase(store);
  return installOn(servers, options, {
    BACKEND_MODE: `${store}-only`,
    ...(store === 'mongo' ? { MONGO_URL: url } : { DATABASE_URL: url }),
  });
}

export interface InstallationOfBoth extends Installation {
  readonly urls: { readonly mongo: string; readonly postgres: string };
}

/** The same with a fresh database in each store, as a new system that begins in this mode: so its copy is complete. */
export async function installBoth(
  servers: Servers,
  mode: Mode,
  options: Options,
): Promise<InstallationOfBoth> {
  const urls = { mongo: await servers.newDatabase('mongo'), postgres: await servers.newDatabase('postgres') };
  const env = { BACKEND_MODE: mode, MONGO_URL: urls.mongo, DATABASE_URL: urls.postgres };
  return { ...installOn(servers, options, env), urls };
}

function installOn(
  servers: Servers,
  options: Options,
  stores: Readonly<Record<string, string>>,
): Installation {
  const env = {
    ...makeDevelopmentKeys(),
    ...stores,
    PORT: '0',
    PUBLIC_URL,
    APP_URL: `${PUBLIC_URL}/account`,
    SMTP_URL: servers.smtpUrl,
    MAIL_FROM: 'Bench <no-reply@bench.example>',
    LOG_LEVEL: options.logLevel,
    LOG_PRETTY: 'false',
    POSTGRES_POOL_MAX: String(options.poolMax),
    LIMIT_LOGIN_ADDRESS: GENEROUS,
    LIMIT_LOGIN_ACCOUNT: GENEROUS,
    LIMIT_LOGIN_PAIR: GENEROUS,
    LIMIT_SIGNUP_ADDRESS: GENEROUS,
    LIMIT_MAIL_ACCOUNT: GENEROUS,
    LIMIT_MAIL_ADDRESS: GENEROUS,
    LIMIT_TOKEN_ADDRESS: GENEROUS,
  };
  return {
    start: ({ cores, loopDelay = false, cost }) =>
      ready(
        startChild({
          entry: 'service.ts',
          cores,
          nodeArgs: options.profileDir
            ? ['--cpu-prof', `--cpu-prof-dir=${options.profileDir}`, '--cpu-prof-interval=500']
            : [],
          env: {
            ...env,
            NODE_ENV: cost >= PRODUCTION_COST_MIN ? 'production' : 'development',
            SHUTDOWN_DELAY: '0s',
            BCRYPT_COST: String(cost),
            BENCH_LOOP_DELAY: loopDelay ? '1' : '0',
          },
        }),
      ),
  };
}

export interface PeerOptions {
  readonly cores: string | null;
  readonly joins: boolean;
  readonly updateAgeS: number;
}

/** better-auth's ways of running, all over one fresh database. */
export async function installPeer(
  servers: Servers,
  options: Options,
): Promise<{ start(options: PeerOptions): Promise<Measured> }> {
  const env = {
    NODE_ENV: 'production',
    PUBLIC_URL,
    DATABASE_URL: await servers.newDatabase('postgres'),
    POSTGRES_POOL_MAX: String(options.poolMax),
    PEER_SECRET: randomBytes(32).toString('base64url'),
  };
  return {
    start: ({ cores, joins, updateAgeS }) =>
      ready(
        startChild({
          entry: 'better-auth.ts',
          cores,
          env: { ...env, PEER_JOINS: joins ? '1' : '0', PEER_UPDATE_AGE_S: String(updateAgeS) },
        }),
      ),
  };
}

async function ready(child: Child): Promise<Measured> {
  const port = await child.ask<number>({ type: 'start' });
  return {
    port,
    read: () => child.ask<Reading>({ type: 'read' }),
    settle: () => child.ask<number>({ type: 'settle' }),
    stop: () => child.stop(),
  };
}

export interface Load {
  seed(audience: string, port: number, flow: FlowName, people: number): Promise<void>;
  /** The same people once more, so many times. */
  again(audience: string, port: number, flow: FlowName, times: number): Promise<void>;
  run(request: Omit<Extract<LoadRequest, { readonly type: 'run' }>, 'type'>): Promise<LoadAnswer>;
  /** Ends this audience's open loop. */
  stop(audience: string): Promise<void>;
}

export function startLoad(cores: string | null): Load {
  const child = startChild({ entry: 'load.ts', cores });
  return {
    async seed(audience, port, flow, people) {
      await child.ask({ type: 'seed', audience, port, flow, people, connections: 8 });
    },
    async again(audience, port, flow, times) {
      await child.ask({ type: 'again', audience, port, flow, times, connections: 8 });
    },
    run: (request) => child.ask<LoadAnswer>({ type: 'run', ...request }),
    stop: (audience) => child.ask<void>({ type: 'stop', audience }),
  };
}

/** Signs people up at the lowest cost: their passwords are not what is measured. */
export async function seed(
  installation: Installation,
  load: Load,
  audience: string,
  people: number,
): Promise<void> {
  const seeding = await installation.start({ cores: null, cost: LOWEST_COST });
  await load.seed(audience, seeding.port, 'signup', people);
  await seeding.stop();
}

/** Gives each of them so many sessions more, to be logged out. */
export async function seedSpares(
  installation: Installation,
  load: Load,
  audience: string,
  each: number,
): Promise<void> {
  const seeding = await installation.start({ cores: null, cost: LOWEST_COST });
  await load.again(audience, seeding.port, 'spare', each);
  await seeding.stop();
}
