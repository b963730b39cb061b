/** A process that only helps: it takes up ranges of whatever run is under way, on any machine. */
import { createRuns, type RangeRow } from '../../db/postgres/copy/runs.ts';
import { createPace } from './pace.ts';
import { applyRange } from './reverse.ts';
import { parseRun } from './run.ts';
import { stageRange } from './stage.ts';
import type { CopyScope, Report } from './types.ts';
import { workRanges } from './work.ts';

const LOOK_MS = 1_000;

export interface WorkerOptions {
  readonly jobs?: number;
  readonly rate?: number;
  readonly report?: Report;
  /** Ends it: what it had begun is taken up by another. */
  readonly signal: AbortSignal;
}

/** Works until it is told to stop. */
export async function runWorker(
  scope: CopyScope,
  { jobs = 2, rate = 0, report, signal }: WorkerOptions,
): Promise<void> {
  const runs = createRuns(scope.postgres);
  while (!signal.aborted) {
    const run = await runs.active();
    const isOpen = run !== null && run.state !== 'undoing' && (await runs.open(run.id)) > 0;
    if (run === null || !isOpen) {
      await scope.environment.sleep(LOOK_MS, signal);
      continue;
    }
    const body = parseRun(run);
    const pace = createPace(scope, { run: run.id, authority: scope.stores[body.from], rate, report, signal });
    pace.phase(body.from === 'mongo' ? 'copying' : 'merging', null);
    const options = { run: run.id, body, pace };
    await workRanges(scope, {
      run: run.id,
      jobs,
      work: (range: RangeRow, owner: string) =>
        body.from === 'mongo'
          ? stageRange(scope, range, { ...options, owner })
          : applyRange(scope, range, owner, options),
      wait: () => pace.wait(),
    });
  }
}
