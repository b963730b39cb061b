import { describe, expect, it } from 'vitest';
import { SHORT, UNREDUCED } from './search/bounds.ts';
import { explore, type Result } from './search/explore.ts';
import { NO_REDUCTIONS } from './search/model.ts';
import { notTaken, describe as told } from './search/run.ts';

/** What only an attempt that was taken back comes to, and the reductions leave out as covered by one never begun. */
const REFUSED = ['lose (refused)', 'fence (refused)', 'abort (refused)'];
describe('the flip protocol, searched', () => {
  const results: Result[] = [];

  it.each([...SHORT])(
    '$name: nothing acknowledged lost, one authority, always a way on',
    (scenario) => {
      const result = explore(scenario);
      console.log(told(result));
      results.push(result);
      expect(result.finding, told(result)).toBeNull();
      expect(result.complete).toBe(true);
    },
    120_000,
  );

  it('finds nothing where attempts are taken back, step by step', () => {
    const result = explore(UNREDUCED, { reductions: NO_REDUCTIONS });
    console.log(told(result));
    results.push(result);
    expect(result.finding, told(result)).toBeNull();
    expect(result.complete).toBe(true);
    expect(REFUSED.filter((step) => !result.steps.has(step))).toEqual([]);
  }, 120_000);

  // Run on its own, this one looks for itself.
  it('takes every step of the protocol', () => {
    if (results.length === 0) {
      for (const scenario of SHORT) results.push(explore(scenario));
      results.push(explore(UNREDUCED, { reductions: NO_REDUCTIONS }));
    }
    const states = results.reduce((sum, result) => sum + result.states, 0);
    console.log(`${states} states in all`);
    expect(notTaken(results)).toEqual([]);
  }, 120_000);
});
