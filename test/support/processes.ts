/** Real processes: started, watched and killed by a test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll } from 'vitest';
import { isRunning, type ProcessRow, signal } from '../../db/embedded/processes.ts';
import { familyOf } from './family.ts';
import { eventually } from './wait.ts';

export interface Launched {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Both streams so far. */
  output(): string;
  /** Waits for the text and gives what the expression matched. */
  sees(expression: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** Exit code, or the signal's name. */
  readonly exited: Promise<number | string | null>;
}

/** Starts it in a process group of its own; killed after the file when it still runs. */
export function launch(
  command: string,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Launched {
  const child = spawn(command, args, {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part) => (text += part));
  const exited = new Promise<number | string | null>((resolve) => {
    // Not at its exit: what it wrote last may still be on its way.
    child.once('close', (code, name) => resolve(name ?? code));
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} did not start`);
  afterAll(() => {
    // Once it has ended, its number may be another's.
    if (child.exitCode !== null || child.signalCode !== null) return;
    for (const each of familyOf(pid)) signal(each.pid, 'SIGKILL');
  });
  return {
    child,
    pid,
    output: () => text,
    exited,
    sees: (expression, timeoutMs = 120_000) =>
      eventually(
        () => {
          const match = expression.exec(text);
          if (match === null) throw new Error(`${expression} is not in:\n${text}`);
          return match;
        },
        { timeoutMs },
      ),
  };
}

/** Waits until none of them is left: a server may have much to write before it ends. */
export async function allGone(processes: readonly ProcessRow[], timeoutMs = 90_000): Promise<void> {
  await eventually(
    () => {
      const left = processes.filter(isRunning);
      if (left.length > 0) throw new Error(`still running: ${left.map(nameOf).join(', ')}`);
    },
    { timeoutMs },
  );
}

/** Number, name and state, such as `123 (postgres) S`. */
function nameOf({ pid }: ProcessRow): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(0, stat.lastIndexOf(')') + 3);
  } catch {
    return String(pid);
  }
}
