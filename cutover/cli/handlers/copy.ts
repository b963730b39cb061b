/** `cutover backfill …`, `verify`, `repair`, `worker`. */
import { STORES } from '../../../db/errors.ts';
import type {
  BackfillOptions,
  BackfillResult,
  Difference,
  RunSummary,
  VerifyOptions,
} from '../../copy/index.ts';
import { assertWritable } from '../../snapshot/folder.ts';
import { troubleIn } from '../../words.ts';
import { UsageError } from '../parse.ts';
import { backfillLines, repairLines, runLines, runsLines, undoneLines, verifyLines } from '../print/copy.ts';
import { type Bulk, jobsOf, withBulk } from './bulk.ts';
import { type Answer, answer, type Call, type Handler } from './call.ts';
import { oneOf, policyFor } from './policy.ts';
import { contextOf, dirOf } from './snapshot.ts';

export const backfill: Handler = async (call) => {
  const request = {
    from: oneOf(call, 'from', STORES) ?? 'mongo',
    onBad: oneOf(call, 'on-bad', ['rollback', 'quarantine']) ?? 'rollback',
    duplicates: policyFor(call),
    dryRun: call.options.has('dry-run'),
    ...shared(call),
  };
  return withBulk(call, (bulk) =>
    moved(call, bulk, !request.dryRun, (more) => bulk.copy.runBackfill(bulk.scope, { ...request, ...more })),
  );
};

export const resume: Handler = async (call) => {
  const request = shared(call);
  return withBulk(call, async (bulk) => {
    const { state, dryRun } = await bulk.copy.showBackfill(bulk.scope, runOf(call));
    return moved(call, bulk, state === 'copying' && !dryRun, (more) =>
      bulk.copy.resumeBackfill(bulk.scope, runOf(call), { ...request, ...more }),
    );
  });
};

const runOf = ({ words }: Call): string => words[0] ?? '';

const shared = (call: Call) => ({
  jobs: jobsOf(call),
  rate: call.options.whole('rate', 0),
  report: call.tell,
  signal: call.interrupted,
});

/** With a snapshot before the first write to a live table, where that is still to come, unless the operator does without. */
async function moved(
  call: Call,
  { collectionOf }: Bulk,
  willMerge: boolean,
  run: (more: Pick<BackfillOptions, 'beforeMerge'>) => Promise<BackfillResult>,
): Promise<Answer> {
  let snapshot: string | null = null;
  const beforeMerge = async () => {
    const { createSnapshot } = await import('../../snapshot/create.ts');
    const taken = await createSnapshot({ ...contextOf(call), report: () => {} }, { dir: dirOf(call) });
    snapshot = taken.name;
  };
  const takesOne = willMerge && !call.options.has('no-snapshot');
  if (takesOne) await assertWritable(dirOf(call));
  const result = await run(takesOne ? { beforeMerge } : {});
  const { outcome, bad, ...rest } = result;
  const body = { ...rest, result: outcome, bad: bad.map(badBody(collectionOf)), snapshot };
  const isBad = outcome === 'rolled-back' || (outcome === 'dry-run' && rest.counts.bad > 0);
  return answer('backfill', isBad ? 'difference' : 'done', body, (style) => backfillLines(body, style));
}

const badBody =
  (collectionOf: Bulk['collectionOf']) =>
  ({ entity, id, field, reason, detail }: BackfillResult['bad'][number]) => ({
    collection: collectionOf(entity),
    id,
    field,
    reason,
    detail,
  });

export const list: Handler = (call) =>
  withBulk(call, async ({ copy, scope }) => {
    const runs = await copy.listBackfills(scope, call.options.whole('limit', 50));
    const body = { runs: runs.map(summaryBody) };
    return answer('backfills', 'done', body, () => runsLines(body));
  });

export const show: Handler = (call) =>
  withBulk(call, async ({ copy, scope, collectionOf }) => {
    const found = await copy.showBackfill(scope, runOf(call));
    const { ranges, counts, undoable } = found;
    const bad = found.bad.map(badBody(collectionOf));
    const body = { ...summaryBody(found), ranges, counts, undoable, bad };
    return answer('backfillRun', 'done', body, (style) => runLines(body, style));
  });

function summaryBody({ run, state, from, onBad, dryRun, startedAt, updatedAt }: RunSummary) {
  const times = { startedAt: startedAt.toISOString(), updatedAt: updatedAt.toISOString() };
  return { run, state, from, onBad, dryRun, ...times };
}

export const rollback: Handler = (call) =>
  withBulk(call, async ({ copy, scope }) => {
    const options = { report: call.tell, signal: call.interrupted };
    const body = await copy.rollbackBackfill(scope, runOf(call), options);
    const outcome = body.unrestorable > 0 ? 'difference' : 'done';
    return answer('backfillUndone', outcome, body, (style) => undoneLines(body, style));
  });

export const verify: Handler = async (call) => {
  const what = whatOf(call);
  const going = shared(call);
  const begun = call.options.text('resume');
  return withBulk(call, async ({ copy, scope, collectionOf }) => {
    const result =
      begun === null
        ? await copy.verify(scope, { what, ...going })
        : await copy.resumeVerify(scope, begun, going);
    const differences = result.differences.map(differenceBody(collectionOf));
    const body = { ...result, differences };
    return answer('verify', result.clean ? 'done' : 'difference', body, (style) => verifyLines(body, style));
  });
};

const differenceBody =
  (collectionOf: Bulk['collectionOf']) =>
  ({ entity, id, kind, fields }: Difference) => ({ collection: collectionOf(entity), id, kind, fields });

function whatOf({ options, verb }: Call): NonNullable<VerifyOptions['what']> {
  const since = options.text('since');
  const sample = options.text('sample');
  const given = [options.has('full'), since !== null, sample !== null, options.text('resume') !== null];
  if (given.filter(Boolean).length > 1) {
    throw new UsageError('only one of --full, --since, --sample and --resume can be given', verb);
  }
  if (since !== null) {
    const date = new Date(since);
    if (!/^\d{4}-\d{2}-\d{2}(T.+(Z|[+-]\d{2}:\d{2}))?$/.test(since) || Number.isNaN(date.getTime())) {
      throw new UsageError(
        '--since must be a day or a moment with its offset, as 2026-11-23T16:00:00Z',
        verb,
      );
    }
    return { since: date };
  }
  if (sample === null) return 'full';
  const share = /^\d+(\.\d+)?%$/.test(sample) ? Number(sample.slice(0, -1)) / 100 : Number(sample);
  if (!(share > 0 && share <= 1)) {
    throw new UsageError('--sample must be a share above 0, at most 1, as 0.1 or 10%', verb);
  }
  return { share };
}

export const repair: Handler = (call) =>
  withBulk(call, async ({ copy, scope, collectionOf }) => {
    const dryRun = call.options.has('dry-run');
    const run = call.options.text('run');
    const { unrepairable, ...rest } = await copy.repair(scope, { dryRun, ...(run !== null && { run }) });
    const body = { ...rest, dryRun, unrepairable: unrepairable.map(differenceBody(collectionOf)) };
    const isLeft = unrepairable.length > 0 || (dryRun && rest.found > 0);
    return answer('repair', isLeft ? 'difference' : 'done', body, (style) => repairLines(body, style));
  });

/** Told to stop, it has done what it was for. */
export const worker: Handler = (call) => {
  const { signal, ...options } = shared(call);
  return withBulk(call, async ({ copy, scope }) => {
    const startedMs = scope.environment.now().monotonicMs;
    const tell = (message: string) =>
      call.context.report({
        step: 'wait',
        message,
        elapsedMs: scope.environment.now().monotonicMs - startedMs,
      });
    await copy.runWorker(scope, {
      ...{ ...options, signal },
      onAway: (error) => tell(`${troubleIn(error)}: waiting for it`),
      onPassedOver: ({ message }) => tell(`left to others: ${message}`),
    });
    return answer('worker', 'done', {}, () => ['ended; what it had begun is taken up by others']);
  });
};
