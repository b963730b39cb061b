/** A process that only helps: it takes up ranges of whatever run is under way, on any machine. */
import { StaleEpoch, StoreUnavailable } from '../../db/errors.ts';
import { toStoreError } from '../../db/mongo/errors.ts';
import { createRuns, type RunRow, type RunState } from '../../db/postgres/copy/runs.ts';
import { parseVerify } from './compare.ts';
import { createHeed, type Heed } from './heed.ts';
import { assertSameMapping } from './one-mapping.ts';
import { createPace, type Pace } from './pace.ts';
import { authorityNow } from './ready.ts';
import { applyRange } from './reverse.ts';
import { parseRun } from './run.ts';
import { stageRange } from './stage.ts';
import { CopyRefused, type CopyScope, type Report } from './types.ts';
import { compareRange, contextOf } from './verify.ts';
import { type WorkOptions, workRanges } from './work.ts';

const LOOK_MS = 1_000;
const TELL_EVERY_MS = 30_000;

export interface WorkerOptions {
  readonly jobs?: number;
  readonly rate?: number;
  readonly report?: Report;
  /** A store is away, and waited for: told at once, and now and then while it lasts. */
  readonly onAway?: (error: StoreUnavailable) => void;
  /** A run of another mapping or version is left to others: told once of each. */
  readonly onPassedOver?: (error: CopyRefused) => void;
  /** Ends it: what it had begun is taken up by another. */
  readonly signal: AbortSignal;
}

/**
 * Works until it is told to stop: it outlives any run, and a store that is away for a while. Throws `StoreUnavailable` for
 * one that refuses its user.
 */
export async function runWorker(scope: CopyScope, options: WorkerOptions): Promise<void> {
  const { signal, onAway } = options;
  const monotonicMs = () => scope.environment.now().monotonicMs;
  let toldMs = Number.NEGATIVE_INFINITY;
  // For its life: what it has heard of the service outlasts any run.
  const heed = createHeed(scope.environment);
  const passedOver = new Set<string>();
  while (!signal.aborted) {
    const worked = await workOnce(scope, options, { heed, passedOver }).catch((error: unknown) => {
      // What reads MongoDB in bulk throws as the driver does.
      const away = toStoreError(error, 'read');
      if (!(away instanceof StoreUnavailable) || refusesUser(away)) throw away;
      if (monotonicMs() - toldMs >= TELL_EVERY_MS) {
        toldMs = monotonicMs();
        onAway?.(away);
      }
      return false;
    });
    if (!worked) await scope.environment.sleep(LOOK_MS, signal);
  }
}

const NOT_LET_IN: readonly unknown[] = ['28P01', '28000', 'AuthenticationFailed', 'AtlasError'];

/** Waiting mends neither a password nor a privilege. */
function refusesUser({ reason, cause }: StoreUnavailable): boolean {
  const { code, codeName } = (cause ?? {}) as { readonly code?: unknown; readonly codeName?: unknown };
  return reason === 'forbidden' || NOT_LET_IN.includes(code) || NOT_LET_IN.includes(codeName);
}

/** False when there was nothing to do, or nothing that may be done now. */
async function workOnce(
  scope: CopyScope,
  options: WorkerOptions,
  { heed, passedOver }: { readonly heed: Heed; readonly passedOver: Set<string> },
): Promise<boolean> {
  const runs = createRuns(scope.postgres);
  for (const run of await runs.worked()) {
    const part = partIn(scope, run, options.jobs ?? JOBS);
    if (part instanceof CopyRefused) {
      if (!passedOver.has(run.id)) options.onPassedOver?.(part);
      passedOver.add(run.id);
      continue;
    }
    const { store, epoch, state, phase, work } = part;
    if (run.state !== state) continue;
    // Left over from before authority moved: nothing of it may be gone on with.
    const { authority, record } = await authorityNow(scope);
    if (authority !== store || (epoch !== null && epoch !== record.epoch)) continue;
    const { rate = 0, report, signal } = options;
    const pace = createPace(scope, {
      ...{ run: run.id, authority: scope.stores[store], rate, report, signal, heed },
      isCalledOff: () => runs.isHeld(run.id),
    });
    if (!(await pace.ready())) return false;
    pace.phase(phase, null);
    try {
      return await workRanges(scope, {
        run: run.id,
        state,
        jobs: options.jobs ?? JOBS,
        role: 'worker',
        work: (claim) => work(claim, pace),
        wait: () => pace.wait(),
      });
    } catch (error) {
      if (error instanceof StaleEpoch) return false;
      // Taken back under its hands.
      if ((await runs.find(run.id))?.state === run.state) throw error;
      return true;
    }
  }
  return false;
}

const JOBS = 2;

interface Part {
  /** The authority the run began under. */
  readonly store: 'mongo' | 'postgres';
  /** Its epoch; null: any of that store's. */
  readonly epoch: number | null;
  /** In which its ranges are worked. */
  readonly state: RunState;
  readonly phase: 'copying' | 'merging' | 'verifying';
  readonly work: (claim: Parameters<WorkOptions['work']>[0], pace: Pace) => Promise<void>;
}

/** Or why it has none in this run. */
function partIn(scope: CopyScope, run: RunRow, jobs: number): Part | CopyRefused {
  try {
    return partOf(scope, run, jobs);
  } catch (error) {
    if (error instanceof CopyRefused) return error;
    throw error;
  }
}

function partOf(scope: CopyScope, run: RunRow, jobs: number): Part {
  if (run.kind === 'verify') {
    const { authority: store, mapping } = parseVerify(run);
    assertSameMapping(scope, { id: run.id, mapping, kind: 'verify' });
    const work: Part['work'] = (claim, pace) =>
      compareRange(scope, claim, contextOf(scope, run, { pace, jobs }));
    return { store, epoch: null, state: 'checking', phase: 'verifying', work };
  }
  const body = parseRun(run);
  assertSameMapping(scope, { id: run.id, mapping: body.mapping, kind: 'backfill' });
  const { from: store, epoch } = body;
  return store === 'mongo'
    ? {
        store,
        epoch,
        state: 'copying',
        phase: 'copying',
        work: (claim, pace) => stageRange(scope, claim, { run: run.id, body, pace }),
      }
    : {
        store,
        epoch,
        state: 'merging',
        phase: 'merging',
        work: (claim, pace) => applyRange(scope, claim, { run: run.id, body, pace }),
      };
}
