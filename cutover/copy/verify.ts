/**
 * Compares both stores, in both directions, range by range. The ranges are rows in PostgreSQL, so that any number of
 * processes share them and a verify that was killed is resumed.
 */
import type { StoreName } from '../../db/errors.ts';
import { cutRanges, type IdRange, usefulParts } from '../../db/mongo/copy/ranges.ts';
import { putFindings } from '../../db/postgres/copy/findings.ts';
import { estimateRows } from '../../db/postgres/copy/fingerprint.ts';
import { createRuns, type RangeRow, type RunRow } from '../../db/postgres/copy/runs.ts';
import { ENTITIES } from '../../db/records.ts';
import type { Json } from '../../db/replica.ts';
import { copyRun, countingOn } from '../mode.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { settingsOf } from '../settings.ts';
import { createCounts, sumCounts } from './classify.ts';
import {
  type Bounds,
  type Comparison,
  type Context,
  createComparison,
  parseVerify,
  type Tally,
  type VerifyBody,
} from './compare.ts';
import { forgetErased } from './erased.ts';
import { noteFindings } from './foreign.ts';
import { coordinating, heeding } from './lock.ts';
import { assertOneMapping, assertSameMapping } from './one-mapping.ts';
import { createPace } from './pace.ts';
import { matchNotes } from './quarantine.ts';
import { authorityNow, logCopy, markCopy, putEvidence } from './ready.ts';
import { type Difference, findingsOf, foundBy, LAGGING, RETENTION_MARGIN_MS, settle } from './settle.ts';
import { CopyRefused, type CopyScope, type RecordName, type Report } from './types.ts';
import { type Claim, workRanges } from './work.ts';

export interface VerifyOptions {
  /** Everything, what was written since, or a share of all records. Default everything. */
  readonly what?: 'full' | { readonly since: Date } | { readonly share: number };
  readonly jobs?: number;
  readonly rate?: number;
  readonly runId?: string;
  readonly report?: Report;
  readonly signal?: AbortSignal;
}

export interface VerifyResult {
  readonly run: string;
  readonly authority: StoreName;
  readonly clean: boolean;
  /** Records that were compared, on either side. */
  readonly compared: number;
  readonly differing: number;
  /** Not compared: still being mirrored in the end. Clean all the same, but for those that nobody mirrors. */
  readonly lagging: number;
  readonly excused: number;
  /** The first thousand. */
  readonly differences: readonly Difference[];
  readonly tookMs: number;
}

const JOBS = 2;
const SHOWN = 1_000;

/** Never writes to a record. Throws `CopyRefused` when it was to stop: it can be resumed. */
export async function verify(scope: CopyScope, options: VerifyOptions = {}): Promise<VerifyResult> {
  const { what = 'full' } = options;
  const { authority, record } = await authorityNow(scope);
  await assertOneMapping(scope, scope.stores[authority], record);
  const now = scope.environment.date();
  const id = options.runId ?? scope.environment.newId();
  const given: VerifyBody = {
    authority,
    mapping: scope.mongo.codec.digest,
    copy: copyRun(record.copy),
    history: await scope.stores.postgres.history(),
    what: what === 'full' ? what : 'since' in what ? { sinceMs: what.since.getTime() } : what,
  };
  await createRuns(scope.postgres).create(
    { id, kind: 'verify', state: 'checking', body: given as unknown as Json },
    now,
  );
  return resumeVerify(scope, id, options);
}

type GoOn = Omit<VerifyOptions, 'what' | 'runId'>;

/** Goes on with a verify that was stopped or killed. */
export function resumeVerify(scope: CopyScope, id: string, options: GoOn = {}): Promise<VerifyResult> {
  return coordinating(scope, () => goOn(scope, id, options), id);
}

async function goOn(scope: CopyScope, id: string, options: GoOn): Promise<VerifyResult> {
  const runs = createRuns(scope.postgres);
  const run = await runs.find(id);
  if (run?.kind !== 'verify') throw new CopyRefused('no-run', `there is no verify ${id}`);
  const { authority, record } = await authorityNow(scope);
  const { mapping, authority: begun } = parseVerify(run);
  assertSameMapping(scope, { id, mapping, kind: 'verify' });
  if (authority !== begun) {
    throw new CopyRefused('unknown-state', 'authority has changed since this verify began: start another');
  }
  const { rate = 0, report, signal, jobs = JOBS } = options;
  const pace = createPace(scope, { run: id, authority: scope.stores[authority], rate, report, signal });
  const context = contextOf(scope, run, { pace, jobs });
  if (context.body.what === 'full') {
    // The gates ask for this verify, and count what is held.
    await forgetErased(scope, authority);
    await matchNotes(scope, authority);
  }
  if ((await runs.ranges(id)).length === 0) await cut(scope, context);
  await heeding(scope, id, () => compareAll(scope, context));
  await runs.advance(id, 'checking', 'checked', run.body, scope.environment.date());
  return conclude(scope, context, run, record, signal);
}

/** What there is to know of a verify, for whoever works on it. */
export function contextOf(
  { retentionMs }: CopyScope,
  { id, body, startedAt }: RunRow,
  work: Pick<Context, 'pace' | 'jobs'>,
): Context {
  const expiredBefore = new Date(startedAt.getTime() - retentionMs + RETENTION_MARGIN_MS);
  return { run: id, body: parseVerify({ id, body }), expiredBefore, ...work };
}

async function cut(scope: CopyScope, { run, jobs }: Context): Promise<void> {
  const runs = createRuns(scope.postgres);
  for (const entity of ENTITIES) {
    const found = await cutRanges(scope.mongo, entity, await usefulParts(scope.mongo, entity, jobs * 2));
    // Rows of ids that no document has are found as well.
    const whole: readonly IdRange[] = found.some(({ type }) => type === 'objectId' || type === 'any')
      ? []
      : [{ type: 'objectId', after: null, upTo: null }];
    const bounds: readonly Bounds[] = [
      ...[...found, ...whole].map((range) => ({ kind: 'documents' as const, range })),
      { kind: 'rows', after: '' },
    ];
    await runs.addRanges(
      run,
      bounds.map((each) => ({ entity, bounds: each as unknown as Json })),
    );
  }
}

async function compareAll(scope: CopyScope, context: Context): Promise<void> {
  const { run, pace, jobs } = context;
  const done =
    sumCounts((await createRuns(scope.postgres).ranges(run)).map(({ counts }) => counts))['compared'] ?? 0;
  const rows = await estimateRows(scope.postgres);
  pace.phase('verifying', rows && Math.max(rows, done), done);
  const finished = await workRanges(scope, {
    run,
    state: 'checking',
    jobs,
    role: 'coordinator',
    work: (claim) => compareRange(scope, claim, context),
    wait: () => pace.wait(),
  });
  if (!finished) throw pace.stopped(`resume verify ${run}`);
}

/** One range, a stretch at a time on the same cursor. */
export async function compareRange(scope: CopyScope, claim: Claim, context: Context): Promise<void> {
  const { range } = claim;
  const bounds = range.bounds as unknown as Bounds;
  const comparison = createComparison(scope, range.entity, bounds, context);
  try {
    for (let left: RangeRow | null = range; left !== null; ) {
      left = await compareStretch(scope, claim, left, comparison, context);
    }
  } finally {
    await comparison.close();
  }
}

/** What was found in a stretch is written down with the word that it is done. What is left to this worker. */
async function compareStretch(
  { postgres }: CopyScope,
  claim: Claim,
  range: RangeRow,
  comparison: Comparison,
  { run, pace }: Context,
): Promise<RangeRow | null> {
  const tally: Tally = { counts: createCounts(), differences: [], lagging: [] };
  const rest = (await comparison.next(tally)) as unknown as Json | null;
  const keepsRest = !(await pace.paused());
  return postgres.transaction(async (connection) => {
    await claim.hold(connection, range);
    const findings = findingsOf(tally.differences, tally.lagging);
    await putFindings(connection, run, range.seq, findings);
    const result = { counts: tally.counts.toJson(), bounds: range.bounds, rest, keepsRest };
    const seq = await claim.close(connection, range, result);
    return seq === null || !keepsRest ? null : { ...range, seq, bounds: rest };
  });
}

/** More are not looked at again: the mirror is far behind, and the verify too early. */
const LAGGARDS_MAX = 2_000;

/** Besides the longest wait between two tries of the mirror. */
const PATIENCE_MS = 5_000;

/** What could not be compared yet, looked at once more now that everything else has been. */
async function settleLaggards(
  scope: CopyScope,
  { run, body, pace }: Context,
  record: ControlRecord,
  signal: AbortSignal | undefined,
): Promise<{ readonly lagging: number; readonly stuck: number; readonly excused: number }> {
  const rows = await scope.postgres.query<RecordName & Record<string, unknown>>(
    `select entity, record_id as id from copy_findings where run = $1 and reason = $2`,
    [run, LAGGING],
  );
  const sum = { lagging: 0, stuck: 0, excused: 0 };
  const settings = settingsOf(record);
  const leftMs = settings['mirror-paused'] ? 0 : settings['mirror-retry-max-ms'] + PATIENCE_MS;
  const patience = { leftMs, signal };
  if (rows.length > LAGGARDS_MAX) return { lagging: rows.length, stuck: rows.length, excused: 0 };
  for (const entity of ENTITIES) {
    const ids = rows.filter((row) => row.entity === entity).map(({ id }) => id);
    const { differences, lagging, stuck, excused } = await settle(
      scope,
      body.authority,
      entity,
      ids,
      patience,
    );
    // Nothing is said of what was not waited for.
    if (lagging.length > 0 && signal?.aborted === true) throw pace.stopped(`resume verify ${run}`);
    await scope.postgres.transaction(async (connection) => {
      await connection.query(
        `delete from copy_findings where run = $1 and entity = $2 and reason = $3 and record_id <> all($4::text[])`,
        [run, entity, LAGGING, [...lagging]],
      );
      await putFindings(connection, run, null, findingsOf(differences, []));
    });
    sum.lagging += lagging.length;
    sum.stuck += stuck;
    sum.excused += excused;
  }
  return sum;
}

async function conclude(
  scope: CopyScope,
  context: Context,
  { startedAt }: RunRow,
  record: ControlRecord,
  signal: AbortSignal | undefined,
): Promise<VerifyResult> {
  const { run, body } = context;
  const late = await settleLaggards(scope, context, record, signal);
  const sums = sumCounts((await createRuns(scope.postgres).ranges(run)).map(({ counts }) => counts));
  const found = await foundBy(scope, run, SHOWN);
  const [row] = await scope.postgres.query<{ count: number }>(
    'select count(distinct (entity, record_id))::int as count from copy_findings where run = $1 and reason <> $2',
    [run, LAGGING],
  );
  const differing = row?.count ?? 0;
  const result: VerifyResult = {
    run,
    authority: body.authority,
    clean: differing === 0 && late.stuck === 0,
    compared: (sums['compared'] ?? 0) + (sums['swept'] ?? 0),
    differing,
    lagging: late.lagging,
    excused: (sums['excused'] ?? 0) + late.excused,
    differences: found,
    tookMs: scope.environment.date().getTime() - startedAt.getTime(),
  };
  const store = scope.stores[body.authority];
  const { clean, compared, lagging, excused } = result;
  const { copy } = body;
  // A part that is clean proves nothing about the rest; a part that differs, does.
  if (body.what === 'full' || differing > 0) await putEvidence(scope, store, 'verify', { clean, run, copy });
  // Another copy may have been made while this one was looked at.
  if (body.what === 'full' && clean && record.copy.kind === 'complete' && record.copy.run === copy) {
    // One that counts on none yet, as an older version completed it, counts on the history that all of this was seen in.
    const isSame = body.history !== null && body.history === (await scope.stores.postgres.history());
    const verified = { ...record.copy, verifiedAtMs: startedAt.getTime() };
    const counted = countingOn(verified, isSame ? body.history : null);
    await markCopy(scope, store, record.epoch, record.copy, counted);
  }
  await noteFindings(scope, { result, startedAt, record, isFull: body.what === 'full' });
  await logCopy(scope, store, `${run}/verified`, { run, clean, compared, differing, lagging, excused });
  return result;
}
