/** The short form of `npm run torture`: the same run, with few faults. */
import { expect, test } from 'vitest';
import { runCampaign } from './campaign.ts';
import { QUIET } from './progress.ts';

test('three instances, both stores, flips, faults and a coordinator that dies: all of it holds', {
  timeout: 300_000,
}, async () => {
  const report = await runCampaign({
    seed: 5,
    trafficMs: 25_000,
    instances: 3,
    people: 8,
    thinkMs: 60,
    faults: 2,
    strikes: 3,
    crossings: { min: 0, max: 0 },
    legacy: 6,
    restMs: 100,
    // A hundredth of what a long run asks for.
    okMin: 1,
    progress: QUIET,
  });
  expect(report.verdict.problems).toEqual([]);
  expect(report.bites).toHaveLength(3);
  expect(report.moves.length).toBeGreaterThan(1);
  expect(report.records).toBeGreaterThan(0);
});
