/** Everything a run needs, started: two stores, a mail server, and instances that reach each store through a proxy. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mode } from '../../../cutover/mode.ts';
import { openSupervisor, type Supervisor } from '../../../db/embedded/supervise.ts';
import type { StoreName } from '../../../db/errors.ts';
import { createDatabase, databaseUrl } from '../../support/databases.ts';
import { createLagProxy, type LagProxy } from '../../support/lag-proxy.ts';
import { type ServiceEnv, serviceEnv } from './environment.ts';
import { startTokenInbox, type TokenInbox } from './inbox.ts';
import { createPlace, type Place } from './instances.ts';
import { type StoreServer, startMongoServer, startPostgresServer } from './servers.ts';

export interface System {
  readonly stores: Readonly<Record<StoreName, StoreServer>>;
  /** Of every process that is started for it: none outlives this one. */
  readonly supervisor: Supervisor;
  readonly inbox: TokenInbox;
  readonly places: readonly Place[];
  /** Between one instance and one store. */
  proxy(place: string, store: StoreName): LagProxy;
  /** What the instances are configured with, but for their stores and ports. */
  readonly env: ServiceEnv;
  /** For logs and, when the run fails, its history. */
  readonly folder: string;
  /** Ends everything; `keep` leaves the folder. */
  close(keep: boolean): Promise<void>;
}

export interface Servers {
  readonly supervisor: Supervisor;
  readonly postgres: StoreServer;
  readonly mongo: StoreServer;
  close(): Promise<void>;
}

/** Whatever becomes of this process, both servers end with it, and what they kept goes; and that folder, if there is one. */
export async function openServers(folder: string | null = null): Promise<Servers> {
  const supervisor = openSupervisor();
  if (folder !== null) supervisor.removeAtEnd(folder);
  try {
    const [postgres, mongo] = await Promise.all([
      startPostgresServer(supervisor),
      startMongoServer(supervisor),
    ]);
    return {
      supervisor,
      postgres,
      mongo,
      async close() {
        await Promise.all([postgres.close(), mongo.close()]);
        await supervisor.end();
      },
    };
  } catch (error) {
    await supervisor.end();
    throw error;
  }
}

export interface SystemOptions {
  /** Shared with other systems; without it this one starts its own. */
  readonly servers?: Servers;
  /** Of a shared server, to be created. */
  readonly database?: string;
  readonly instances: number;
  /** Of the fresh stores. */
  readonly firstMode: Mode;
  readonly entry?: string;
  readonly env?: ServiceEnv;
  /** Told of the stores before any instance starts: to leave there what an older service has left. */
  readonly before?: (stores: System['stores']) => Promise<void>;
}

/** Starts all of it and waits until every instance is ready. */
export async function openSystem(options: SystemOptions): Promise<System> {
  const folder = await mkdtemp(join(tmpdir(), 'torture-run-'));
  const closers: (() => Promise<void>)[] = [];
  const opened = async <T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
    const resource = await opening;
    closers.push(() => resource.close());
    return resource;
  };
  const close = async (keep: boolean): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
    if (!keep) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const logFolder = join(folder, 'logs');
    await mkdir(logFolder);
    const inbox = await opened(startTokenInbox());
    const servers = options.servers ?? (await opened(openServers()));
    const { database } = options;
    const { supervisor } = servers;
    const stores =
      database === undefined
        ? { mongo: servers.mongo, postgres: servers.postgres }
        : {
            mongo: { ...servers.mongo, url: databaseUrl(servers.mongo.url, database) },
            postgres: {
              ...servers.postgres,
              url: await createDatabase(servers.postgres.url, database),
            },
          };
    const { mongo, postgres } = stores;
    await options.before?.(stores);
    const env = { ...serviceEnv(inbox.url), ...options.env };
    const proxies = new Map<string, LagProxy>();
    const places: Place[] = [];
    for (let index = 0; index < options.instances; index += 1) {
      const name = String.fromCharCode('a'.charCodeAt(0) + index);
      const toMongo = await opened(createLagProxy({ targetPort: mongo.port }));
      const toPostgres = await opened(createLagProxy({ targetPort: postgres.port }));
      proxies.set(`${name} mongo`, toMongo).set(`${name} postgres`, toPostgres);
      const own = {
        BACKEND_MODE: options.firstMode,
        MONGO_URL: toMongo.through(mongo.url),
        DATABASE_URL: toPostgres.through(postgres.url),
      };
      const entry = options.entry ?? 'src/server.ts';
      places.push(await opened(createPlace({ name, env: { ...env, ...own }, entry, logFolder, supervisor })));
    }
    // The first alone: it is the one that makes a new system's record and schema.
    const [first, ...others] = places;
    await first?.start();
    await Promise.all(others.map((place) => place.start()));
    return {
      stores,
      supervisor,
      inbox,
      places,
      proxy(place, store) {
        const proxy = proxies.get(`${place} ${store}`);
        if (proxy === undefined) throw new Error(`no proxy from ${place} to ${store}`);
        return proxy;
      },
      env,
      folder,
      close,
    };
  } catch (error) {
    await close(true);
    throw error;
  }
}
