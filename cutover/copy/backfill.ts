/**
 * The backfill: ranges into staging, checks over all of them, then one guarded merge, and only then the word that the
 * copy is complete. Every step can be made again, so a run that was killed anywhere is resumed by the same code.
 */
import { createFindings } from '../../db/postgres/copy/findings.ts';
import { analyzeLive, settleAside, TAKEN_OUT } from '../../db/postgres/copy/merge.ts';
import { createRuns, type RunRow } from '../../db/postgres/copy/runs.ts';
import { dropStaging, sealState } from '../../db/postgres/copy/staging.ts';
import { hasWritten } from '../../db/postgres/copy/undo.ts';
import type { Json } from '../../db/replica.ts';
import type { CopyState } from '../mode.ts';
import { countingOn, historyOf, otherStore, staleAfter, staleByHistory } from '../mode.ts';
import { copyTo } from '../telling.ts';
import { countsOf, sumCounts } from './classify.ts';
import { carryOutDecisions } from './duplicates.ts';
import { forgetErased } from './erased.ts';
import { type Context, checkStaging, fillStaging } from './filling.ts';
import { coordinating, heeding } from './lock.ts';
import { again, mergeStaged } from './merge.ts';
import { assertOneMapping, assertSameMapping } from './one-mapping.ts';
import { createPace } from './pace.ts';
import { policyOf } from './policy.ts';
import { matchNotes } from './quarantine.ts';
import { assertCopyable, awaitInstances, logCopy, markCopy, putEvidence } from './ready.ts';
import { applyRanges, countRows, cutRowRanges } from './reverse.ts';
import { undoRun } from './rollback.ts';
import { changedByAnother, parseRun, type RunBody, toBody } from './run.ts';
import {
  type BackfillOptions,
  type BackfillResult,
  type CopyCounts,
  CopyRefused,
  type CopyScope,
  FINDINGS_MAX,
} from './types.ts';
import { takeOutVanished } from './vanished.ts';

const JOBS = 2;

/**
 * Copies the authority into its mirror while the service runs. Throws `CopyRefused` when it may not begin, or was to
 * stop; `StoreUnavailable` when a store is away for long: the run can then be resumed.
 */
export async function runBackfill(scope: CopyScope, options: BackfillOptions): Promise<BackfillResult> {
  return coordinating(scope, async () => {
    const runs = createRuns(scope.postgres);
    const { environment, stores } = scope;
    const active = await runs.active();
    if (active !== null && parseRun(active).from === options.from) {
      throw new CopyRefused('other-run', `run ${active.id} is ${active.state}: resume it, or roll it back`);
    }
    await assertCopyable(scope, options.from);
    const [from, to] = [stores[options.from], stores[otherStore(options.from)]];
    // Before anything is copied: a store that holds no record once the copy is complete was emptied since.
    if (options.dryRun !== true && !(await copyTo(scope, from, to)))
      throw new CopyRefused('busy', `${to.name} could not be told of the present mode: try again`);
    const record = await assertCopyable(scope, options.from);
    if (active !== null) await overtake(scope, active);
    const authority = stores[options.from];
    await awaitInstances(authority, record, environment, options.signal);
    await assertOneMapping(scope, authority, record);
    const now = environment.date();
    const id = options.runId ?? environment.newId();
    if ((await runs.find(id)) !== null) throw new CopyRefused('other-run', `there is a run ${id} already`);
    const dryRun = options.dryRun ?? false;
    const begun: CopyState =
      record.copy.kind === 'complete' ? record.copy : { ...staleAfter(record.copy, now.getTime()), run: id };
    const copy = dryRun ? record.copy : countingOn(begun, await stores.postgres.history());
    if ((await markCopy(scope, authority, record.epoch, record.copy, copy)) !== null) {
      throw new CopyRefused('mirror-gap', 'the mode changed just now: try again');
    }
    const body: RunBody = {
      from: options.from,
      onBad: options.onBad,
      dryRun,
      duplicates: policyIn(options),
      mapping: scope.mongo.codec.digest,
      epoch: record.epoch,
      copy,
      expiredBeforeMs: now.getTime() - scope.retentionMs,
      seal: null,
      counts: {},
    };
    await logCopy(scope, authority, `${id}/begun`, {
      run: id,
      from: options.from,
      onBad: options.onBad,
      dryRun,
    });
    await runs.create({ id, kind: 'backfill', state: 'copying', body: toBody(body) }, now);
    return goOn(scope, id, options);
  });
}

/**
 * Ends a run in the other direction: the store it wrote to has authority, so it can neither be gone on with nor taken back,
 * and must not stand in the way for ever. What it wrote was guarded like any other write.
 */
async function overtake(scope: CopyScope, run: RunRow): Promise<void> {
  const { from } = parseRun(run);
  await createRuns(scope.postgres).advance(
    run.id,
    run.state,
    'overtaken',
    run.body,
    scope.environment.date(),
  );
  await dropStaging(scope.postgres);
  await logCopy(scope, scope.stores[otherStore(from)], `${run.id}/overtaken`, { run: run.id, from });
}

/** Goes on with a run that was stopped or killed, wherever it was. */
export async function resumeBackfill(
  scope: CopyScope,
  id: string,
  options: Pick<BackfillOptions, 'jobs' | 'rate' | 'report' | 'beforeMerge' | 'signal'> = {},
): Promise<BackfillResult> {
  return coordinating(scope, async () => {
    const run = await createRuns(scope.postgres).find(id);
    if (run === null || run.kind !== 'backfill') throw new CopyRefused('no-run', `there is no run ${id}`);
    if (run.state !== 'copying' && run.state !== 'merging') {
      throw new CopyRefused('unknown-state', `run ${id} is ${run.state}: there is nothing to resume`);
    }
    const { from, mapping } = parseRun(run);
    assertSameMapping(scope, { id, mapping, kind: 'backfill' });
    const record = await assertCopyable(scope, from);
    await awaitInstances(scope.stores[from], record, scope.environment, options.signal);
    await assertOneMapping(scope, scope.stores[from], record);
    return goOn(scope, id, options);
  });
}

const policyIn = ({ duplicates = null }: BackfillOptions) =>
  typeof duplicates === 'string' ? policyOf(duplicates) : duplicates;

type GoOn = Pick<BackfillOptions, 'jobs' | 'rate' | 'report' | 'beforeMerge' | 'signal'>;

/** A server that crashes each time has a trouble of its own. */
const LOSSES_MAX = 3;

/** Goes on from wherever the run is. A crash of the server that empties staging takes it back to the copying. */
async function goOn(scope: CopyScope, id: string, options: GoOn): Promise<BackfillResult> {
  for (let losses = 0; losses < LOSSES_MAX; losses += 1) {
    // What the snapshot is for has begun already.
    const { beforeMerge, ...others } = options;
    const given: GoOn = losses === 0 && beforeMerge !== undefined ? { ...others, beforeMerge } : others;
    const result = await heeding(scope, id, () => pass(scope, id, given));
    if (result !== 'lost') return result;
  }
  throw new CopyRefused('stopped', `PostgreSQL has lost what was staged again and again; resume run ${id}`);
}

async function pass(scope: CopyScope, id: string, options: GoOn): Promise<BackfillResult | 'lost'> {
  const runs = createRuns(scope.postgres);
  const found = await runs.find(id);
  if (found === null) throw new CopyRefused('no-run', `there is no run ${id}`);
  const body = parseRun(found);
  const authority = scope.stores[body.from];
  const { rate = 0, report, signal } = options;
  const pace = createPace(scope, { run: id, authority, rate, report, signal });
  const jobs = options.jobs ?? JOBS;
  const context: Context = { run: found, body, pace, jobs };
  if (body.from === 'postgres') return reverse(scope, context, options);

  if (found.state === 'copying') {
    const seal = scope.environment.newId();
    await fillStaging(scope, context, seal);
    const counts = await checkStaging(scope, context);
    // Of rows that are gone a dry run would say that nothing is wrong with them; any other looks before and after it merges.
    if (body.dryRun && (await sealState(scope.postgres, seal)) !== 'whole') return 'lost';
    const checked: RunBody = { ...body, seal, counts };
    const bad = await createFindings(scope.postgres).countBad(id);
    if (body.dryRun || (bad > 0 && body.onBad === 'rollback')) {
      await dropStaging(scope.postgres);
      // An attempt whose staging a crash of the server has emptied may have begun to merge.
      if (await hasWritten(scope.postgres, id)) await undoRun(scope, { run: found, body, pace });
      await createFindings(scope.postgres).forget(id);
      await runs.advance(id, 'copying', 'rolled-back', toBody(checked), scope.environment.date());
      return conclude(scope, { ...context, body: checked }, body.dryRun ? 'dry-run' : 'rolled-back');
    }
    await options.beforeMerge?.();
    if (!(await runs.advance(id, 'copying', 'merging', toBody(checked), scope.environment.date()))) {
      throw changedByAnother(id);
    }
    return finish(scope, { ...context, body: checked });
  }
  return finish(scope, context);
}

/** The merge and everything after it. `lost`: a crash of the server has emptied staging, and the run is copying again. */
async function finish(scope: CopyScope, context: Context): Promise<BackfillResult | 'lost'> {
  const { run, pace, jobs } = context;
  const authority = scope.stores[context.body.from];
  const { copy } = await assertCopyable(scope, context.body.from);
  let { body } = context;
  // A process that was killed right after it had said so has merged everything.
  if (!isOwn(run.id, copy)) {
    if (await isLost(scope, context)) return 'lost';
    const counts = sumCounts((await createRuns(scope.postgres).ranges(run.id)).map((range) => range.counts));
    pace.phase('merging', counts['staged'] ?? 0);
    if (body.onBad === 'rollback') await carryOutDecisions(scope, run.id);
    await takeOutVanished(scope, { run: run.id, body, pace });
    const merged = await mergeStaged(scope, authority, { run: run.id, epoch: body.epoch, pace, jobs });
    // What was emptied meanwhile looks like nothing left to merge.
    if (await isLost(scope, context)) return 'lost';
    await settleAside(scope.postgres, scope.environment.date());
    body = { ...body, counts: { ...body.counts, ...merged } };
  }
  if (!(await analyzeLive(scope.postgres))) {
    scope.telemetry.warn({ run: run.id }, 'copy: this role may not analyse the tables it filled');
    await logCopy(scope, authority, `${run.id}/not-analyzed`, { run: run.id, analyzed: false });
  }
  await complete(scope, { ...context, body });
  await dropStaging(scope.postgres);
  return conclude(scope, { ...context, body }, 'complete');
}

const isOwn = (run: string, copy: CopyState): boolean => copy.kind === 'complete' && copy.run === run;

/** Whether staging is not what was checked any more: then the run goes back to the ranges that are not all there. */
async function isLost(scope: CopyScope, { run, body }: Context): Promise<boolean> {
  const state = await again(scope, () => sealState(scope.postgres, body.seal));
  if (state === 'whole') return false;
  const now = scope.environment.date();
  const before = toBody({ ...body, seal: null, counts: {} });
  if (
    state === 'other' ||
    !(await createRuns(scope.postgres).advance(run.id, 'merging', 'copying', before, now))
  ) {
    throw changedByAnother(run.id);
  }
  scope.telemetry.warn({ run: run.id }, 'copy: the server has lost what was staged, which is copied again');
  const entry = `${run.id}/staging-lost/${scope.environment.newId()}`;
  await logCopy(scope, scope.stores[body.from], entry, { run: run.id, staging: 'lost' });
  return true;
}

const REPLACED =
  'PostgreSQL was replaced, while the copy ran, by a server that may lack what was written last: run it once more';

/** From here on the copy counts as complete, unless the mirror was off at some time since the run began. */
async function complete(scope: CopyScope, { run, body }: Context): Promise<void> {
  const { environment, stores, postgres } = scope;
  const authority = stores[body.from];
  await forgetErased(scope, body.from);
  await matchNotes(scope, body.from);
  const now = environment.date();
  // What was mirrored meanwhile, or merged, may not be there any more.
  const [history, found] = [historyOf(body.copy), await again(scope, () => stores.postgres.history())];
  const isReplaced = history !== null && found !== null && found !== history;
  const whole = { kind: 'complete', run: run.id, completedAtMs: now.getTime(), verifiedAtMs: null } as const;
  const state = isReplaced
    ? staleByHistory(body.from, body.copy, now.getTime())
    : countingOn<CopyState>(whole, history);
  // A process that was killed right after has said it already.
  const refusal = await markCopy(scope, authority, body.epoch, body.copy, state);
  if (refusal === 'in-transition') {
    throw new CopyRefused('in-transition', `authority is about to change: resume run ${run.id} after that`);
  }
  const runs = createRuns(postgres);
  await runs.advance(run.id, 'merging', 'done', toBody(body), now);
  if (isReplaced || refusal !== null) {
    throw new CopyRefused(
      'mirror-gap',
      isReplaced ? REPLACED : 'the mirror was off, or authority moved, while the copy ran: run it once more',
    );
  }
  const bad = await createFindings(postgres).countBad(run.id);
  await putEvidence(scope, authority, 'backfill', { clean: bad === 0, run: run.id, copy: run.id });
}

async function conclude(
  scope: CopyScope,
  { run, body }: Context,
  outcome: BackfillResult['outcome'],
): Promise<BackfillResult> {
  const { environment, stores, postgres } = scope;
  const ranges = await createRuns(postgres).ranges(run.id);
  const sums = sumCounts([...ranges.map(({ counts }) => counts), body.counts]);
  const findings = createFindings(postgres);
  const [written] = await postgres.query<Pick<CopyCounts, 'inserted' | 'updated' | 'removed'>>(
    `select count(*) filter (where before is null)::int as inserted,
       count(*) filter (where before is not null and version <> $2)::int as updated,
       count(*) filter (where before is not null and version = $2)::int as removed from copy_undo where run = $1`,
    [run.id, TAKEN_OUT],
  );
  const [aside] = await postgres.query<{ count: number }>(
    'select count(*)::int as count from copy_quarantine where run = $1',
    [run.id],
  );
  const bad = await findings.countBad(run.id);
  const result: BackfillResult = {
    run: run.id,
    from: body.from,
    to: otherStore(body.from),
    outcome,
    counts: {
      read: sums['read'] ?? 0,
      staged: sums['staged'] ?? 0,
      expired: sums['expired'] ?? 0,
      bad,
      quarantined: aside?.count ?? 0,
      inserted: written?.inserted ?? 0,
      updated: written?.updated ?? 0,
      removed: written?.removed ?? 0,
      deferred: sums['deferred'] ?? 0,
      dangling: sums['dangling'] ?? 0,
    },
    cleaned: countsOf(sums, 'clean:'),
    unknownFields: countsOf(sums, 'unknown:'),
    bad: await findings.bad(run.id, { limit: FINDINGS_MAX }),
    tookMs: environment.date().getTime() - run.startedAt.getTime(),
  };
  const details: Record<string, Json> = { run: run.id, outcome, ...result.counts };
  await logCopy(scope, stores[body.from], `${run.id}/ended`, details as Record<string, string | number>);
  return result;
}

/** From PostgreSQL to MongoDB: rows are canonical already, so there is nothing to stage. */
async function reverse(scope: CopyScope, context: Context, options: GoOn): Promise<BackfillResult> {
  const { run, body, pace, jobs } = context;
  const runs = createRuns(scope.postgres);
  if (run.state === 'copying') {
    if (body.dryRun) {
      const counted = { ...body, counts: await countRows(scope, body) };
      await runs.advance(run.id, 'copying', 'rolled-back', toBody(counted), scope.environment.date());
      return conclude(scope, { ...context, body: counted }, 'dry-run');
    }
    await options.beforeMerge?.();
    if ((await runs.ranges(run.id)).length === 0) await cutRowRanges(scope, run.id, jobs * 4);
    const now = scope.environment.date();
    if (!(await runs.advance(run.id, 'copying', 'merging', toBody(body), now)))
      throw changedByAnother(run.id);
  }
  await applyRanges(scope, { run: run.id, body, pace, jobs });
  const bad = await createFindings(scope.postgres).countBad(run.id);
  if (bad > 0 && body.onBad === 'rollback') {
    await runs.settled(run.id);
    await undoRun(scope, { run, body, pace });
    await runs.advance(run.id, 'merging', 'rolled-back', toBody(body), scope.environment.date());
    return conclude(scope, context, 'rolled-back');
  }
  await complete(scope, context);
  return conclude(scope, context, 'complete');
}
