/** `cutover` as an operator runs it: a process of its own. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, expect } from 'vitest';
import { type Opened, type Program, run } from '../../cutover/cli/run.ts';
import { OUTPUTS, type Output, type OutputName } from '../../cutover/cli/schemas.ts';
import { PLAIN } from '../../cutover/cli/style.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import { readRestoreUrl } from '../../plugins/config/restore-url.ts';
import { inherited } from '../support/inherited.ts';
import { eventually } from '../support/wait.ts';

export const SHIM = fileURLToPath(new URL('../../bin/cutover.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Started {
  readonly pid: number;
  out(): string;
  err(): string;
  /** Waits until standard output or standard error holds it. */
  sees(expression: RegExp): Promise<void>;
  type(text: string): void;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

const RETENTION_MS = 30 * 86_400_000;

export type Env = Readonly<Record<string, string>>;

/** Runs on nothing of the test's environment but the path. `execArgv`: of the Node that starts it. */
export function start(args: readonly string[], env: Env = {}, execArgv: readonly string[] = []): Started {
  return launch(process.execPath, [...execArgv, '--', SHIM, ...args], env);
}

export const cutover = (args: readonly string[], env: Env = {}): Promise<Ended> => start(args, env).ended;

/** The program's inside, in this process: where a hundred processes would only tell the same, slowly. */
export async function inside(
  args: readonly string[],
  open: () => Promise<Omit<Opened, 'retentionMs'>> = noStores,
  {
    environment = systemEnvironment(),
    interrupted = new AbortController().signal,
  }: Partial<Pick<Program, 'environment' | 'interrupted'>> = {},
): Promise<Ended> {
  let [out, err] = ['', ''];
  const code = await run({
    argv: args,
    version: '0.0.0',
    terminal: {
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
      outIsTty: false,
      errIsTty: false,
      outSize: () => null,
      errSize: () => null,
      outStyle: PLAIN,
      errStyle: PLAIN,
      ask: null,
    },
    environment,
    open: async () => ({ retentionMs: RETENTION_MS, ...(await open()) }),
    interrupted,
  });
  return { code, out, err };
}

/** No store: whoever asks one fails. */
const noStores = async (): Promise<Omit<Opened, 'retentionMs'>> => ({
  stores: { mongo: null, postgres: null },
  configuredMode: null,
  restoreUrl: async (into, given) => readRestoreUrl({}, into, given),
  close: async () => {},
});

export const startOnTerminal = (args: readonly string[], env: Env = {}): Started =>
  startFileOnTerminal(SHIM, args, env);

/** A process on a pseudo-terminal: both streams come out as one. */
export function startFileOnTerminal(file: string, args: readonly string[], env: Env): Started {
  const relay = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
  return launch('python3', ['-c', relay, process.execPath, '--', file, ...args], { TERM: 'xterm', ...env });
}

/** One object on standard output, of the named schema; and the exit code is the one it names. */
export function json<N extends OutputName>(name: N, { code, out, err }: Ended): Output[N] {
  expect(out.trim().split('\n'), err).toHaveLength(1);
  const value: unknown = JSON.parse(out);
  const { error } = OUTPUTS[name].safeParse(value);
  expect(error?.issues, out).toBeUndefined();
  const parsed = value as Output[N];
  expect(code).toBe(parsed.exitCode);
  return parsed;
}

function launch(command: string, args: readonly string[], env: Env): Started {
  const child = spawn(command, args, { env: { ...inherited(), ...env } });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    out += part;
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    err += part;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, out, err }));
  });
  afterAll(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  if (child.pid === undefined) throw new Error(`${command} did not start`);
  return {
    pid: child.pid,
    out: () => out,
    err: () => err,
    sees: (expression) =>
      eventually(
        () => {
          if (!expression.test(out) && !expression.test(err))
            throw new Error(`${expression} not in ${out}${err}`);
        },
        { timeoutMs: 60_000 },
      ),
    type: (text) => child.stdin.write(text),
    kill: (signal) => child.kill(signal),
    ended,
  };
}
