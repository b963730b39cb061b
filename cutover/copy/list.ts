/** Runs as an operator sees them. */
import type { StoreName } from '../../db/errors.ts';
import { createFindings } from '../../db/postgres/copy/findings.ts';
import { createRuns, type RunRow, type RunState } from '../../db/postgres/copy/runs.ts';
import { sumCounts } from './classify.ts';
import { parseRun } from './run.ts';
import { type BadDocument, CopyRefused, type CopyScope, FINDINGS_MAX } from './types.ts';

export interface RunSummary {
  readonly run: string;
  readonly state: RunState;
  readonly from: StoreName;
  readonly onBad: 'rollback' | 'quarantine';
  readonly dryRun: boolean;
  readonly startedAt: Date;
  readonly updatedAt: Date;
}

export interface RunDetails extends RunSummary {
  readonly ranges: { readonly done: number; readonly open: number };
  readonly counts: Readonly<Record<string, number>>;
  readonly bad: readonly BadDocument[];
  /** Writes that a rollback would take back; 0: none, or there is nothing to undo any more. */
  readonly undoable: number;
}

/** The latest first. */
export async function listBackfills(scope: CopyScope, limit = 50): Promise<readonly RunSummary[]> {
  const runs = await createRuns(scope.postgres).list({ limit, kind: 'backfill' });
  return runs.map(summaryOf);
}

/** Throws `CopyRefused` when there is none of this id. */
export async function showBackfill(scope: CopyScope, id: string): Promise<RunDetails> {
  const runs = createRuns(scope.postgres);
  const run = await runs.find(id);
  if (run?.kind !== 'backfill') throw new CopyRefused('no-run', `there is no run ${id}`);
  const ranges = await runs.ranges(id);
  const [undo] = await scope.postgres.query<{ count: number }>(
    'select count(*)::int as count from copy_undo where run = $1',
    [id],
  );
  const open = ranges.filter(({ state }) => state === 'open').length;
  return {
    ...summaryOf(run),
    ranges: { done: ranges.length - open, open },
    counts: sumCounts([...ranges.map(({ counts }) => counts), parseRun(run).counts]),
    bad: await createFindings(scope.postgres).bad(id, { limit: FINDINGS_MAX }),
    undoable: undo?.count ?? 0,
  };
}

function summaryOf(run: RunRow): RunSummary {
  const { from, onBad, dryRun } = parseRun(run);
  const { id, state, startedAt, updatedAt } = run;
  return { run: id, state, from, onBad, dryRun, startedAt, updatedAt };
}
