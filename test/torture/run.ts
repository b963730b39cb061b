/**
 * `npm run torture -- [--minutes N] [--seed S] [--json]`: traffic, faults and flips for so long, then the verdict. With
 * `--search` or `--matrix` the proofs that are searches or suites.
 * Exit code 0 only if all of it held; 2 for a wrong option.
 */
import { parseArgs } from 'node:util';
import { type CampaignOptions, runCampaign } from './campaign.ts';
import { WHOLE_ROUND } from './faults/plan.ts';
import { RUN_SETTINGS } from './flips/operator.ts';
import { runMatrix } from './matrix/run.ts';
import { TROUBLES, type Trouble } from './matrix/trouble.ts';
import { createProgress } from './progress.ts';
import { describeReport } from './report.ts';
import { runSearch } from './search.ts';

const USAGE = `usage: npm run torture -- [--minutes N] [--seed S] [--json]
       npm run torture -- --search [--states-max N] [--allow-cut]
       npm run torture -- --matrix [--trouble down|frozen|slow] [FILE...]

  --minutes N  how long traffic, faults and flips go on (default 10)
  --seed S     draws everything that is left to chance; the same seed plans the same run (default: the time)
  --json       the verdict as JSON on standard output

  --search        the whole search of the flip's states; a run of 30 minutes or more ends with it as well
  --states-max N  of each scenario of the search (default: as many as there are)
  --allow-cut     a scenario that was not searched to its end does not fail the run

  --matrix        the contract and HTTP suites in every mode with the store that is not the authority down, then
                  frozen, then slow
  --trouble T     only one of these; may be given several times
  FILE            only files whose path contains it, such as contract, or test/http/login`;

/** From here on a run counts as a long one, in which every kind must have gone well this often. */
const LONG_MINUTES = 5;
const LONG_OK_MIN = 100;
/** And each wrong that must be refused was caught this often. */
const LONG_CAUGHT_MIN = 25;
/** And from here on as one that can afford the whole search of the flip's states as well. */
const SEARCH_MINUTES = 30;

export function optionsFor(minutes: number, seed: number): Omit<CampaignOptions, 'progress'> {
  return {
    seed,
    trafficMs: minutes * 60_000,
    instances: 3,
    people: 12,
    thinkMs: 60,
    faults: Math.max(2, Math.ceil(minutes * (WHOLE_ROUND / LONG_MINUTES))),
    strikes: Math.max(1, Math.floor(minutes * 2.4)),
    flipStrikes: Math.max(1, Math.floor(minutes * 0.8)),
    crossings: minutes >= LONG_MINUTES ? { min: 1, max: 3 } : { min: 0, max: 1 },
    legacy: 30,
    restMs: 1_000,
    patienceMs: minutes * 60_000 + 60_000,
    okMin:
      minutes >= LONG_MINUTES
        ? LONG_OK_MIN
        : Math.max(2, Math.floor((LONG_OK_MIN * minutes) / LONG_MINUTES / 2)),
    caughtMin: minutes >= LONG_MINUTES ? LONG_CAUGHT_MIN : 1,
  };
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string' },
      json: { type: 'boolean', default: false },
      matrix: { type: 'boolean', default: false },
      trouble: { type: 'string', multiple: true, default: [] },
      search: { type: 'boolean', default: false },
      'states-max': { type: 'string', default: '1000000000' },
      'allow-cut': { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const search = { statesMax: Number(values['states-max']), allowCut: values['allow-cut'] };
  if (!(search.statesMax > 0)) throw new RangeError('--states-max must be a number');
  if (!values.matrix && positionals.length + values.trouble.length > 0) {
    throw new RangeError('files and --trouble belong to --matrix');
  }
  if (values.matrix) {
    return tell(await runMatrix({ troubles: troublesNamed(values.trouble), files: positionals }));
  }
  if (values.search) return tell(await runSearch(search));
  const minutes = Number(values.minutes);
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
  if (!(minutes > 0) || !Number.isInteger(seed)) throw new RangeError('--minutes and --seed must be numbers');
  const options = optionsFor(minutes, seed);
  const lowered = Object.entries(RUN_SETTINGS).map(([key, value]) => `${key} ${value}`);
  process.stderr.write(`seed ${seed}; settings of this run: ${lowered.join(', ')}\n`);
  if (minutes < LONG_MINUTES) {
    process.stderr.write(`shorter than ${LONG_MINUTES} minutes: ${options.okMin} of each kind are enough\n`);
  }
  const report = await runCampaign({ ...options, progress: createProgress() });
  process.stdout.write(
    `${values.json ? JSON.stringify({ seed, minutes, ...report }) : describeReport(report)}\n`,
  );
  const searched = minutes >= SEARCH_MINUTES ? tell(await runSearch(search), process.stderr) : 0;
  return report.verdict.holds ? searched : 1;
}

/** Those of the names given, in their usual order; all when none is. */
function troublesNamed(names: readonly string[]): readonly Trouble[] {
  const unknown = names.find((name) => !TROUBLES.some((trouble) => trouble === name));
  if (unknown !== undefined) throw new RangeError(`--trouble must be one of ${TROUBLES.join(', ')}`);
  return names.length === 0 ? TROUBLES : TROUBLES.filter((trouble) => names.includes(trouble));
}

function tell(problems: readonly string[], to: NodeJS.WriteStream = process.stdout): number {
  to.write(problems.length === 0 ? 'It held.\n' : `IT DID NOT HOLD:\n${problems.join('\n')}\n`);
  return problems.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130));
  try {
    process.exit(await main());
  } catch (error) {
    const usage =
      error instanceof RangeError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS');
    process.stderr.write(usage ? `${(error as Error).message}\n${USAGE}\n` : `${(error as Error).stack}\n`);
    process.exit(usage ? 2 : 1);
  }
}
