/**
 * The parent of all embedded servers: a process of its own session, so that neither Ctrl-C nor `kill -9` of the
 * service's process group reaches it. When the channel to the service closes, for whatever reason, it stops every
 * server in order, removes what was to be kept for the run only, and ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { descendantsOf, signal } from './processes.ts';

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Both streams are appended to it. */
  readonly logFile: string;
  /** Tried in turn; SIGKILL for the whole tree follows. */
  readonly stopSignals: readonly NodeJS.Signals[];
  /** How long each signal may take. */
  readonly stopTimeoutMs: number;
}

export type Command =
  | { readonly type: 'start'; readonly id: number; readonly program: Program }
  | { readonly type: 'stop'; readonly id: number }
  | { readonly type: 'lock' | 'unlock'; readonly id: number; readonly path: string }
  | { readonly type: 'removeAtEnd'; readonly path: string };

export type Report =
  | { readonly type: 'started'; readonly id: number; readonly pid: number }
  | { readonly type: 'failed'; readonly id: number; readonly message: string }
  | {
      readonly type: 'exited';
      readonly id: number;
      readonly code: number | null;
      readonly signal: string | null;
    }
  | { readonly type: 'locked'; readonly id: number; readonly ok: boolean };

interface Running {
  readonly child: ChildProcess;
  readonly program: Program;
  readonly exited: Promise<void>;
}

const running = new Map<number, Running>();
const locks = new Map<string, DatabaseSync>();
const removals = new Set<string>();
let ending = false;

function report(message: Report): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

function start(id: number, program: Program): void {
  if (ending) return;
  const log = openSync(program.logFile, 'a', 0o600);
  const child = spawn(program.command, program.args, {
    cwd: program.cwd,
    env: program.env,
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  const exited = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      running.delete(id);
      report({ type: 'failed', id, message: error.message });
      resolve();
    });
    child.once('exit', (code, name) => {
      running.delete(id);
      report({ type: 'exited', id, code, signal: name });
      resolve();
    });
  });
  if (child.pid === undefined) return;
  running.set(id, { child, program, exited });
  report({ type: 'started', id, pid: child.pid });
}

async function stop({ child, program, exited }: Running): Promise<void> {
  const pid = child.pid;
  if (pid === undefined) return;
  // A frozen process would keep the signals until it is thawed.
  for (const frozen of [pid, ...descendantsOf(pid)]) signal(frozen, 'SIGCONT');
  for (const name of program.stopSignals) {
    signal(pid, name);
    if (await within(program.stopTimeoutMs, exited)) return;
  }
  for (const left of [pid, ...descendantsOf(pid)]) signal(left, 'SIGKILL');
  await exited;
}

async function within(timeoutMs: number, done: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  const result = await Promise.race([done.then(() => true), late]);
  clearTimeout(timer);
  return result;
}

/** A lock of the kernel's: it ends with this process, so none is ever stale. */
function lock(path: string): boolean {
  const file = new DatabaseSync(path);
  try {
    file.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
    locks.set(path, file);
    return true;
  } catch {
    file.close();
    return false;
  }
}

function unlock(path: string): void {
  locks.get(path)?.close();
  locks.delete(path);
}

async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  await Promise.all([...running.values()].map(stop));
  for (const path of removals) rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  process.exit(0);
}

process.on('message', (command: Command) => {
  switch (command.type) {
    case 'start':
      return start(command.id, command.program);
    case 'stop': {
      const target = running.get(command.id);
      if (target !== undefined) void stop(target);
      return;
    }
    case 'lock':
      return report({ type: 'locked', id: command.id, ok: lock(command.path) });
    case 'unlock':
      return unlock(command.path);
    case 'removeAtEnd':
      removals.add(command.path);
  }
});
process.once('disconnect', () => void end());
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => void end());
