/** Ranges of documents into staging; a stretch of one is a transaction: all of it is there and noted, or nothing is. */
import type { Codec } from '../../db/canonical.ts';
import type { IdRange } from '../../db/mongo/copy/ranges.ts';
import type { RawDocument } from '../../db/mongo/copy/raw-document.ts';
import { type Batch, scanRange } from '../../db/mongo/copy/scan.ts';
import type { Connection } from '../../db/postgres/copy/client.ts';
import { type BadDocument, putAside, putFindings } from '../../db/postgres/copy/findings.ts';
import { toLine } from '../../db/postgres/copy/rows.ts';
import type { RangeRow } from '../../db/postgres/copy/runs.ts';
import { stageLines, stagingTable } from '../../db/postgres/copy/staging.ts';
import type { Entity } from '../../db/records.ts';
import type { Json } from '../../db/replica.ts';
import { type Counts, classify, createCounts, type Flaw } from './classify.ts';
import { originalOf, staysBehind } from './originals.ts';
import type { Pace } from './pace.ts';
import type { RunBody } from './run.ts';
import type { CopyScope } from './types.ts';
import type { Claim } from './work.ts';

/** So much is done again, at most, when a worker dies. */
const STRETCH_DOCUMENTS_MAX = 20_000;
/** A slow copy holds its transaction open for no longer than this, but for one batch. */
const STRETCH_MS_MAX = 30_000;

/** What one batch comes to, before anything of it is written. */
interface Sorted {
  readonly lines: readonly string[];
  /** Of the lines. */
  readonly sources: readonly RawDocument[];
  readonly bad: readonly (RawDocument & { readonly flaws: readonly Flaw[] })[];
}

export interface StageOptions {
  readonly run: string;
  readonly body: RunBody;
  readonly pace: Pace;
}

/**
 * Stages a range, a stretch at a time: after each everything up to there is done, and the same cursor goes on. Throws
 * `RangeLost` when another worker has taken the range up meanwhile.
 */
export async function stageRange(scope: CopyScope, claim: Claim, options: StageOptions): Promise<void> {
  const { range } = claim;
  const bounds = range.bounds as unknown as IdRange;
  const batches = scanRange(scope.mongo, range.entity, bounds, { batchMax: options.pace.batchMax() });
  try {
    for (let rest: RangeRow | null = range; rest !== null; ) {
      rest = await stageStretch(scope, claim, rest, batches, options);
    }
  } finally {
    await batches.return(undefined);
  }
}

/** What is left of the range, to go on with; null when nothing is, or it is to be left to others. */
async function stageStretch(
  scope: CopyScope,
  claim: Claim,
  range: RangeRow,
  batches: AsyncGenerator<Batch>,
  options: StageOptions,
): Promise<RangeRow | null> {
  const { pace, run } = options;
  const startMs = scope.environment.now().monotonicMs;
  const bounds = range.bounds as unknown as IdRange;
  const counts = createCounts();
  return scope.postgres.transaction(async (connection) => {
    await claim.hold(connection, range);
    // Left by an attempt whose rows a crash of the server has emptied in part.
    await connection.query('delete from copy_findings where run = $1 and range = $2', [run, range.seq]);
    let [done, isPaused] = [0, false];
    let cut: string | null = null;
    for (;;) {
      const next = await batches.next();
      if (next.done === true) break;
      const batch = next.value;
      const sorted = sortBatch(scope.mongo.codec, range, batch, options.body, counts);
      await writeBatch(scope, connection, range, options, sorted, counts);
      done += batch.documents.length;
      await pace.take(batch.documents.length);
      isPaused = await pace.paused();
      const isLong = scope.environment.now().monotonicMs - startMs >= STRETCH_MS_MAX;
      if (batch.cut !== null && (done >= STRETCH_DOCUMENTS_MAX || isLong || isPaused)) {
        cut = batch.cut;
        break;
      }
    }
    const rest = cut === null ? null : { ...bounds, after: cut };
    const seq = await claim.close(connection, range, {
      counts: counts.toJson(),
      bounds: { ...bounds, upTo: cut ?? bounds.upTo },
      rest,
      keepsRest: !isPaused,
    });
    return seq === null || rest === null || isPaused ? null : { ...range, seq, bounds: rest };
  });
}

/** Takes out what an earlier attempt at this range left in staging. */
export async function clearRange({ postgres }: CopyScope, range: RangeRow): Promise<void> {
  await postgres.query(`delete from ${stagingTable(range.entity)} where range = $1`, [range.seq]);
}

function sortBatch(codec: Codec, range: RangeRow, batch: Batch, body: RunBody, counts: Counts): Sorted {
  const expiredBefore = new Date(body.expiredBeforeMs);
  const lines: string[] = [];
  const sources: Sorted['sources'][number][] = [];
  const bad: Sorted['bad'][number][] = [];
  for (const raw of batch.documents) {
    const result = classify(codec, range.entity, raw, expiredBefore, counts);
    if (result.kind === 'good') {
      lines.push(toLine(range.entity, result.record, { range: range.seq, isMarked: result.isMarked }));
      sources.push(raw);
    } else if (result.kind === 'bad') {
      bad.push({ ...raw, flaws: result.flaws });
    } else {
      counts.add('expired');
    }
  }
  return { lines, sources, bad };
}

async function writeBatch(
  { environment, mongo: { codec } }: CopyScope,
  connection: Connection,
  { entity, seq }: RangeRow,
  { run, body }: StageOptions,
  sorted: Sorted,
  counts: Counts,
): Promise<void> {
  const refused = await stageLines(connection, entity, sorted.lines);
  const found: Sorted['bad'] = [
    ...sorted.bad,
    ...refused.flatMap(({ place, constraint }) => {
      const source = sorted.sources[place];
      return source === undefined
        ? []
        : [{ ...source, flaws: [{ field: constraint, reason: 'refused' as const }] }];
    }),
  ];
  counts.add('staged', sorted.lines.length - refused.length);
  // What stays behind by an operator's word is as it is to be.
  const behind = await staysBehind(codec, connection, entity, found);
  if (behind.size > 0) counts.add('leftBehind', behind.size);
  const bad = found.filter(({ id }) => !behind.has(id));
  if (bad.length === 0) return;
  counts.add('bad', bad.length);
  await putFindings(
    connection,
    run,
    seq,
    bad.flatMap(({ id, flaws }) => toFindings(entity, id, flaws, null)),
  );
  if (body.onBad === 'rollback' || body.dryRun) return;
  const originals = bad.map((each) => originalOf(codec, entity, each, each.flaws));
  await putAside(connection, run, originals, environment.date());
}

/** One finding for each field, without its value. */
export function toFindings(
  entity: Entity,
  id: string,
  flaws: readonly Flaw[],
  detail: Json,
): readonly BadDocument[] {
  return flaws.map(({ field, reason }) => ({ entity, id, field, reason, detail }));
}
