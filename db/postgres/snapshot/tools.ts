/** PostgreSQL's own programs for dumps, when there are some that fit the server. */
import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Writable } from 'node:stream';

export interface PostgresTools {
  readonly dump: string;
  readonly restore: string;
  /** Beside them, as a rule; needed where they are newer than the server. */
  readonly psql: string;
  /** As it names itself: `pg_dump (PostgreSQL) 18.1`. */
  readonly version: string;
  readonly major: number;
}

/** A program failed. What it said may quote a row, so only its exit code travels. */
export class ToolFailed extends Error {
  override readonly name = 'ToolFailed';
  constructor(program: string, code: number | string | null) {
    super(`${program} failed (${code ?? 'it did not start'})`);
  }
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
  const child = spawn(program, ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  await new Promise((resolve) => {
    child.once('close', resolve).once('error', resolve);
  });
  return text.trim();
}

/** What libpq knows; `pg` takes some more, which would be an error there. */
const LIBPQ_PARAMETERS: ReadonlySet<string> = new Set([
  'sslmode',
  'sslcert',
  'sslkey',
  'sslrootcert',
  'sslcrl',
  'host',
  'port',
  'target_session_attrs',
  'connect_timeout',
  'options',
]);

/** The URL as an argument that everybody may see, and what nobody may as an environment. */
export function connectionOf(url: string): {
  readonly dbname: string;
  readonly env: Readonly<Record<string, string>>;
} {
  const parsed = new URL(url);
  const password = parsed.searchParams.get('password') ?? decodeURIComponent(parsed.password);
  parsed.password = '';
  for (const name of [...parsed.searchParams.keys()]) {
    if (!LIBPQ_PARAMETERS.has(name)) parsed.searchParams.delete(name);
  }
  return { dbname: parsed.href, env: password === '' ? {} : { PGPASSWORD: password } };
}

/** Runs a program to its end; its output goes to `out`. Throws `ToolFailed`. */
export async function runTool(
  program: string,
  args: readonly string[],
  options: {
    readonly env: Readonly<Record<string, string>>;
    readonly signal?: AbortSignal;
    readonly out?: Writable;
  },
): Promise<void> {
  const { env, signal, out } = options;
  const child = spawn(program, args, {
    stdio: ['ignore', out === undefined ? 'ignore' : 'pipe', 'ignore'],
    env: { ...process.env, ...env },
    ...(signal === undefined ? {} : { signal }),
  });
  if (out !== undefined) child.stdout?.pipe(out, { end: false });
  const code = await new Promise<number | string | null>((resolve) => {
    child.once('close', (exit, killed) => resolve(exit ?? killed)).once('error', () => resolve(null));
  });
  if (code !== 0) throw new ToolFailed(program.replace(/^.*[\\/]/, ''), code);
}
