/** The whole bound of the model search, in a process of its own. */
import { type RunOutcome, runNode } from './node.ts';

export interface SearchOptions {
  /** For each scenario of the search. */
  readonly statesMax: number;
  /** Whether a bound that was not searched to its end is good enough. */
  readonly allowCut: boolean;
}

/** What does not hold; empty when all of it does. States, steps and times are printed as they come. */
export async function runSearch({ statesMax, allowCut }: SearchOptions): Promise<readonly string[]> {
  process.stderr.write(`the whole search of the flip's states, ${statesMax} at most in each scenario\n`);
  const search: RunOutcome = await runNode(
    ['test/cutover/search/run.ts', '--full', '--states-max', String(statesMax)],
    {},
  );
  const problems: string[] = [];
  if (search.code === null) problems.push('the search was ended before it was done');
  else if (search.code !== 0) problems.push('the search found a violation, or never took one of the steps');
  const cut = search.output.split('\n').filter((line) => line.includes('bound reached'));
  if (!allowCut) problems.push(...cut.map((line) => `not searched to its end: ${line}`));
  return problems;
}
