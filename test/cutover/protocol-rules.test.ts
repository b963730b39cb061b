import { describe, expect, it } from 'vitest';
import { explore } from './search/explore.ts';
import { DESIGN_RULES, MUTATIONS } from './search/mutations.ts';
import { describe as told } from './search/run.ts';

describe('a rule taken out', () => {
  it.each(MUTATIONS.filter((mutation) => !mutation.redundant))(
    '$rule: the search sees what it was for',
    ({ scenario, rules }) => {
      const result = explore(scenario, { rules, statesMax: 500_000 });
      console.log(told(result));
      expect(result.finding).not.toBeNull();
    },
    120_000,
  );

  // Otherwise the scenario, not the missing rule, would be what is found.
  it.each(MUTATIONS)(
    '$rule: with it, the same bound is clean',
    ({ scenario }) => {
      const result = explore(scenario);
      expect(result.finding, told(result)).toBeNull();
      expect(result.complete).toBe(true);
    },
    120_000,
  );

  it.each(Object.entries(DESIGN_RULES))('%s: is among them', (_rule, without) => {
    const missed = MUTATIONS.filter(({ redundant }) => !redundant).map(({ rule }) => rule);
    expect(without.length).toBeGreaterThan(0);
    expect(missed).toEqual(expect.arrayContaining([...without]));
  });
});
