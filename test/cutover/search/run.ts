/**
 * `node test/cutover/search/run.ts [--full] [--only TEXT] [--states-max N]`: searches and prints. Exit code 1 on a
 * violation, and on a step of the protocol that was never taken; a bound that ran out is named, and counts as neither.
 */
import { parseArgs } from 'node:util';
import { FULL, SHORT, UNREDUCED } from './bounds.ts';
import { explore, type Result } from './explore.ts';
import { NO_REDUCTIONS } from './model.ts';
import { STEPS } from './steps.ts';

export function describe(result: Result): string {
  const size = `${result.states} states, ${result.edges} edges in ${result.seconds.toFixed(1)} s`;
  const verdict =
    result.finding?.what ?? (result.complete ? 'all seen, nothing found' : 'bound reached, nothing found');
  return [`${result.scenario}: ${size}: ${verdict}`, ...(result.finding?.trace ?? [])].join('\n');
}

/** Steps of the protocol that none of these searches took: what was never done was not looked at. */
export function notTaken(results: readonly Pick<Result, 'steps'>[]): readonly string[] {
  return STEPS.filter((step) => !results.some(({ steps }) => steps.has(step)));
}

function main(): number {
  const { values } = parseArgs({
    options: {
      full: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      'states-max': { type: 'string', default: '1000000000' },
    },
  });
  const statesMax = Number(values['states-max']);
  const bounds = [UNREDUCED, ...(values.full ? FULL : SHORT)].filter(({ name }) =>
    name.includes(values.only),
  );
  const results: Result[] = [];
  for (const scenario of bounds) {
    const result = explore(scenario, {
      statesMax,
      ...(scenario === UNREDUCED ? { reductions: NO_REDUCTIONS } : {}),
      onProgress: (line) => process.stderr.write(`${line}\n`),
    });
    results.push(result);
    console.log(describe(result));
  }
  const states = results.reduce((sum, result) => sum + result.states, 0);
  const { maxRSS, userCPUTime } = process.resourceUsage();
  console.log(
    `${states} states in all, ${(userCPUTime / 1_000_000).toFixed(0)} s of processor time, ${Math.round(maxRSS / 1_024)} MiB at most`,
  );
  const missing = values.only === '' ? notTaken(results) : [];
  if (missing.length > 0) console.log(`steps never taken: ${missing.join(', ')}`);
  return missing.length > 0 || results.some(({ finding }) => finding !== null) ? 1 : 0;
}

if (import.meta.main) process.exitCode = main();
