/** A process that copies, to be killed: it says on stdout where it is. Arguments: the two URLs and the run's id. */
import {
  resumeBackfill,
  rollbackBackfill,
  runBackfill,
  runWorker,
  verify,
} from '../../cutover/copy/index.ts';
import { openScope } from './scope.ts';

const [, , mongoUrl = '', postgresUrl = '', run = '', verb = 'backfill', source = 'mongo'] = process.argv;
const { scope } = await openScope({ mongoUrl, postgresUrl });
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const report = (progress: { readonly phase: string; readonly documents: number }): void =>
  say(`${progress.phase} ${progress.documents > 0 ? 'some' : 'none'}`);
// Slow enough to be caught at it.
async function beforeMerge(): Promise<void> {
  say('before-merge');
  if (verb === 'hold') await new Promise<void>((resolve) => setTimeout(resolve, 60_000));
}
const options = { report, beforeMerge };
say('ready');
const helping = { report, signal: new AbortController().signal };
if (verb === 'worker') await runWorker(scope, helping);
// To be caught in the middle of a range.
else if (verb === 'slow-worker') await runWorker(scope, { ...helping, rate: 150 });
else if (verb === 'verify') await verify(scope, { runId: run, report, jobs: 1, rate: 1_500 });
else if (verb === 'rollback') await rollbackBackfill(scope, run, { report });
else if (verb === 'resume') await resumeBackfill(scope, run, options);
else {
  const from = source === 'postgres' ? 'postgres' : 'mongo';
  await runBackfill(scope, { ...options, runId: run, from, onBad: 'quarantine', rate: 1_500 });
}
say('done');
process.exit(0);
