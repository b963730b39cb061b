/**
 * `node test/cutover/simulation/run.ts [--seeds N] [--from S] [--without RULE] [--trace]`: runs seeds and prints what
 * happened. Exit code 1 on a violation. A failing seed replays: `--from SEED --seeds 1 --trace`.
 */
import { parseArgs } from 'node:util';
import { simulate } from './simulate.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    twice: { type: 'boolean', default: false },
    failures: { type: 'string', default: '3' },
  },
});
let current = 0;
process.on('unhandledRejection', (error) => {
  console.error(`seed ${current}: unhandled`, error);
  process.exit(1);
});
// Stacks are costly, and errors are the daily bread here.
if (!values.trace) Error.stackTraceLimit = 0;
const totals = new Map<string, number>();
let steps = 0;
let failed = 0;
const started = performance.now();
const seeds = Number(values.seeds);
for (current = Number(values.from); current < Number(values.from) + seeds; current += 1) {
  const result = await simulate({ seed: current, traced: values.trace });
  steps += result.steps;
  if (values.twice) {
    const again = await simulate({ seed: current });
    if (again.fingerprint !== result.fingerprint) console.log(`seed ${current} does not replay: ${result.steps} and ${again.steps} steps`);
  }
  for (const [what, times] of result.counts) totals.set(what, (totals.get(what) ?? 0) + times);
  if (values.trace) for (const line of result.trace) console.log(line);
  if (result.violations.length > 0) {
    failed += 1;
    if (failed <= Number(values.failures)) {
      console.log(`seed ${current} (${result.climate}): ${result.violations.length} violations`);
      for (const { rule, what, entry } of result.violations.slice(0, 8)) {
        console.log(`  ${rule}: ${what}${entry === null ? '' : ` (call ${entry.order} ${entry.process} ${entry.name} ${entry.startMs.toFixed(1)}-${entry.endMs.toFixed(1)})`}`);
      }
    }
  }
}
const seconds = (performance.now() - started) / 1000;
for (const [what, times] of [...totals].sort(([a], [b]) => (a < b ? -1 : 1))) console.log(`${String(times).padStart(9)} ${what}`);
console.log(`${seeds} seeds in ${seconds.toFixed(1)} s, ${(seeds / seconds).toFixed(1)}/s, ${steps} steps; ${failed} failed`);
if (failed > 0) process.exitCode = 1;
