/** Works on the ranges of a run, in this process, until none is left. Any number of processes may do so at once. */
import { createRuns, RangeLost, type RangeRow } from '../../db/postgres/copy/runs.ts';
import type { CopyScope } from './types.ts';

const BEAT_LOST_MS = 20_000;
/** So many beats may get lost before their worker counts as dead. */
const BEATS = 5;
const IDLE_MS = 200;

export interface WorkOptions {
  readonly run: string;
  readonly jobs: number;
  readonly work: (range: RangeRow, owner: string) => Promise<void>;
  /** True: to end now. */
  readonly wait: () => Promise<boolean>;
}

/** Resolves when every range is done, by whomever; false when it was to stop before. */
export async function workRanges(scope: CopyScope, options: WorkOptions): Promise<boolean> {
  const results = await Promise.allSettled(
    Array.from({ length: options.jobs }, () => workLoop(scope, options)),
  );
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results.every((result) => result.status === 'fulfilled' && result.value);
}

async function workLoop(scope: CopyScope, { run, work, wait }: WorkOptions): Promise<boolean> {
  const runs = createRuns(scope.postgres);
  const owner = scope.environment.newId();
  for (;;) {
    if (await wait()) return false;
    const range = await runs.claim(run, owner, scope.beatLostMs ?? BEAT_LOST_MS);
    if (range === null) {
      if ((await runs.open(run)) === 0) return true;
      // Another's: to be taken up, should it die.
      await scope.environment.sleep(IDLE_MS);
      continue;
    }
    await whileBeating(
      scope,
      () => runs.beat(run, owner),
      async () => {
        try {
          await work(range, owner);
        } catch (error) {
          if (!(error instanceof RangeLost)) throw error;
        }
      },
    );
  }
}

async function whileBeating(
  { environment, beatLostMs = BEAT_LOST_MS }: CopyScope,
  beat: () => Promise<boolean>,
  work: () => Promise<void>,
): Promise<void> {
  const ended = new AbortController();
  const beating = (async () => {
    for (;;) {
      await environment.sleep(beatLostMs / BEATS, ended.signal);
      if (ended.signal.aborted) return;
      // A missed beat is no more than that; whoever takes the range up makes this work come to nothing.
      await beat().catch(() => false);
    }
  })();
  try {
    await work();
  } finally {
    ended.abort();
    await beating;
  }
}
