/** Works on the ranges of a run, in this process, until none is left. Any number of processes may do so at once. */
import type { Connection } from '../../db/postgres/copy/client.ts';
import { type Crew, type Job, type Jobs, openJobs } from '../../db/postgres/copy/jobs.ts';
import {
  closeRange,
  createRuns,
  holdRange,
  RangeLost,
  type RangeRow,
  type RunState,
} from '../../db/postgres/copy/runs.ts';
import { createPulse } from '../instance/pulse.ts';
import { changedByAnother } from './run.ts';
import type { CopyScope } from './types.ts';

const LOOK_MS = 200;
/** A job that was lost, in whatever way, is offered again after so long. */
const OFFER_MS = 5_000;

/** A range in hand, and how to close it. */
export interface Claim {
  readonly range: RangeRow;
  /**
   * Before anything is done in a transaction: until that ends nobody undoes the run. Throws `RangeLost` when another has
   * taken the range up, or the run back.
   */
  hold(connection: Connection, range: RangeRow): Promise<void>;
  /**
   * In the transaction that did the work. What is left is handed out to others, unless it is kept; its number. Throws
   * `RangeLost` when another has taken the range up meanwhile.
   */
  close(
    connection: Connection,
    range: RangeRow,
    result: Parameters<typeof closeRange>[4],
  ): Promise<number | null>;
}

export interface WorkOptions {
  readonly run: string;
  /** In which its ranges are worked. */
  readonly state: RunState;
  /** Ranges worked at once. */
  readonly jobs: number;
  /**
   * `coordinator`: the only one of its run, under a lock that its death lets go. So what the last one had in hand need not
   * be waited for.
   */
  readonly role: 'coordinator' | 'worker';
  readonly work: (claim: Claim) => Promise<void>;
  /** Waits out a pause; true: to end now. */
  readonly wait: () => Promise<boolean>;
}

/**
 * Resolves when every range is done, by whomever; false when it was to stop before. Throws `CopyRefused` when another has
 * taken the run back.
 */
export async function workRanges(scope: CopyScope, options: WorkOptions): Promise<boolean> {
  const jobs = await openJobs(scope.postgres);
  try {
    return await workJobs(scope, jobs, options);
  } finally {
    await jobs.close();
  }
}

async function workJobs(scope: CopyScope, jobs: Jobs, options: WorkOptions): Promise<boolean> {
  const { run, state, wait } = options;
  const { environment, postgres } = scope;
  const runs = createRuns(postgres);
  await jobs.begin(run);
  if (options.role === 'coordinator') await jobs.release(run, jobsOfTheDead(await runs.open(run)));
  const failures: unknown[] = [];
  const pulse = createPulse(environment);
  const startCrew = () =>
    jobs.work(run, options.jobs, async (job) => {
      if (failures.length > 0 || (await wait())) throw new Error('not here: this process is about to end');
      try {
        await workJob(scope, jobs, job, options);
      } catch (error) {
        failures.push(error);
        throw error;
      } finally {
        pulse.wake();
      }
    });
  let crew: Crew | null = null;
  try {
    for (let offeredMs = Number.NEGATIVE_INFINITY; ; ) {
      const open = await runs.open(run);
      if (open.length === 0) break;
      if (failures.length > 0) throw failures[0];
      if ((await runs.find(run))?.state !== state) throw changedByAnother(run);
      if (await wait()) return false;
      const nowMs = environment.now().monotonicMs;
      if (nowMs - offeredMs >= OFFER_MS) {
        offeredMs = nowMs;
        await jobs.offer(
          run,
          open.map(({ job }) => job),
        );
      }
      // Not before there is something to do: who looks for a job and finds none rests before the next look.
      crew ??= await startCrew();
      await pulse.wait(LOOK_MS);
    }
  } finally {
    await crew?.stop();
  }
  await jobs.forget(run);
  return true;
}

async function workJob(
  scope: CopyScope,
  jobs: Jobs,
  job: Job,
  { run, state, role, work }: WorkOptions,
): Promise<void> {
  const owner = [role, job.id, scope.environment.newId()].join('/');
  const range = await createRuns(scope.postgres).take(run, job.number, owner);
  if (range === null) return;
  try {
    await work({
      range,
      hold: (connection, held) => holdRange(connection, { id: run, state }, held, owner),
      async close(connection, held, result) {
        const rest = await closeRange(connection, run, held, owner, result);
        if (rest !== null && result.keepsRest !== true) await jobs.offer(run, [rest], connection);
        return rest;
      },
    });
  } catch (error) {
    if (!(error instanceof RangeLost)) throw error;
  }
}

function jobsOfTheDead(open: readonly { readonly owner: string | null }[]): readonly string[] {
  return open.flatMap(({ owner }) => {
    const [role, id] = owner?.split('/') ?? [];
    return role === 'coordinator' && id !== undefined ? [id] : [];
  });
}
