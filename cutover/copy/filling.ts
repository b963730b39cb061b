/** Staging before the merge: every range into it, then what can only be told of all rows together. */
import { countDocuments, cutRanges, usefulParts } from '../../db/mongo/copy/ranges.ts';
import { countDanglingTokens, countSharedTokens } from '../../db/postgres/copy/checks.ts';
import { createRuns, type RunRow } from '../../db/postgres/copy/runs.ts';
import {
  createStaging,
  indexStaging,
  sealStaging,
  stagedCounts,
  stagingExists,
  stagingTable,
} from '../../db/postgres/copy/staging.ts';
import { ENTITIES } from '../../db/records.ts';
import { cleanedName, sumCounts } from './classify.ts';
import { putSessionsAside, settleDuplicates } from './duplicates.ts';
import type { Pace } from './pace.ts';
import type { RunBody } from './run.ts';
import { clearRange, stageRange } from './stage.ts';
import type { CopyScope } from './types.ts';
import { workRanges } from './work.ts';

/** A run at work in this process. */
export interface Context {
  readonly run: RunRow;
  readonly body: RunBody;
  readonly pace: Pace;
  readonly jobs: number;
}

/** Every range into staging, under a seal of this name, by which a later crash of the server shows. */
export async function fillStaging(
  scope: CopyScope,
  { run, body, pace, jobs }: Context,
  seal: string,
): Promise<void> {
  const runs = createRuns(scope.postgres);
  const before = await runs.ranges(run.id);
  if (before.length === 0 || !(await stagingExists(scope.postgres))) {
    await createStaging(scope.postgres);
    if (before.length === 0) {
      for (const entity of ENTITIES) {
        const parts = await usefulParts(scope.mongo, entity, jobs * 2);
        const cut = await cutRanges(scope.mongo, entity, parts);
        await runs.addRanges(
          run.id,
          cut.map((bounds) => ({ entity, bounds: { ...bounds } })),
        );
      }
    }
  }
  await sealStaging(scope.postgres, seal);
  await reopenLost(scope, run.id);
  const done = sumCounts((await runs.ranges(run.id)).map(({ counts }) => counts))['read'] ?? 0;
  pace.phase('copying', () => countDocuments(scope.mongo), done);
  const finished = await workRanges(scope, {
    run: run.id,
    state: 'copying',
    jobs,
    role: 'coordinator',
    work: (claim) => stageRange(scope, claim, { run: run.id, body, pace }),
    wait: () => pace.wait(),
  });
  if (!finished) throw pace.stopped(`resume run ${run.id}`);
}

/** Ranges that are said to be done and whose rows are not all there: a server's crash has emptied staging, or a check had begun. */
async function reopenLost(scope: CopyScope, run: string): Promise<void> {
  const runs = createRuns(scope.postgres);
  const staged = await stagedCounts(scope.postgres);
  const lost = (await runs.ranges(run)).filter(
    ({ seq, state, counts }) => state === 'done' && (counts['staged'] ?? 0) !== (staged.get(seq) ?? 0),
  );
  for (const entity of ENTITIES) {
    // What the checks staged anew belongs to one of these.
    await scope.postgres.query(`delete from ${stagingTable(entity)} where range = 0`);
  }
  await scope.postgres.query('delete from copy_findings where run = $1 and range is null', [run]);
  for (const range of lost) await clearRange(scope, range);
  await runs.reopen(
    run,
    lost.map(({ seq }) => seq),
  );
}

/** What the ranges could not tell, and what came of it. */
export async function checkStaging(
  scope: CopyScope,
  { run, body, pace }: Context,
): Promise<RunBody['counts']> {
  pace.phase('checking', null);
  await indexStaging(scope.postgres);
  const { bad, passedOver } = await settleDuplicates(scope, run.id, body);
  // A run that may yet be rolled back lays hands on nothing that an earlier one has put aside.
  const isHandsOff = body.dryRun || body.onBad === 'rollback';
  const sessions = isHandsOff ? 0 : await putSessionsAside(scope, run.id, 'all');
  return { bad, passedOver, sessionsAside: sessions, ...(await countTokens(scope, run.id)) };
}

async function countTokens({ mongo, postgres }: CopyScope, run: string): Promise<RunBody['counts']> {
  const counts: Record<string, number> = {};
  for (const entity of ['verificationToken', 'resetToken'] as const) {
    const shared = await countSharedTokens(postgres, entity);
    if (shared > 0) counts[cleanedName(entity, { field: 'token', reason: 'duplicate-token' })] = shared;
    const dangling = await countDanglingTokens(postgres, entity, run);
    const field = mongo.codec.path(entity, 'userId').text;
    if (dangling > 0) counts[cleanedName(entity, { field, reason: 'dangling' })] = dangling;
  }
  return counts;
}
