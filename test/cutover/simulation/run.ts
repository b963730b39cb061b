/**
 * `node test/cutover/simulation/run.ts [--seeds N] [--from S] [--kind long|short|first] [--without RULE] [--until-failure]`: runs seeds and
 * prints what happened in them; exit code 1 on a violation, 2 for a wrong option. `--replay SEED` prints everything that happens in one.
 */
import { parseArgs } from 'node:util';
import { campaign, describe } from './campaign.ts';
import { KINDS } from './shape.ts';
import { simulate } from './simulate.ts';
import { WITHOUT, without } from './teeth.ts';

const USAGE = `usage: node test/cutover/simulation/run.ts [--seeds N] [--from S] [--kind ${KINDS.join('|')}] [--without RULE] [--until-failure]
       node test/cutover/simulation/run.ts --replay SEED [--kind ${KINDS.join('|')}] [--without RULE]

  RULE is one of: ${Object.keys(WITHOUT).join(', ')}`;

function whole(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new RangeError(`--${name} must be a whole number`);
}

function optionsOf() {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '1000' },
      from: { type: 'string', default: '1' },
      kind: { type: 'string', default: 'long' },
      without: { type: 'string' },
      replay: { type: 'string' },
      'until-failure': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const kind = KINDS.find((each) => each === values.kind);
  if (kind === undefined) throw new RangeError(`no such kind: ${values.kind}`);
  return {
    kind,
    seeds: whole('seeds', values.seeds),
    from: whole('from', values.from),
    replay: values.replay === undefined ? null : whole('replay', values.replay),
    untilFailure: values['until-failure'],
    rules: values.without === undefined ? {} : { rules: without(values.without) },
  };
}

function parse(): NonNullable<ReturnType<typeof optionsOf>> {
  try {
    const options = optionsOf();
    if (options !== null) return options;
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    process.exit(2);
  }
}

const { kind, replay, rules, ...range } = parse();

if (replay === null) {
  const { seeds, failed, steps, totals, longestWaitMs, seconds } = await campaign({
    ...range,
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
  const result = await simulate({ seed: replay, kind, traced: true, ...rules });
  for (const line of result.trace) console.log(line);
  console.log(describe(result));
  if (result.violations.length > 0) process.exitCode = 1;
}
