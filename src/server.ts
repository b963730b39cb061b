import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../plugins/config.ts';
import { ConfigError, loadConfig } from '../plugins/config.ts';
import type { Seams } from '../plugins/repositories.ts';
import { buildApp } from './app.ts';

export interface RunningServer {
  readonly app: FastifyInstance;
  /** Not ready, finish what is in flight, close everything. Resolves when nothing is left; repeatable. */
  readonly stop: (reason: string) => Promise<void>;
}

/**
 * Builds the app, finds out its mode, notes what it runs on, and listens. Rejects with `ConfigError` when the
 * configuration contradicts what the stores hold.
 */
export async function startServer(config: Config, seams?: Seams): Promise<RunningServer> {
  const app = await buildApp({ config, ...(seams && { seams }) });
  await app.ready();
  const servers = await describeServers(app);
  const { mode, epoch, instance } = app.standing();
  app.log.info(
    { mode, epoch, instance, servers },
    `starting in ${mode.effective ?? 'a mode that is not known yet'} on ${Object.values(servers).join(' and ')}`,
  );
  await app.listen({ host: config.host, port: config.port });
  let stopping: Promise<void> | undefined;
  return { app, stop: (reason) => (stopping ??= shutDown(app, config, reason)) };
}

async function describeServers(app: FastifyInstance): Promise<Record<string, string>> {
  const described = app.stores.map(async (store) => {
    const server = await store.describe().catch(() => 'a server that does not answer yet');
    return [store.name, server] as const;
  });
  return Object.fromEntries(await Promise.all(described));
}

async function shutDown(app: FastifyInstance, config: Config, reason: string): Promise<void> {
  app.log.info({ reason }, 'stopping: not ready, finishing what is in flight');
  app.shutdown.begin();
  await new Promise((resolve) => setTimeout(resolve, config.shutdownDelayMs));
  await app.close();
}

/**
 * Stops on SIGTERM and SIGINT with exit code 0; on a second signal, or when stopping takes longer than the grace, with
 * 1. An error nobody caught is logged, then the process stops too, with 1: its state can no longer be trusted.
 */
export function stopOnSignals(server: RunningServer, config: Config): void {
  let exiting = false;
  const exit = (reason: string, code: number, error?: unknown) => {
    if (error !== undefined) server.app.log.fatal({ err: error }, reason);
    if (exiting) process.exit(1);
    exiting = true;
    const overdue = () => {
      server.app.log.fatal('did not stop within SHUTDOWN_GRACE');
      process.exit(1);
    };
    setTimeout(overdue, config.shutdownDelayMs + config.shutdownGraceMs).unref();
    server.stop(reason).then(
      () => process.exit(code),
      (failure: unknown) => {
        server.app.log.fatal({ err: failure }, 'stopping failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => exit('SIGTERM', 0));
  process.on('SIGINT', () => exit('SIGINT', 0));
  process.on('uncaughtException', (error) => exit('uncaught exception', 1, error));
  process.on('unhandledRejection', (error) => exit('unhandled rejection', 1, error));
}

/** `npm start`: production, from the environment alone. Exit code 2 when the configuration is refused. */
async function main(): Promise<void> {
  try {
    const config = loadConfig(process.env, { production: true });
    stopOnSignals(await startServer(config), config);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) console.error(problem);
    process.exit(2);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
