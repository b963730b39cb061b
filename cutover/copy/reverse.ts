/** From PostgreSQL to MongoDB: rows are canonical, so each batch is applied where it belongs, guarded like any other. */

import { stampOf } from '../../db/canonical.ts';
import { compareIds, decodeIds } from '../../db/ids.ts';
import { toExtendedJson } from '../../db/mongo/copy/client.ts';
import { eachRaw } from '../../db/mongo/copy/scan.ts';
import { type BadDocument, putFindings } from '../../db/postgres/copy/findings.ts';
import { createRuns } from '../../db/postgres/copy/runs.ts';
import { cutIds, forgetUndo, type KeptEntry, keepUndo, markedAmong } from '../../db/postgres/copy/undo.ts';
import { TABLES } from '../../db/postgres/database.ts';
import { compareStamps, ENTITIES, type Entity, ERASED, type RecordOf } from '../../db/records.ts';
import type { ApplyOutcome } from '../../db/replica.ts';
import { isAuthorityBehind } from '../mode.ts';
import { type Counts, createCounts } from './classify.ts';
import { again } from './merge.ts';
import type { Pace } from './pace.ts';
import type { RunBody } from './run.ts';
import type { CopyScope } from './types.ts';
import { type Claim, workRanges } from './work.ts';

const BATCH_MAX = 100;
const RANGE_ROWS_MAX = 10_000;
/** What is kept of large documents goes in several statements. */
const KEPT_CHARS_MAX = 4 * 1024 * 1024;

interface RowBounds {
  /** Excluded; null: from the first. */
  readonly after: string | null;
  /** Included; null: to the last. */
  readonly upTo: string | null;
}

export async function cutRowRanges({ postgres }: CopyScope, run: string, parts: number): Promise<void> {
  for (const entity of ENTITIES) {
    const bounds = [null, ...(await cutIds(postgres, TABLES[entity], parts)), null];
    const ranges = bounds.slice(1).map((upTo, i) => ({ entity, bounds: { after: bounds[i] ?? null, upTo } }));
    await createRuns(postgres).addRanges(run, ranges);
  }
}

/** What a copy would come to, but for what MongoDB would refuse or has already. */
export async function countRows(
  { postgres }: CopyScope,
  { expiredBeforeMs }: RunBody,
): Promise<RunBody['counts']> {
  const sum: Record<string, number> = { read: 0, deferred: 0, expired: 0, staged: 0 };
  for (const entity of ENTITIES) {
    const isPast = entity === 'user' ? '$1::timestamptz is null' : 'expires_at < $1';
    const [row] = await postgres.query<Record<'read' | 'deferred' | 'expired', number>>(
      `select count(*)::int as read, count(*) filter (where pending_at is not null)::int as deferred,
         count(*) filter (where pending_at is null and ${isPast})::int as expired from ${TABLES[entity]}`,
      [new Date(expiredBeforeMs)],
    );
    const { read = 0, deferred = 0, expired = 0 } = row ?? {};
    const counts = { read, deferred, expired, staged: read - deferred - expired };
    for (const [name, count] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + count;
  }
  return sum;
}

interface Options {
  readonly run: string;
  readonly body: RunBody;
  readonly pace: Pace;
  readonly jobs: number;
}

/** Throws `CopyRefused` when it is to stop before the end. */
export async function applyRanges(scope: CopyScope, options: Options): Promise<void> {
  const { run, pace, jobs } = options;
  let total = 0;
  for (const entity of ENTITIES) {
    const rows = await scope.postgres.query<{ count: number }>(
      `select count(*)::int as count from ${TABLES[entity]}`,
    );
    total += rows[0]?.count ?? 0;
  }
  pace.phase('merging', total);
  const finished = await workRanges(scope, {
    run,
    state: 'merging',
    jobs,
    role: 'coordinator',
    work: (claim) => applyRange(scope, claim, options),
    wait: () => pace.wait(),
  });
  if (!finished) throw pace.stopped(`resume run ${run}`);
}

export async function applyRange(
  scope: CopyScope,
  { range, hold, close }: Claim,
  { run, body, pace }: Omit<Options, 'jobs'>,
): Promise<void> {
  const { replica } = scope.stores.postgres;
  const { entity } = range;
  const bounds = range.bounds as unknown as RowBounds;
  const counts = createCounts();
  const bad: BadDocument[] = [];
  let { after } = bounds;
  let [done, ended] = [0, false];
  while (!ended && done < RANGE_ROWS_MAX && !(done > 0 && (await pace.paused()))) {
    const limit = Math.min(BATCH_MAX, pace.batchMax());
    const { records, next } = await again(scope, () => replica.scan(entity, { after, limit }));
    const { upTo } = bounds;
    const within = records.filter(({ id }) => upTo === null || compareIds(id, upTo) <= 0);
    await scope.postgres.transaction(async (connection) => {
      const held = () => hold(connection, range);
      await held();
      bad.push(...(await applyBatch(scope, entity, within, { run, body, held }, counts)));
    });
    done += within.length;
    after = within.at(-1)?.id ?? after;
    ended = next === null || within.length < records.length;
    await pace.take(within.length);
  }
  await scope.postgres.transaction(async (connection) => {
    await hold(connection, range);
    await putFindings(connection, run, range.seq, bad);
    await close(connection, range, {
      counts: counts.toJson(),
      bounds: { ...bounds, upTo: ended ? bounds.upTo : after },
      rest: ended ? null : { ...bounds, after },
    });
  });
}

/** What of it is bad. What is marked is the mirror's: if the run wrote it, undoing the run would take back a live write. */
async function applyBatch<E extends Entity>(
  scope: CopyScope,
  entity: E,
  given: readonly RecordOf[E][],
  { run, body, held }: Pick<Options, 'run' | 'body'> & { readonly held: () => Promise<void> },
  counts: Counts,
): Promise<readonly BadDocument[]> {
  counts.add('read', given.length);
  const marked = await markedAmong(
    scope.postgres,
    entity,
    given.map(({ id }) => id),
  );
  const records = given.filter(({ id }) => !marked.has(id));
  counts.add('deferred', marked.size);
  if (records.length === 0) return [];
  const kept = await keepBefore(scope, entity, records, run);
  // Of a connection that ended meanwhile nobody else hears: the run may have been undone, and what is kept of this been forgotten.
  await held();
  const under = { epoch: body.epoch, expiredBefore: new Date(body.expiredBeforeMs) };
  const outcomes = await again(scope, () => scope.stores.mongo.replica.apply(entity, records, under));
  const bad: BadDocument[] = [];
  const untouched: string[] = [];
  for (const [place, record] of records.entries()) {
    const outcome: ApplyOutcome = outcomes[place] ?? { kind: 'refused', reason: 'no-outcome' };
    // What was older and is this very state was written by an attempt whose answer was lost.
    if (outcome.kind === 'applied' || (outcome.kind === 'same' && kept.has(record.id))) {
      counts.add('staged');
      continue;
    }
    untouched.push(record.id);
    if (outcome.kind === 'expired') counts.add('expired');
    if (outcome.kind === 'refused') {
      counts.add('bad');
      bad.push({ entity, id: record.id, field: outcome.reason, reason: 'refused', detail: null });
    }
    if (outcome.kind === 'clash' || outcome.kind === 'differs' || outcome.kind === 'ahead') {
      counts.add('deferred');
      // Nothing that PostgreSQL lacks is gone over before the copy is complete: the mirror sees to it then.
      const above = outcome.kind === 'ahead' && !isAuthorityBehind(body.copy) ? outcome.stored.version : 0;
      const version = Math.max(record.stamp.version, above) + 1;
      // The mirror resolves it: its rule for clashes, or a stamp above both.
      await scope.stores.postgres.replica.touch(entity, record.id, {
        expected: record.stamp,
        to: { epoch: body.epoch, version },
      });
    }
  }
  // What an earlier attempt at this batch has written stays to be undone.
  await forgetUndo(
    scope.postgres,
    run,
    entity,
    untouched.filter((id) => kept.has(id)),
  );
  return bad;
}

/** Before it is written over, of each older document; whatever else is there will not be. */
async function keepBefore<E extends Entity>(
  { mongo, postgres }: CopyScope,
  entity: E,
  records: readonly RecordOf[E][],
  run: string,
): Promise<ReadonlySet<string>> {
  const left = new Map<string, RecordOf[Entity]>(records.map((record) => [record.id, record]));
  const kept = new Set<string>();
  let entries: KeptEntry[] = [];
  let chars = 0;
  const keep = async (record: RecordOf[Entity], before: string | null): Promise<void> => {
    const owner = 'userId' in record ? record.userId : record.id;
    const entry = { id: record.id, ...record.stamp, before, owner };
    kept.add(entry.id);
    entries.push(entry);
    chars += entry.before?.length ?? 0;
    if (chars < KEPT_CHARS_MAX) return;
    await keepUndo(postgres, run, entity, entries);
    [entries, chars] = [[], 0];
  };
  const _ids = decodeIds(records.map(({ id }) => id));
  for await (const { id, doc, bytes } of eachRaw(mongo, entity, _ids)) {
    const record = left.get(id);
    if (record === undefined) continue;
    left.delete(id);
    const isOlder = doc === null || compareStamps(stampOf(doc), record.stamp) < 0;
    const isErased = 'deletedAt' in record && record.deletedAt !== null;
    if (isOlder) await keep(record, isErased ? ERASED : toExtendedJson(bytes));
  }
  for (const record of left.values()) await keep(record, null);
  await keepUndo(postgres, run, entity, entries);
  return kept;
}
