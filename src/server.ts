import { fileURLToPath } from 'node:url';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../plugins/config.ts';
import { ConfigError, loadConfig } from '../plugins/config.ts';
import { describeError, onOneLine } from '../plugins/logger/scrub.ts';
import type { Seams } from '../plugins/repositories.ts';
import { buildApp } from './app.ts';

export interface RunningServer {
  readonly app: FastifyInstance;
  /** Not ready, finish what is in flight, close everything. Resolves when nothing is left; repeatable. */
  readonly stop: (reason: string) => Promise<void>;
}

/** As `startServer`, but not started yet: what stops it can be there before anything is opened that has to be closed. */
async function prepareServer(config: Config, seams?: Seams) {
  const app = await buildApp({ config, ...(seams && { seams }) });
  let listening = false;
  let stopping: Promise<void> | undefined;

  async function start(): Promise<void> {
    await app.ready();
    if (stopping) return;
    const servers = await describeServers(app);
    const { mode, epoch, instance } = app.standing();
    app.log.info(
      { mode, epoch, instance, servers },
      `starting in ${mode.effective ?? 'a mode that is not known yet'} on ${Object.values(servers).join(' and ')}`,
    );
    if (stopping) return;
    await app.listen({ host: config.host, port: config.port });
    listening = true;
  }

  async function shutDown(reason: string, delayMs: number): Promise<void> {
    app.log.info({ reason }, 'stopping: not ready, finishing what is in flight');
    app.shutdown.begin();
    if (listening) await new Promise((resolve) => setTimeout(resolve, delayMs));
    await app.close();
  }

  return {
    app,
    start,
    stop: (reason: string, delayMs = config.shutdownDelayMs) => (stopping ??= shutDown(reason, delayMs)),
  };
}

/**
 * Builds the app, finds out its mode, notes what it runs on, and listens. Rejects with `ConfigError` when the
 * configuration contradicts what the stores hold; whatever it rejects with, nothing is left open.
 */
export async function startServer(config: Config): Promise<RunningServer> {
  const server = await prepareServer(config);
  try {
    await server.start();
  } catch (error) {
    await server.app.close();
    throw error;
  }
  return server;
}

async function describeServers(app: FastifyInstance): Promise<Record<string, string>> {
  const described = app.stores.map(async (store) => {
    const server = await store.describe().catch(() => 'a server that does not answer yet');
    return [store.name, server] as const;
  });
  return Object.fromEntries(await Promise.all(described));
}

/**
 * The service as a process: starts it, and stops it on SIGTERM and SIGINT, which may come while it starts, with exit code
 * 0; on a second signal, or when stopping takes longer than the grace, with 1. An error nobody caught is logged, then the
 * process stops at once, with 1: its state can no longer be trusted. So it does when it cannot start, with 2 for the
 * configuration's fault.
 */
export async function serve(config: Config, seams?: Seams): Promise<RunningServer> {
  const server = await prepareServer(config, seams);
  const { log } = server.app;
  let exiting = false;
  const exit = (reason: string, code: number, error?: unknown) => {
    if (error !== undefined) log.fatal({ err: error }, reason);
    if (exiting) process.exit(1);
    exiting = true;
    const delayMs = error === undefined ? config.shutdownDelayMs : 0;
    const overdue = () => {
      log.fatal('did not stop within SHUTDOWN_GRACE');
      process.exit(1);
    };
    setTimeout(overdue, delayMs + config.shutdownGraceMs).unref();
    server.stop(reason, delayMs).then(
      () => process.exit(code),
      (failure: unknown) => {
        log.fatal({ err: failure }, 'stopping failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => exit('SIGTERM', 0));
  process.on('SIGINT', () => exit('SIGINT', 0));
  process.on('uncaughtException', (error) => exit('uncaught exception', 1, error));
  process.on('unhandledRejection', (error) => exit('unhandled rejection', 1, error));
  try {
    await server.start();
  } catch (error) {
    if (!exiting) {
      for (const problem of problemsOf(error)) console.error(problem);
      // Closes, too: a lease that nobody gives back would hold up the next change of authority.
      exit('cannot start', error instanceof ConfigError ? 2 : 1, error);
    }
  }
  return server;
}

/** One line each. */
function problemsOf(error: unknown): readonly string[] {
  return error instanceof ConfigError
    ? error.problems
    : [onOneLine(`cannot start: ${describeError(error).message}`)];
}

/** `npm start`: production, from the environment alone. Exit code 2 when the configuration is refused. */
async function main(): Promise<void> {
  try {
    await serve(loadConfig(process.env, { production: true }));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) console.error(problem);
    process.exit(2);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
