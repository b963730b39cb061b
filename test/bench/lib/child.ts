/** Helper processes: started with an IPC channel, asked for things over it, gone when this process is gone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Child {
  readonly pid: number;
  /** Sends one request and waits for its answer; rejects when the process says so or ends. */
  ask<Answer>(request: object): Promise<Answer>;
  /** Resolves when the process is gone. */
  stop(): Promise<void>;
}

export interface ChildOptions {
  /** File name in `entry/`. */
  readonly entry: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Cores it may use, for `taskset`; null: all. */
  readonly cores: string | null;
  readonly nodeArgs?: readonly string[];
}

interface Envelope {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

const STOP_TIMEOUT_MS = 15_000;
const running = new Set<Child>();

/** Starts one; its standard output goes to the null device. */
export function startChild({ entry, env = {}, cores, nodeArgs = [] }: ChildOptions): Child {
  const file = fileURLToPath(new URL(`../entry/${entry}`, import.meta.url));
  const command = [process.execPath, ...nodeArgs, file];
  const [program = '', ...args] = cores === null ? command : ['taskset', '-c', cores, ...command];
  const inherited = { PATH: process.env['PATH'] ?? '', TZ: 'UTC' };
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...inherited, ...env },
  });
  const handle = wrap(entry, child);
  running.add(handle);
  child.once('exit', () => running.delete(handle));
  return handle;
}

/** Stops every process that was started here. */
export async function stopChildren(): Promise<void> {
  await Promise.all([...running].map((child) => child.stop()));
}

function wrap(name: string, child: ChildProcess): Child {
  const waiting = new Map<number, (envelope: Envelope) => void>();
  let lastId = 0;
  const exited = new Promise<void>((resolve) => {
    const end = (reason: string) => {
      for (const settle of waiting.values()) settle({ id: 0, error: `${name} ${reason}` });
      waiting.clear();
      resolve();
    };
    child.once('exit', (code, signal) => end(`ended (${signal ?? code})`));
    child.once('error', (error) => end(`did not start: ${error.message}`));
  });
  child.on('message', (envelope: Envelope) => {
    waiting.get(envelope.id)?.(envelope);
    waiting.delete(envelope.id);
  });
  return {
    pid: child.pid ?? 0,
    ask: <Answer>(request: object) =>
      new Promise<Answer>((resolve, reject) => {
        if (!child.connected) return reject(new Error(`${name} is gone`));
        const id = ++lastId;
        waiting.set(id, ({ answer, error }) =>
          // The two ends are of one program: the request's name says the type of its answer.
          error === undefined ? resolve(answer as Answer) : reject(new Error(error)),
        );
        child.send({ id, request });
      }),
    async stop() {
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exited;
      clearTimeout(kill);
    },
  };
}

/** The other end: ends this process when the channel closes, also when it has closed before. To be called first. */
export function endWithParent(): void {
  process.on('disconnect', () => process.exit(0));
  if (!process.connected) process.exit(0);
}

/** Answers requests one by one. */
export function answerRequests<Request>(handle: (request: Request) => Promise<unknown>): void {
  process.on('message', ({ id, request }: { id: number; request: Request }) => {
    handle(request).then(
      (answer) => process.send?.({ id, answer }),
      (error: unknown) =>
        process.send?.({ id, error: error instanceof Error ? error.message : String(error) }),
    );
  });
}
