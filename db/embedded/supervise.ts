/** Child processes that cannot outlive this one: a watchdog (see `watchdog.ts`) starts them and stops them. */
import { fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isRunning, type ProcessRow, readProcess } from './processes.ts';
import type { Command, Program, Report } from './watchdog.ts';

export type { Program } from './watchdog.ts';

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface Supervised {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** Resolves when the process is gone; it is killed when it does not stop in time. */
  stop(): Promise<void>;
}

export interface Supervisor {
  start(program: Program): Promise<Supervised>;
  /** Takes the lock file, held until `end` or this process's death; false when another process holds it. */
  lock(path: string): Promise<boolean>;
  unlock(path: string): void;
  /** The path is removed when the last server has stopped, however this process ends. */
  removeAtEnd(path: string): void;
  /** Stops everything, removes what is to be removed; resolves when the watchdog is gone. */
  end(): Promise<void>;
}

/** The folder belongs to another run that is still alive. */
export class DataInUse extends Error {
  override readonly name = 'DataInUse';
  readonly folder: string;
  readonly pid: number | null;
  constructor(folder: string, pid: number | null) {
    super(`${folder} is in use by another run${pid === null ? '' : ` (process ${pid})`}`);
    this.folder = folder;
    this.pid = pid;
  }
}

export function openSupervisor(): Supervisor {
  const watchdog = fork(fileURLToPath(new URL('./watchdog.ts', import.meta.url)), [], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    execArgv: [],
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '' },
  });
  const gone = new Promise<void>((resolve) => {
    watchdog.once('exit', () => resolve());
    watchdog.once('error', () => resolve());
  });
  const listeners = new Map<number, (report: Report) => void>();
  watchdog.on('message', (report: Report) => listeners.get(report.id)?.(report));
  let lastId = 0;

  const send = (command: Command): void => {
    if (watchdog.connected) watchdog.send(command);
  };

  const start = (program: Program): Promise<Supervised> =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      let settle: (exit: Exit) => void = () => {};
      const exited = new Promise<Exit>((done) => {
        settle = done;
      });
      void gone.then(() => {
        settle({ code: null, signal: 'SIGKILL' });
        reject(new Error('the watchdog of the embedded servers is gone'));
      });
      listeners.set(id, (report) => {
        if (report.type === 'failed')
          reject(new Error(`${program.command} did not start: ${report.message}`));
        if (report.type === 'exited') settle(report);
        if (report.type !== 'started') return;
        const stop = async (): Promise<void> => {
          send({ type: 'stop', id });
          await exited;
        };
        resolve({ pid: report.pid, exited, stop });
      });
      send({ type: 'start', id, program });
    });

  const lock = (path: string): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      void gone.then(() => reject(new Error('the watchdog of the embedded servers is gone')));
      listeners.set(id, (report) => {
        listeners.delete(id);
        resolve(report.type === 'locked' && report.ok);
      });
      send({ type: 'lock', id, path });
    });

  return {
    start,
    lock,
    unlock: (path) => send({ type: 'unlock', id: 0, path }),
    removeAtEnd: (path) => send({ type: 'removeAtEnd', path }),
    async end() {
      if (watchdog.connected) watchdog.disconnect();
      await gone;
    },
  };
}

/** How long a run that is just stopping may keep the folder. */
const HANDOVER_TIMEOUT_MS = 30_000;

/** Makes this run the folder's only one; waits for a run that is stopping, throws `DataInUse` for a living one. */
export async function claimFolder(supervisor: Supervisor, folder: string): Promise<void> {
  const holderFile = join(folder, 'holder.json');
  const deadline = Date.now() + HANDOVER_TIMEOUT_MS;
  while (!(await supervisor.lock(join(folder, 'lock')))) {
    const holder = readHolder(holderFile);
    const lives = holder !== null && isRunning(holder);
    if (lives || Date.now() > deadline) throw new DataInUse(folder, holder?.pid ?? null);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const startedAt = readProcess(process.pid)?.startedAt ?? '';
  writeFileSync(holderFile, JSON.stringify({ pid: process.pid, startedAt }), { mode: 0o600 });
}

function readHolder(path: string): Pick<ProcessRow, 'pid' | 'startedAt'> | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}
