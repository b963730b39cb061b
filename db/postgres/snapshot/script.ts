/**
 * An archive as a script, for a server older than the programs: they set what only a newer one knows, and such a script
 * fails at its first line. Its head, and nothing behind it, is relieved of those lines.
 */
import { spawn } from 'node:child_process';
import { pipeline } from 'node:stream/promises';
import type { LibpqConnection } from './libpq.ts';
import { endOf, type PostgresTools, ToolFailed } from './tools.ts';

const HEAD_LINE = /^(SET |SELECT pg_catalog\.set_config|--|\\restrict |\s*$)/;
const SETTING = /^SET (\w+) = [^\n]*;\r?$/;

/** Leaves out the lines of the head that set something not in `known`. */
export async function* withoutUnknownSettings(
  chunks: AsyncIterable<Uint8Array>,
  known: ReadonlySet<string>,
): AsyncGenerator<Uint8Array> {
  let head: string | null = '';
  for await (const chunk of chunks) {
    if (head === null) {
      yield chunk;
      continue;
    }
    // One byte, one character: what comes behind may be cut anywhere.
    head += Buffer.from(chunk).toString('latin1');
    for (let end = head.indexOf('\n'); end !== -1; end = head.indexOf('\n')) {
      const line = head.slice(0, end);
      if (!HEAD_LINE.test(line)) break;
      const [, name] = SETTING.exec(line) ?? [];
      head = head.slice(end + 1);
      if (name === undefined || known.has(name)) yield Buffer.from(`${line}\n`, 'latin1');
    }
    if (!head.includes('\n')) continue;
    yield Buffer.from(head, 'latin1');
    head = null;
  }
  if (head !== null && head !== '') yield Buffer.from(head, 'latin1');
}

/** Without a file of the user's, or a question. */
export const PSQL: readonly string[] = ['--no-psqlrc', '--quiet', '--no-password', '--set=ON_ERROR_STOP=1'];

/** Runs `pg_restore` into `psql`, all of it or nothing. Throws `ToolFailed`. */
export async function runScript(
  tools: PostgresTools,
  restoreArgs: readonly string[],
  options: LibpqConnection & { readonly known: ReadonlySet<string>; readonly signal?: AbortSignal },
): Promise<void> {
  const { dbname, env, known, signal } = options;
  const signalled = signal === undefined ? {} : { signal };
  const restore = spawn(tools.restore, [...restoreArgs, '--file=-'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
    ...signalled,
  });
  const psql = spawn(tools.psql, [...PSQL, '--single-transaction', `--dbname=${dbname}`], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env,
    ...signalled,
  });
  const ended = Promise.all([endOf(restore), endOf(psql)]);
  // Whichever ends early says so by its code.
  await pipeline(withoutUnknownSettings(restore.stdout, known), psql.stdin).catch(() => restore.kill());
  const [restored, loaded] = await ended;
  if (loaded.code !== 0) throw new ToolFailed('psql', loaded);
  if (restored.code !== 0) throw new ToolFailed('pg_restore', restored);
}
