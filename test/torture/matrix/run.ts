/** What takes longer than any test may: whole suites, with a store in trouble. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runNode } from '../node.ts';
import type { Trouble } from './trouble.ts';

export interface MatrixOptions {
  readonly troubles: readonly Trouble[];
  /** Only files whose path contains one of these; empty: all. */
  readonly files: readonly string[];
}

const COMMAND = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/torture/matrix/vitest.config.ts'];

/** What does not hold; empty when all of it does. Every test is printed as it comes, and each trouble's numbers at the end. */
export async function runMatrix({ troubles, files }: MatrixOptions): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'matrix-'));
  const problems: string[] = [];
  const summary: string[] = [];
  try {
    for (const [index, trouble] of troubles.entries()) {
      const what = `the contract and HTTP suites, the other store ${trouble} (${index + 1} of ${troubles.length})`;
      process.stderr.write(`${what}\n`);
      const startedMs = performance.now();
      const report = join(folder, `${trouble}.json`);
      const { code } = await runNode([...COMMAND, ...files], {
        OTHER_STORE: trouble,
        TEST_REPORT_FILE: report,
      });
      const minutes = ((performance.now() - startedMs) / 60_000).toFixed(1);
      summary.push(`${trouble}: ${await countsIn(report)}, ${minutes} minutes`);
      if (code !== 0) problems.push(`with the other store ${trouble}: the suites end with exit code ${code}`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  process.stderr.write(`${summary.join('\n')}\n`);
  return problems;
}

/** Vitest's own report; it writes none when it could not begin. */
async function countsIn(report: string): Promise<string> {
  const text = await readFile(report, 'utf8').catch(() => null);
  if (text === null) return 'no report';
  const { testResults, numPassedTests, numFailedTests } = JSON.parse(text);
  return `${testResults.length} files, ${numPassedTests} tests passed, ${numFailedTests} failed`;
}
