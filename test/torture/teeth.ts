/** `node test/torture/teeth.ts [BUG|none [SCENARIO]]`: shows what each seeded bug leads to. */
import { BUGS, type Bug } from './bugs.ts';
import { SCENARIOS, SHOWN_BY } from './scenarios.ts';
import { openStage } from './stage.ts';

const stage = await openStage();
const [only, scenario] = process.argv.slice(2);
const runs =
  only === undefined
    ? [
        ...Object.keys(SCENARIOS).map((name) => [null, name] as const),
        ...BUGS.map((bug) => [bug, SHOWN_BY[bug].scenario] as const),
      ]
    : [[BUGS.find((bug) => bug === only) ?? null, scenario ?? SHOWN_BY[only as Bug]?.scenario] as const];
for (const [bug, name] of runs) {
  const startedMs = performance.now();
  const problems = await stage
    .play(SCENARIOS[name as keyof typeof SCENARIOS], bug)
    .catch((error: unknown) => [String(error)]);
  console.log(
    `${bug ?? 'no bug'} in ${name} (${Math.round(performance.now() - startedMs)} ms): ${problems.length} problems`,
  );
  for (const problem of problems.slice(0, 4)) console.log(`  ${problem}`);
}
await stage.close();
process.exit();
