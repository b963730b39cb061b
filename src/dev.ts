/** `npm run dev`: the service with everything it needs, started here unless the environment names it. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DataInUse, openSupervisor, type Supervisor } from '../db/embedded/supervise.ts';
import { ConfigError, loadConfig } from '../plugins/config.ts';
import { onAncestorDeath } from './dev/ancestors.ts';
import { banner } from './dev/banner.ts';
import { openDatabases } from './dev/databases.ts';
import { type DevOptions, HELP, parseOptions } from './dev/options.ts';
import { choosePort, PortTaken } from './dev/port.ts';
import { developmentSecrets } from './dev/secrets.ts';
import type { RunningServer } from './server.ts';

const projectDir = fileURLToPath(new URL('..', import.meta.url));
const usualDataDir = join(projectDir, '.data');
const log = (line: string): void => console.log(`[dev] ${line}`);

/** Starts everything; `onServer` is told of the service as soon as it listens. */
async function run(
  options: DevOptions,
  supervisor: Supervisor,
  onServer: (server: RunningServer) => void,
): Promise<void> {
  const env: NodeJS.ProcessEnv = { ...process.env };
  if (env['NODE_ENV'] === 'production') {
    throw new ConfigError([
      'NODE_ENV: is production, where mails and keys of `npm run dev` are unsafe; use npm start',
    ]);
  }
  const dataDir = options.ephemeral ? null : resolve(options.dataDir ?? usualDataDir);
  const host = setting(env, 'HOST') ?? '127.0.0.1';
  env['PORT'] = String(
    await choosePort({ wanted: setting(env, 'PORT'), host, ephemeral: options.ephemeral }),
  );
  if (dataDir !== null) mkdirSync(dataDir, { recursive: true });
  embedSecrets(env, dataDir);
  // Checked before anything is started; the databases' URLs may be missing outside production.
  const { databaseUrl, mongoUrl } = loadConfig(env, { production: false });
  // Loaded while the databases start, and not at all for --help or a mistake.
  const loading = import('./server.ts');
  const databases = await openDatabases({
    supervisor,
    dataDir,
    toolsDir: join(usualDataDir, 'tools'),
    databaseUrl: databaseUrl ?? undefined,
    mongoUrl: mongoUrl ?? undefined,
    log,
  });
  if (databaseUrl === null) env['DATABASE_URL'] = databases.postgres.url;
  if (mongoUrl === null) env['MONGO_URL'] = databases.mongo.url;
  const config = loadConfig(env, { production: false });
  const { startServer } = await loading;
  const server = await startServer(config).catch((error: NodeJS.ErrnoException) => {
    // Somebody was faster since the port was looked at.
    throw error.code === 'EADDRINUSE' ? new PortTaken(config.port) : error;
  });
  onServer(server);
  const envFile = dataDir === null ? null : join(dataDir, 'stores.env');
  if (envFile !== null) {
    const lines = ['MONGO_URL', 'DATABASE_URL'].map((name) => `${name}=${env[name]}\n`);
    writeFileSync(envFile, lines.join(''), { mode: 0o600 });
  }
  const coloured = process.stdout.isTTY === true && !env['NO_COLOR'];
  const { mode } = server.app.standing();
  console.log(banner({ config, effectiveMode: mode.effective, databases, dataDir, envFile, coloured }));
}

function embedSecrets(env: NodeJS.ProcessEnv, dataDir: string | null): void {
  const missing = (['AUTH_SECRETS', 'JWT_KEYS'] as const).filter(
    (name) => setting(env, name) === undefined && setting(env, `${name}_FILE`) === undefined,
  );
  if (missing.length === 0) return;
  const secrets = developmentSecrets(dataDir === null ? null : join(dataDir, 'secrets.json'));
  for (const name of missing) env[name] = secrets[name];
}

/** An empty variable counts as unset. */
function setting(env: NodeJS.ProcessEnv, name: string): string | undefined {
  return env[name] === '' ? undefined : env[name];
}

function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.problems.join('\n');
  if (error instanceof DataInUse)
    return `${error.message}: stop it, or use --ephemeral or another --data folder`;
  if (error instanceof PortTaken) return error.message;
  return error instanceof Error ? error.message : String(error);
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return console.log(HELP);
  const envFile = join(projectDir, '.env');
  if (existsSync(envFile)) process.loadEnvFile(envFile);

  const supervisor = openSupervisor();
  let server: RunningServer | undefined;
  let stopping = false;
  const stop = (reason: string, code: number): void => {
    // A second Ctrl-C leaves the rest to the watchdog.
    if (stopping) process.exit(1);
    stopping = true;
    log(`${reason}: stopping`);
    const served = server?.stop(reason) ?? Promise.resolve();
    void served
      .catch((error: unknown) => console.error(explain(error)))
      .then(() => supervisor.end())
      .then(() => process.exit(code));
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop(name, 0));
  onAncestorDeath((pid) => stop(`process ${pid}, which ran this one, is gone`, 0));
  try {
    await run(options, supervisor, (started) => {
      server = started;
    });
  } catch (error) {
    if (stopping) return;
    console.error(explain(error));
    await supervisor.end();
    process.exit(error instanceof ConfigError ? 2 : 1);
  }
}

await main().catch((error: unknown) => {
  console.error(explain(error));
  process.exitCode = 2;
});
