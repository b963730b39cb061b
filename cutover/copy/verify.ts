/**
 * Compares both stores, in both directions: MongoDB is read through the canonical function, PostgreSQL hashes its own
 * rows. Ranges whose hashes are equal are done; in the others records are told apart one by one.
 */
import { z } from 'zod';
import { isExpired } from '../../db/apply.ts';
import { CANONICAL, type Doc } from '../../db/canonical.ts';
import type { StoreName } from '../../db/errors.ts';
import { decodeId, encodeId } from '../../db/ids.ts';
import { unpackValue } from '../../db/mongo/copy/client.ts';
import { cutRanges, type IdRange } from '../../db/mongo/copy/ranges.ts';
import { type RawDocument, readRaw, scanRange } from '../../db/mongo/copy/scan.ts';
import { putFindings } from '../../db/postgres/copy/findings.ts';
import {
  digestRange,
  type HexRange,
  type RowFilter,
  rowsById,
  rowsInRange,
  sweepRows,
} from '../../db/postgres/copy/fingerprint.ts';
import { closeRange, createRuns, type RangeRow } from '../../db/postgres/copy/runs.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import type { Json } from '../../db/replica.ts';
import { readControl } from '../control.ts';
import { authorityOf } from '../mode.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { type Counts, createCounts, sumCounts } from './classify.ts';
import { createDigester, isSameDigest, isSampled, textOf } from './fingerprint.ts';
import { createPace, type Pace } from './pace.ts';
import { logCopy, markCopy, putEvidence } from './ready.ts';
import { type Difference, RETENTION_MARGIN_MS, settle } from './settle.ts';
import { CopyRefused, type CopyScope, type Report } from './types.ts';
import { workRanges } from './work.ts';

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
  readonly lagging: number;
  readonly excused: number;
  /** The first thousand. */
  readonly differences: readonly Difference[];
  readonly tookMs: number;
}

const JOBS = 2;
const RANGE_DOCUMENTS_MAX = 200_000;
const SWEEP_ROWS = 1_000;
const SHOWN = 1_000;

const body = z.object({
  what: z.union([z.literal('full'), z.object({ sinceMs: z.number() }), z.object({ share: z.number() })]),
  authority: z.enum(['mongo', 'postgres']),
});
type Body = z.infer<typeof body>;

/** Documents of a range of `_id`, or rows that no such range finds. */
type Bounds =
  | { readonly kind: 'documents'; readonly range: IdRange }
  | { readonly kind: 'rows'; readonly after: string };

interface Context {
  readonly run: string;
  readonly body: Body;
  readonly pace: Pace;
  readonly jobs: number;
  readonly expiredBefore: Date;
}

/** Never writes to a record. Throws `CopyRefused` when it was to stop: it can be resumed. */
export async function verify(scope: CopyScope, options: VerifyOptions = {}): Promise<VerifyResult> {
  const { what = 'full' } = options;
  const { authority } = await authorityNow(scope);
  const now = scope.environment.date();
  const id = options.runId ?? scope.environment.newId();
  const given: Body = {
    authority,
    what: what === 'full' ? what : 'since' in what ? { sinceMs: what.since.getTime() } : what,
  };
  await createRuns(scope.postgres).create(
    { id, kind: 'verify', state: 'checking', body: given as unknown as Json },
    now,
  );
  return resumeVerify(scope, id, options);
}

/** Goes on with a verify that was stopped or killed. */
export async function resumeVerify(
  scope: CopyScope,
  id: string,
  options: Omit<VerifyOptions, 'what' | 'runId'> = {},
): Promise<VerifyResult> {
  const runs = createRuns(scope.postgres);
  const run = await runs.find(id);
  if (run?.kind !== 'verify') throw new CopyRefused('no-run', `there is no verify ${id}`);
  const parsed = body.parse(run.body);
  const { authority, record } = await authorityNow(scope);
  if (authority !== parsed.authority) {
    throw new CopyRefused('unknown-state', 'authority has changed since this verify began: start another');
  }
  const { rate = 0, report, signal, jobs = JOBS } = options;
  const pace = createPace(scope, { run: id, authority: scope.stores[authority], rate, report, signal });
  const expiredBefore = new Date(run.startedAt.getTime() - scope.retentionMs + RETENTION_MARGIN_MS);
  const context: Context = { run: id, body: parsed, pace, jobs, expiredBefore };
  if ((await runs.ranges(id)).length === 0) await cut(scope, context);
  await compareAll(scope, context);
  await runs.advance(id, 'checking', 'checked', run.body, scope.environment.date());
  return conclude(scope, context, run.startedAt, record);
}

export async function authorityNow({
  stores,
}: Pick<CopyScope, 'stores'>): Promise<{ readonly authority: StoreName; readonly record: ControlRecord }> {
  const records = await Promise.all([readControl(stores.mongo), readControl(stores.postgres)]);
  const [record] = records
    .filter((each) => each !== null)
    .sort((a, b) => b.epoch - a.epoch || b.revision - a.revision);
  if (record === undefined) throw new CopyRefused('not-authority', 'neither store has a control record');
  const authority = authorityOf(record.mode);
  const own = await readControl(stores[authority]);
  return { authority, record: own ?? record };
}

async function cut(scope: CopyScope, { run, jobs }: Context): Promise<void> {
  const runs = createRuns(scope.postgres);
  for (const entity of ENTITIES) {
    const found = await cutRanges(scope.mongo, entity, jobs * 2);
    // Rows of ids that no document has are found as well.
    const whole: readonly IdRange[] = found.some(({ type }) => type === 'objectId')
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
  let total = 0;
  for (const entity of ENTITIES) total += await scope.mongo.collection(entity).estimatedDocumentCount();
  const done =
    sumCounts((await createRuns(scope.postgres).ranges(run)).map(({ counts }) => counts))['compared'] ?? 0;
  pace.phase('verifying', Math.max(total, done), done);
  const finished = await workRanges(scope, {
    run,
    jobs,
    work: (range, owner) => compareRange(scope, range, owner, context),
    wait: () => pace.wait(),
  });
  if (!finished) throw new CopyRefused('stopped', `stopped; resume verify ${run}`);
}

/** What one range comes to. */
interface Tally {
  readonly counts: Counts;
  readonly differences: Difference[];
}

async function compareRange(
  scope: CopyScope,
  range: RangeRow,
  owner: string,
  context: Context,
): Promise<void> {
  const bounds = range.bounds as unknown as Bounds;
  const tally: Tally = { counts: createCounts(), differences: [] };
  const rest =
    bounds.kind === 'rows'
      ? await compareRows(scope, range.entity, bounds.after, context, tally)
      : await compareDocuments(scope, range.entity, bounds.range, context, tally);
  await scope.postgres.transaction(async (connection) => {
    const findings = tally.differences.flatMap(({ entity, id, kind, fields }) => {
      const named = fields.length === 0 ? [''] : fields;
      return named.map((field) => ({ entity, id, field, reason: kind, detail: null }));
    });
    await putFindings(connection, context.run, range.seq, findings);
    await closeRange(connection, context.run, range, owner, {
      counts: tally.counts.toJson(),
      bounds: range.bounds,
      rest: rest as unknown as Json | null,
    });
  });
}

/** What is left of the range when it was cut short. */
async function compareDocuments(
  scope: CopyScope,
  entity: Entity,
  range: IdRange,
  context: Context,
  tally: Tally,
): Promise<Bounds | null> {
  const { pace, body } = context;
  const isHashed = body.what === 'full' && range.type === 'objectId';
  const where =
    typeof body.what === 'object' && 'sinceMs' in body.what ? sinceFilter(body.what.sinceMs) : undefined;
  const options = { batchMax: pace.batchMax(), ...(where === undefined ? {} : { where }) };
  const end = hexOf(range.upTo);
  let after = hexOf(range.after);
  let done = 0;
  for await (const { documents, cut } of scanRange(scope.mongo, entity, range, options)) {
    const upTo = documents.at(-1)?.id ?? null;
    if (isHashed) await compareHashed(scope, entity, { after, upTo }, documents, context, tally);
    else await compareById(scope, entity, documents, context, tally);
    after = upTo;
    done += documents.length;
    await pace.take(documents.length);
    if (cut !== null && (done >= RANGE_DOCUMENTS_MAX || (await pace.paused()))) {
      return { kind: 'documents', range: { ...range, after: cut } };
    }
  }
  // Behind the last document there may still be rows.
  if (isHashed) await compareHashed(scope, entity, { after, upTo: end }, [], context, tally);
  return null;
}

function hexOf(packed: string | null): string | null {
  return packed === null ? null : encodeId(unpackValue(packed));
}

/** What a document may have been written since, wherever it says so. */
function sinceFilter(sinceMs: number): Doc {
  const since = new Date(sinceMs);
  const fields = ['createdAt', 'updatedAt', 'deletedAt', 'rotatedAt', 'revokedAt'];
  return { $or: fields.map((field) => ({ [field]: { $gte: since } })) };
}

interface Text {
  readonly id: string;
  /** Null: the document means no record. */
  readonly text: string | null;
}

/** The documents that are to be compared, as text. */
function textsOf(
  entity: Entity,
  documents: readonly RawDocument[],
  { body, expiredBefore }: Context,
): readonly Text[] {
  const share = typeof body.what === 'object' && 'share' in body.what ? body.what.share : 1;
  return documents.flatMap(({ id, doc }): Text[] => {
    if (!isSampled(id, share)) return [];
    const read = doc === null ? null : CANONICAL[entity](doc);
    if (read === null || 'bad' in read) return [{ id, text: null }];
    return isExpired(read.record, expiredBefore) ? [] : [{ id, text: textOf(entity, read.record) }];
  });
}

async function compareHashed(
  scope: CopyScope,
  entity: Entity,
  range: HexRange,
  documents: readonly RawDocument[],
  context: Context,
  tally: Tally,
): Promise<void> {
  const asked = digestRange(scope.postgres, entity, range, context.expiredBefore);
  const texts = textsOf(entity, documents, context);
  const digester = createDigester();
  for (const { text } of texts) if (text !== null) digester.add(text);
  const ours = digester.digest();
  const theirs = await asked;
  tally.counts.add('compared', Math.max(texts.length, theirs.count));
  const isWhole = texts.every(({ text }) => text !== null);
  if (isWhole && isSameDigest(ours, theirs)) return;
  tally.counts.add('descended');
  const left = new Map(texts.map(({ id, text }) => [id, text]));
  for (let { after } = range; ; ) {
    const rows = await rowsInRange(scope.postgres, entity, { after, upTo: range.upTo }, SWEEP_ROWS);
    const suspects = rows.filter(({ id, text }) => left.get(id) !== text).map(({ id }) => id);
    for (const { id } of rows) left.delete(id);
    await settleInto(scope, entity, suspects, context, tally);
    after = rows.at(-1)?.id ?? after;
    if (rows.length < SWEEP_ROWS) break;
  }
  await settleInto(scope, entity, [...left.keys()], context, tally);
}

async function compareById(
  scope: CopyScope,
  entity: Entity,
  documents: readonly RawDocument[],
  context: Context,
  tally: Tally,
): Promise<void> {
  const texts = textsOf(entity, documents, context);
  tally.counts.add('compared', texts.length);
  const rows = await rowsById(
    scope.postgres,
    entity,
    texts.map(({ id }) => id),
  );
  const held = new Map(rows.map((row) => [row.id, row.text]));
  const suspects = texts.filter(({ id, text }) => text === null || held.get(id) !== text).map(({ id }) => id);
  await settleInto(scope, entity, suspects, context, tally);
}

/** The other way: rows that no range of ObjectIds has hashed, each looked up in MongoDB. */
async function compareRows(
  scope: CopyScope,
  entity: Entity,
  from: string,
  context: Context,
  tally: Tally,
): Promise<Bounds | null> {
  const { what } = context.body;
  const filter: RowFilter = {
    onlyOtherIds: what === 'full',
    since: typeof what === 'object' && 'sinceMs' in what ? new Date(what.sinceMs) : null,
    share: typeof what === 'object' && 'share' in what ? what.share : 1,
  };
  let after = from;
  for (let done = 0; ; ) {
    const page = { after, upTo: null, limit: SWEEP_ROWS };
    const rows = await sweepRows(scope.postgres, entity, filter, page);
    const _ids = rows.map(({ id }) => decodeId(id)).filter((id) => id !== undefined);
    const raws = await readRaw(scope.mongo, entity, _ids);
    const known = new Map(textsOf(entity, raws, context).map(({ id, text }) => [id, text]));
    const suspects = rows.filter(({ id, text }) => known.get(id) !== text).map(({ id }) => id);
    tally.counts.add('swept', rows.length);
    await settleInto(scope, entity, suspects, context, tally);
    done += rows.length;
    after = rows.at(-1)?.id ?? after;
    if (rows.length < SWEEP_ROWS) return null;
    if (done >= RANGE_DOCUMENTS_MAX || (await context.pace.paused())) return { kind: 'rows', after };
  }
}

async function settleInto(
  scope: CopyScope,
  entity: Entity,
  ids: readonly string[],
  { body }: Context,
  { counts, differences }: Tally,
): Promise<void> {
  if (ids.length === 0) return;
  const settled = await settle(scope, body.authority, entity, ids);
  differences.push(...settled.differences);
  counts.add('lagging', settled.lagging);
  counts.add('excused', settled.excused);
}

async function conclude(
  scope: CopyScope,
  { run, body }: Context,
  startedAt: Date,
  record: ControlRecord,
): Promise<VerifyResult> {
  const sums = sumCounts((await createRuns(scope.postgres).ranges(run)).map(({ counts }) => counts));
  const found = await foundBy(scope, run, SHOWN);
  const [row] = await scope.postgres.query<{ count: number }>(
    'select count(distinct (entity, record_id))::int as count from copy_findings where run = $1',
    [run],
  );
  const differing = row?.count ?? 0;
  const result: VerifyResult = {
    run,
    authority: body.authority,
    clean: differing === 0,
    compared: (sums['compared'] ?? 0) + (sums['swept'] ?? 0),
    differing,
    lagging: sums['lagging'] ?? 0,
    excused: sums['excused'] ?? 0,
    differences: found,
    tookMs: scope.environment.date().getTime() - startedAt.getTime(),
  };
  const store = scope.stores[body.authority];
  const { clean, compared, lagging, excused } = result;
  // A part that is clean proves nothing about the rest; a part that is not, does.
  if (body.what === 'full' || !clean) await putEvidence(scope, store, 'verify', { clean, run });
  if (body.what === 'full' && clean && record.copy.kind === 'complete') {
    await markCopy(store, record.epoch, record.copy, { ...record.copy, verifiedAtMs: startedAt.getTime() });
  }
  await logCopy(scope, store, `${run}/verified`, { run, clean, compared, differing, lagging, excused });
  return result;
}

/** The differences a verify found. */
export async function foundBy(
  { postgres }: CopyScope,
  run: string,
  limit: number,
): Promise<readonly Difference[]> {
  const rows = await postgres.query<Difference & Record<string, unknown>>(
    `select entity, record_id as id, reason as kind, array_agg(field order by field) filter (where field <> '') as fields
     from copy_findings where run = $1 group by 1, 2, 3 order by 1, 2, 3 limit $2`,
    [run, limit],
  );
  return rows.map((row) => ({ ...row, fields: row.fields ?? [] }));
}
