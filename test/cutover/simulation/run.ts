/**
 * `node test/cutover/simulation/run.ts [--seeds N] [--from S] [--kind long|short] [--without RULE] [--until-failure]`: runs seeds and prints
 * what happened in them; exit code 1 on a violation. `--replay SEED` prints everything that happens in one.
 */
import { parseArgs } from 'node:util';
import { campaign, describe } from './campaign.ts';
import { KINDS } from './shape.ts';
import { simulate } from './simulate.ts';
import { without } from './teeth.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    kind: { type: 'string', default: 'long' },
    without: { type: 'string' },
    replay: { type: 'string' },
    'until-failure': { type: 'boolean', default: false },
  },
});
const kind = KINDS.find((each) => each === values.kind);
if (kind === undefined) throw new RangeError(`no such kind: ${values.kind}; there are ${KINDS.join(', ')}`);
const rules = values.without === undefined ? {} : { rules: without(values.without) };

if (values.replay === undefined) {
  const { seeds, failed, steps, totals, longestWaitMs, seconds } = await campaign({
    from: Number(values.from),
    seeds: Number(values.seeds),
    untilFailure: values['until-failure'],
    kind,
    ...rules,
    onResult: (result) => {
      if (result.violations.length > 0) console.log(describe(result));
    },
  });
  for (const [what, times] of [...totals].sort(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`${String(times).padStart(9)} ${what}`);
  }
  console.log(`the longest wait of a request in calm weather: ${longestWaitMs.toFixed(0)} ms`);
  const rate = (seeds / seconds).toFixed(1);
  console.log(
    `${seeds} seeds in ${seconds.toFixed(1)} s (${rate}/s), ${steps} steps, ${failed.length} failed`,
  );
  if (failed.length > 0) process.exitCode = 1;
} else {
  const result = await simulate({ seed: Number(values.replay), kind, traced: true, ...rules });
  for (const line of result.trace) console.log(line);
  console.log(describe(result));
  if (result.violations.length > 0) process.exitCode = 1;
}
