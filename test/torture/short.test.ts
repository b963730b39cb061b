/** The short form of `npm run torture`: the same run over the whole ladder, with each kind of fault once. */
import { expect, test } from 'vitest';
import { runCampaign } from './campaign.ts';
import { QUIET } from './progress.ts';

test('three instances, both stores, flips, faults and a coordinator that dies: all of it holds', {
  timeout: 600_000,
}, async () => {
  const report = await runCampaign({
    seed: 5,
    trafficMs: 20_000,
    instances: 3,
    people: 8,
    thinkMs: 60,
    // Each kind once.
    faults: 8,
    strikes: 2,
    flipStrikes: 1,
    crossings: { min: 0, max: 0 },
    legacy: 6,
    restMs: 100,
    // It ends as soon as everything has come.
    patienceMs: 400_000,
    // A hundredth of what a long run asks for.
    okMin: 1,
    caughtMin: 1,
    progress: QUIET,
  });
  expect(report.verdict.problems).toEqual([]);
  expect(report.bites).toHaveLength(11);
  // Every move in both directions, both copies: else something is left over, and that is a problem.
  expect(report.moves.length).toBeGreaterThanOrEqual(8);
  expect(report.records).toBeGreaterThan(0);
});
