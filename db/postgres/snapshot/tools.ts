/** PostgreSQL's own programs for dumps, when there are some that fit the server. */
import { type ChildProcess, spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { LibpqConnection } from './libpq.ts';

export interface PostgresTools {
  readonly dump: string;
  readonly restore: string;
  /** Beside them, as a rule; needed where they are newer than the server. */
  readonly psql: string;
  /** As it names itself: `pg_dump (PostgreSQL) 18.1`. */
  readonly version: string;
  readonly major: number;
}

const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'PGPASSFILE'] as const;

/** Of ours, what such a program needs to find libraries and the file of passwords: the rest holds secrets that are not its. */
export const bareEnvironment = (): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(INHERITED.map((name) => [name, process.env[name]])),
  // What it says of a connection is looked for in English.
  LC_ALL: 'C',
});

/** A program failed. What it said may quote a row, so only its exit code travels, and why it could not connect. */
export class ToolFailed extends Error {
  override readonly name = 'ToolFailed';
  /** Whether it did not get as far as the database. */
  readonly isConnection: boolean;
  constructor(program: string, { code, said }: ToolEnd) {
    const lines = NOT_CONNECTED.test(said) ? (said.match(EACH_TRY) ?? []) : null;
    // A server that is not ours may say anything there.
    const why = lines
      ?.join('; ')
      .replace(/[^\x20-\x7e]/g, ' ')
      .slice(0, SAID_CHARS);
    super(`${program} failed (${code ?? 'it did not start'})${why === undefined ? '' : `: ${why}`}`);
    this.isConnection = why !== undefined;
  }
}

/** libpq's own words, before anything has been read; for each address that a name has. */
const NOT_CONNECTED = /^\w+: error: connection to [^\n]* failed: /m;
const EACH_TRY = /(?<=^|^\w+: error: )connection to [^\n]* failed: [^\n]*/gm;
const SAID_CHARS = 400;

/** How a program ended: its exit code or signal, null when it did not start, and the first of what it complained of. */
export interface ToolEnd {
  readonly code: number | string | null;
  readonly said: string;
}

const SAID_MAX_CHARS = 8_192;

/** Of a child whose standard error is piped. */
export async function endOf(child: ChildProcess): Promise<ToolEnd> {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (part: string) => {
    if (said.length < SAID_MAX_CHARS) said += part;
  });
  const code = await new Promise<number | string | null>((resolve) => {
    child.once('close', (exit, killed) => resolve(exit ?? killed)).once('error', () => resolve(null));
  });
  return { code, said };
}

/** The first pg_dump and pg_restore, in `PG_BIN` or on PATH, of this major version or a newer one; null: none. */
export async function findTools(env: NodeJS.ProcessEnv, serverMajor: number): Promise<PostgresTools | null> {
  const { PG_BIN = '', PATH = '' } = env;
  for (const folder of PG_BIN === '' ? PATH.split(delimiter) : [PG_BIN]) {
    if (folder === '') continue;
    const [dump, restore] = [join(folder, 'pg_dump'), join(folder, 'pg_restore')];
    if (!(await isExecutable(dump)) || !(await isExecutable(restore))) continue;
    const version = await versionOf(dump);
    const major = majorOf(version);
    if (major >= serverMajor) return { dump, restore, psql: join(folder, 'psql'), version, major };
  }
  return null;
}

/** `pg_dump (PostgreSQL) 15.14 (Debian …)`: 15. */
export const majorOf = (version: string): number => Number(/\(PostgreSQL\) (\d+)/.exec(version)?.[1] ?? 0);

const isExecutable = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );

async function versionOf(program: string): Promise<string> {
  const child = spawn(program, ['--version'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: bareEnvironment(),
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  await new Promise((resolve) => {
    child.once('close', resolve).once('error', resolve);
  });
  return text.trim();
}

/** Runs a program to its end. Throws `ToolFailed`. */
export async function runTool(
  program: string,
  args: readonly string[],
  { env, signal }: Pick<LibpqConnection, 'env'> & { readonly signal?: AbortSignal },
): Promise<void> {
  const ended = await endOf(
    spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env,
      ...(signal === undefined ? {} : { signal }),
    }),
  );
  if (ended.code !== 0) throw new ToolFailed(program.replace(/^.*[\\/]/, ''), ended);
}
