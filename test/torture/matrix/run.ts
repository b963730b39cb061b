/** What takes longer than any test may: whole suites with a store in trouble, and the full search of the flip's states. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { TROUBLES } from './trouble.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export interface MatrixOptions {
  /** For each scenario of the search. */
  readonly statesMax: number;
  /** Whether a bound that was not searched to its end is good enough. */
  readonly allowCut: boolean;
}

/** What does not hold; empty when all of it does. Everything else is printed as it comes. */
export async function runMatrix({ statesMax, allowCut }: MatrixOptions): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const trouble of TROUBLES) {
    process.stderr.write(`the contract and HTTP suites, the other store ${trouble}\n`);
    const config = 'test/torture/matrix/vitest.config.ts';
    const { code } = await run(['node_modules/vitest/vitest.mjs', 'run', '--config', config], {
      OTHER_STORE: trouble,
    });
    if (code !== 0) problems.push(`with the other store ${trouble}: the suites end with exit code ${code}`);
  }
  process.stderr.write(`the full search of the flip's states, ${statesMax} at most in each scenario\n`);
  const search = await run(['test/cutover/search/run.ts', '--full', '--states-max', String(statesMax)], {});
  if (search.code !== 0) problems.push('the search found a violation');
  const cut = search.output.split('\n').filter((line) => line.includes('bound reached'));
  if (!allowCut) problems.push(...cut.map((line) => `not searched to its end: ${line}`));
  return problems;
}

/** Node with these arguments; what it writes is shown as well. */
function run(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly output: string }> {
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
