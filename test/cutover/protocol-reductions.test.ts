import { describe, expect, it } from 'vitest';
import { explore } from './search/explore.ts';
import { factsOf, notCovered } from './search/facts.ts';
import { ALL_REDUCTIONS, NO_REDUCTIONS, type Reductions, type Scenario } from './search/model.ts';
import { MUTATIONS } from './search/mutations.ts';
import { describe as told } from './search/run.ts';
import { HANDOVER_SCENARIO, KEEP_SCENARIO, SESSION_SCENARIO, SIGNUP_SCENARIO } from './search/scenarios.ts';

const one = { attempts: 1, workersOverlap: true } as const;

/** Small enough to be searched with each reduction alone, and with all but each. */
const SMALL: readonly Scenario[] = [
  {
    ...SESSION_SCENARIO,
    ...one,
    name: 'nothing in flight; any fault',
    without: 1 | 2 | 4,
    faults: 1,
    restarts: true,
  },
  { ...SESSION_SCENARIO, ...one, name: 'logout, refresh', without: 1 },
  { ...SIGNUP_SCENARIO, ...one, name: 'two signups; a crash', faults: 1, kinds: ['crash'] },
  { ...HANDOVER_SCENARIO, ...one },
];

/** Where a lease can be renewed before it lapses. */
const FREE: Scenario = {
  ...SESSION_SCENARIO,
  ...one,
  name: 'nothing in flight; free clocks',
  without: 1 | 2 | 4,
  pauses: 'free',
  leaseTicks: 2,
};

/** Small enough to be searched without any reduction as well. */
const BOUNDS: readonly Scenario[] = [
  ...SMALL,
  FREE,
  { ...SESSION_SCENARIO, name: 'nothing in flight; there and back', without: 1 | 2 | 4 },
  {
    ...SESSION_SCENARIO,
    ...one,
    name: 'logout; a lost message or coordinator',
    without: 1 | 4,
    faults: 1,
    kinds: ['message', 'coordinator'],
  },
  { ...SESSION_SCENARIO, ...one, name: 'logout; a pause', without: 1 | 4, faults: 1, kinds: ['pause'] },
  { ...KEEP_SCENARIO, ...one },
];

const EACH = Object.keys(ALL_REDUCTIONS) as (keyof Reductions)[];

describe('what makes the search smaller', () => {
  it.each(BOUNDS)(
    '$name: nothing is reached without it that is not reached with it',
    (scenario) => {
      const whole = factsOf(scenario, NO_REDUCTIONS);
      expect(whole.result.finding, told(whole.result)).toBeNull();
      const variants = EACH.flatMap((name): Reductions[] => [
        { ...NO_REDUCTIONS, [name]: true },
        { ...ALL_REDUCTIONS, [name]: false },
      ]);
      for (const reductions of SMALL.includes(scenario) ? [ALL_REDUCTIONS, ...variants] : [ALL_REDUCTIONS]) {
        const reduced = factsOf(scenario, reductions);
        const which = JSON.stringify(reductions);
        expect(reduced.result.finding, `${which}: ${told(reduced.result)}`).toBeNull();
        expect(reduced.result.complete).toBe(true);
        expect(notCovered(reduced, whole), which).toEqual([]);
        expect(notCovered(whole, reduced), which).toEqual([]);
      }
    },
    300_000,
  );

  // With each of them alone left out: one that hid a violation would let it be found here, and not in the rules' own test.
  it.each(EACH)(
    'without "%s" the same rules are missed',
    (name) => {
      const reductions = { ...ALL_REDUCTIONS, [name]: false };
      for (const { rule, rules, scenario, redundant } of MUTATIONS) {
        if (redundant) continue;
        const result = explore(scenario, { rules, reductions, statesMax: 1_000_000 });
        expect(result.finding, `without ${rule}, ${told(result)}`).not.toBeNull();
      }
    },
    300_000,
  );
});
