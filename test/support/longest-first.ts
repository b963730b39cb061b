/**
 * The order of test files: where a clone knows no durations yet, Vitest goes by size, and the longest, which are short
 * files that start whole systems, come last: one worker then waits for the other. These go first, longest first.
 */
import { fileURLToPath } from 'node:url';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

export const LONGEST = [
  'test/torture/teeth.test.ts',
  'test/demo/demo.test.ts',
  'test/cutover/removal.test.ts',
  'test/http/shutdown.test.ts',
  'test/copy/killed.test.ts',
  'test/copy/memory.test.ts',
  'test/cutover/cli-copy.test.ts',
  'test/torture/short.test.ts',
  'test/contract/router.test.ts',
  'test/env/supervise.test.ts',
  'test/torture/zero-downtime.test.ts',
  'test/env/dev.test.ts',
  'test/cutover/protocol-reductions.test.ts',
  'test/cutover/protocol-search.test.ts',
  'test/cutover/cli-usage.test.ts',
  'test/cutover/cli-verbs.test.ts',
  'test/cutover/snapshot-cli.test.ts',
  'test/cutover/simulation/simulation.test.ts',
] as const;

const PLACES = new Map(
  LONGEST.map((file, place) => [fileURLToPath(new URL(`../../${file}`, import.meta.url)), place]),
);

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const placeOf = ({ moduleId }: TestSpecification): number => PLACES.get(moduleId) ?? LONGEST.length;
    return sorted.sort((a, b) => placeOf(a) - placeOf(b));
  }
}
