/** A process that copies, to be killed: it says on stdout where it is, and stands still where it is told to. */
import {
  resumeBackfill,
  rollbackBackfill,
  runBackfill,
  runWorker,
  verify,
} from '../../cutover/copy/index.ts';
import type { PostgresBulk } from '../../db/postgres/copy/client.ts';
import type { Orders } from './killing.ts';
import { openScope } from './scope.ts';

const { urls, run, verb, from, rate, haltAt }: Orders = JSON.parse(process.argv[2] ?? '');
/** Whoever was to kill it has died. */
const HALT_MS = 120_000;

/** Where it is told to, all of the process stands still, with everything that it has in hand. */
function say(line: string): void {
  process.stdout.write(`${line}\n`);
  if (line !== haltAt) return;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, HALT_MS);
  process.exit(1);
}

const { scope: opened } = await openScope({ mongoUrl: urls.mongo, postgresUrl: urls.postgres });
const query: PostgresBulk['query'] = async (text, values) => {
  if (text.includes('string_agg') && text.includes('password_reset_tokens')) say('hashing-tokens');
  const rows = await opened.postgres.query(text, values);
  if (text.includes('create unique index')) say('indexed');
  return rows as never;
};
const { mongo } = opened.stores;
const apply: typeof mongo.replica.apply = async (entity, records, under) => {
  const outcomes = await mongo.replica.apply(entity, records, under);
  say(`applied ${entity}`);
  return outcomes;
};
const stores = { ...opened.stores, mongo: { ...mongo, replica: { ...mongo.replica, apply } } };
const scope = { ...opened, stores, postgres: { ...opened.postgres, query } };
const report = (progress: { readonly phase: string; readonly documents: number }): void =>
  say(`${progress.phase} ${progress.documents > 0 ? 'some' : 'none'}`);
const options = { report, beforeMerge: async () => say('before-merge') };

say('ready');
if (verb === 'worker') await runWorker(scope, { report, rate, signal: new AbortController().signal });
else if (verb === 'verify') await verify(scope, { runId: run, report, jobs: 1, rate });
else if (verb === 'rollback') await rollbackBackfill(scope, run, { report });
else if (verb === 'resume') await resumeBackfill(scope, run, options);
else await runBackfill(scope, { ...options, runId: run, from, onBad: 'quarantine', rate });
say('done');
process.exit(0);
