/** Another program of this project, run to its end. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface RunOutcome {
  readonly code: number | null;
  readonly output: string;
}

/** Node with these arguments; what it writes is shown as well. */
export function runNode(args: readonly string[], env: Readonly<Record<string, string>>): Promise<RunOutcome> {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    process.stdout.write(chunk);
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}
