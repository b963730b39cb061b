/** The harness has teeth: each seeded bug, put into the running service, is found; without one nothing is. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BUGS } from './bugs.ts';
import { SCENARIOS, SHOWN_BY } from './scenarios.ts';
import { openStage, type Stage } from './stage.ts';

/** Processes that start and hash at real cost, on a machine that does other things as well. */
const PATIENT_MS = 240_000;

describe('seeded bugs', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage();
  }, PATIENT_MS);
  afterAll(() => stage.close(), PATIENT_MS);

  test.each(Object.keys(SCENARIOS) as (keyof typeof SCENARIOS)[])(
    '%s holds without one',
    async (name) => {
      expect(await stage.play(SCENARIOS[name], null)).toEqual([]);
    },
    PATIENT_MS,
  );

  test.each(BUGS)(
    '%s leads to its finding',
    async (bug) => {
      const { scenario, finding } = SHOWN_BY[bug];
      const found = await stage.play(SCENARIOS[scenario], bug);
      expect(found).toContainEqual(expect.stringMatching(finding));
    },
    PATIENT_MS,
  );
});
