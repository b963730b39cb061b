/**
 * An archive as a script, for a server older than the programs: they set what only a newer one knows, and such a script
 * fails at its first line. Its head, and nothing behind it, is relieved of those lines.
 */
import { spawn } from 'node:child_process';
import { pipeline } from 'node:stream/promises';
import { type PostgresTools, ToolFailed } from './tools.ts';

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

/** Runs `pg_restore` into `psql`, all of it or nothing. Throws `ToolFailed`. */
export async function runScript(
  tools: PostgresTools,
  restoreArgs: readonly string[],
  options: {
    readonly dbname: string;
    readonly env: Readonly<Record<string, string>>;
    readonly known: ReadonlySet<string>;
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { dbname, known, signal } = options;
  const env = { ...process.env, ...options.env };
  const signalled = signal === undefined ? {} : { signal };
  const restore = spawn(tools.restore, [...restoreArgs, '--file=-'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env,
    ...signalled,
  });
  const args = ['--no-psqlrc', '--quiet', '--no-password', '--single-transaction', '--set=ON_ERROR_STOP=1'];
  const psql = spawn(tools.psql, [...args, `--dbname=${dbname}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env,
    ...signalled,
  });
  const ended = Promise.all([restore, psql].map(endOf));
  // Whichever ends early says so by its code.
  await pipeline(withoutUnknownSettings(restore.stdout, known), psql.stdin).catch(() => restore.kill());
  const [restored, loaded] = await ended;
  if (loaded !== 0) throw new ToolFailed('psql', loaded ?? null);
  if (restored !== 0) throw new ToolFailed('pg_restore', restored ?? null);
}

function endOf(child: ReturnType<typeof spawn>): Promise<number | string | null> {
  return new Promise((resolve) => {
    child.once('close', (exit, killed) => resolve(exit ?? killed)).once('error', () => resolve(null));
  });
}
