/**
 * The program `cutover`: the operator's command line. It reads what it needs from the environment, opens the stores,
 * and leaves the rest to cutover/cli.
 */
import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { EXIT_CODES } from '../cutover/cli/exit-codes.ts';
import { ConfigurationProblem } from '../cutover/cli/failures.ts';
import { type Given, type Opened, run } from '../cutover/cli/run.ts';
import { styleFor } from '../cutover/cli/style.ts';
import type { Size, Terminal } from '../cutover/cli/terminal.ts';
import { systemEnvironment } from '../cutover/environment.ts';
import type { Codec } from '../db/canonical.ts';
import type { Store } from '../db/port.ts';
import { ask } from './ask.ts';

const POOL_MAX = 4;
/** How long closing the stores may take: a frozen server must not keep the terminal. */
const CLOSE_MS = 2_000;
/** A shim and a terminal both hand on the same Ctrl-C; a later one means it. */
const SAME_SIGNAL_MS = 500;

function environmentOf(file: string | null): NodeJS.ProcessEnv {
  if (file === null) return process.env;
  try {
    return { ...parseEnv(readFileSync(file, 'utf8')), ...process.env };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new ConfigurationProblem([
      `--env-file cannot be read (${code}); name a file this process may read`,
    ]);
  }
}

async function configOf({ envFile, mappingFile }: Given) {
  // By the name it was given under.
  const asTyped = (problem: string): string =>
    mappingFile === null ? problem : problem.replace(/^MONGO_MAPPING_FILE:/, '--mapping:');
  const { ConfigError, loadStoresConfig } = await import('../plugins/config/stores.ts');
  try {
    const env = environmentOf(envFile);
    return loadStoresConfig(mappingFile === null ? env : { ...env, MONGO_MAPPING_FILE: mappingFile });
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigurationProblem(error.problems.map(asTyped));
    throw error;
  }
}

// The drivers take most of a second to load, and help should not wait for them.
async function openMongo(url: string | null, codec: Codec, timeoutMs: number): Promise<Store | null> {
  if (url === null) return null;
  const { openMongoStore } = await import('../db/mongo/store.ts');
  return openMongoStore({ url, codec, timeoutMs, poolMax: POOL_MAX, emailKeyPass: false });
}

async function openPostgres(url: string | null, timeoutMs: number): Promise<Store | null> {
  if (url === null) return null;
  const { openPostgresStore } = await import('../db/postgres/store.ts');
  return openPostgresStore({ url, timeoutMs, poolMax: POOL_MAX });
}

async function open(given: Given): Promise<Opened> {
  const { mongoUrl, mongoCodec, databaseUrl, storeTimeoutMs, retentionMs, configuredMode } =
    await configOf(given);
  const mongo = await openMongo(mongoUrl, mongoCodec, storeTimeoutMs);
  const postgres = await openPostgres(databaseUrl, storeTimeoutMs);
  const env = environmentOf(given.envFile);
  const closing = () => Promise.allSettled([mongo?.close(), postgres?.close()]);
  const limit = () => new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref());
  return {
    stores: { mongo, postgres },
    configuredMode,
    codec: mongoCodec,
    urls: { mongo: mongoUrl, postgres: databaseUrl },
    env,
    restoreUrl: async (into, url) => {
      const { readRestoreUrl } = await import('../plugins/config/restore-url.ts');
      return readRestoreUrl(env, into, url);
    },
    retentionMs,
    storeTimeoutMs,
    close: async () => {
      await Promise.race([closing(), limit()]);
    },
  };
}

function versionOf(): string {
  const metadata: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return (metadata as { readonly version: string }).version;
}

function interruption(): AbortSignal {
  const controller = new AbortController();
  let firstMs: number | null = null;
  const stop = (): void => {
    firstMs ??= performance.now();
    controller.abort();
    if (performance.now() - firstMs > SAME_SIGNAL_MS) {
      process.stderr.write(
        '\ncutover: ended at once; what state it left is not known: look at `cutover status`\n',
      );
      process.exit(4);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  // A shim that could not become this process was killed. Like Ctrl-C: what was begun is taken back, or comes to its end.
  process.on('disconnect', stop);
  return controller.signal;
}

const unread = new AbortController();
/** Why something that was found did not come out. */
let unwritten: string | null = null;
process.stdout.on('error', ({ code = 'unknown' }: NodeJS.ErrnoException) => {
  // Whoever reads may stop reading, as `head` does.
  if (code === 'EPIPE') unread.abort();
  else unwritten ??= code;
});
process.stderr.on('error', () => {});

/** A pseudo-terminal may call itself 0 by 0. */
function sizeOf({ columns, rows }: { readonly columns?: number; readonly rows?: number }): Size | null {
  return columns && rows ? { columns, rows } : null;
}

const terminal: Terminal = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  unread: unread.signal,
  outIsTty: process.stdout.isTTY === true,
  errIsTty: process.stderr.isTTY === true,
  outSize: () => sizeOf(process.stdout),
  errSize: () => sizeOf(process.stderr),
  outStyle: styleFor(process.stdout, process.env),
  errStyle: styleFor(process.stderr, process.env),
  ask: process.stdin.isTTY === true && process.stderr.isTTY === true ? ask : null,
};

// A scan leaves garbage and little else: garbage may double the heap, not make it four times as large, before it is collected.
setFlagsFromString('--heap-growing-percent=100');

// Waits of the verbs keep no process alive by themselves.
setInterval(() => {}, 60_000);

const exitCode = await run({
  argv: process.argv.slice(2),
  version: versionOf(),
  terminal,
  environment: systemEnvironment(),
  open,
  interrupted: interruption(),
});
// An error of the last write is told a moment after it.
await new Promise(setImmediate);
if (unwritten !== null) {
  process.stderr.write(`cutover: what was found could not be written (${unwritten})\n`);
}
// What is written to a pipe is written by now; what a driver may still hold open must not keep the terminal.
process.exit(unwritten !== null && exitCode === EXIT_CODES.done ? EXIT_CODES.difference : exitCode);
