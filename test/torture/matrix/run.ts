/** What takes longer than any test may: whole suites with a store in trouble, and the whole search of the flip's states. */
import { runNode } from '../node.ts';
import { runSearch, type SearchOptions } from '../search.ts';
import { TROUBLES } from './trouble.ts';

/** What does not hold; empty when all of it does. Everything else is printed as it comes. */
export async function runMatrix(options: SearchOptions): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const trouble of TROUBLES) {
    process.stderr.write(`the contract and HTTP suites, the other store ${trouble}\n`);
    const config = 'test/torture/matrix/vitest.config.ts';
    const { code } = await runNode(['node_modules/vitest/vitest.mjs', 'run', '--config', config], {
      OTHER_STORE: trouble,
    });
    if (code !== 0) problems.push(`with the other store ${trouble}: the suites end with exit code ${code}`);
  }
  problems.push(...(await runSearch(options)));
  return problems;
}
