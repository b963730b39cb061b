/**
 * `node test/cutover/search/run.ts [--full] [--states-max N]`: searches and prints. Exit code 1 on a violation; a bound
 * that ran out is named, and counts as neither.
 */
import { parseArgs } from 'node:util';
import { FULL, SHORT } from './bounds.ts';
import { explore, type Result } from './explore.ts';

export function describe(result: Result): string {
  const size = `${result.states} states, ${result.edges} edges`;
  const verdict =
    result.finding?.what ?? (result.complete ? 'all seen, nothing found' : 'bound reached, nothing found');
  return [`${result.scenario}: ${size}: ${verdict}`, ...(result.finding?.trace ?? [])].join('\n');
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { full: { type: 'boolean' }, 'states-max': { type: 'string', default: '6000000' } },
  });
  for (const scenario of values.full ? FULL : SHORT) {
    const result = explore(scenario, { statesMax: Number(values['states-max']) });
    console.log(describe(result));
    if (result.finding !== null) process.exitCode = 1;
  }
}
