/** Taking a run back: exactly, but for what live traffic has written since and what that refers to. */
import { StaleEpoch } from '../../db/errors.ts';
import { undoDocument } from '../../db/mongo/copy/undo.ts';
import type { Store } from '../../db/port.ts';
import { createFindings } from '../../db/postgres/copy/findings.ts';
import { UNDO_ORDER, type UndoOptions, type UndoStep, undoStep } from '../../db/postgres/copy/merge.ts';
import { createRuns, type RunRow } from '../../db/postgres/copy/runs.ts';
import { dropStaging } from '../../db/postgres/copy/staging.ts';
import { forgetUndo, hasTouched, undoEntries } from '../../db/postgres/copy/undo.ts';
import { putBackStep } from '../../db/postgres/copy/vanished.ts';
import type { Entity } from '../../db/records.ts';
import { readControl } from '../control.ts';
import { authorityOf, isAuthorityBehind, mirrorOf, staleAfter, staleByHistory } from '../mode.ts';
import { NOTES } from '../notes.ts';
import { forgetErased } from './erased.ts';
import { coordinating } from './lock.ts';
import { again } from './merge.ts';
import { createPace, type Pace } from './pace.ts';
import { logCopy, markCopy } from './ready.ts';
import { changedByAnother, parseRun, type RunBody, toBody } from './run.ts';
import { CopyRefused, type CopyScope, type Report } from './types.ts';

const STEP_ROWS = 1_000;
/** Few, because each step looks once whether it may still be taken. */
const STEP_DOCUMENTS = 100;
const RACES_MAX = 20;
/** How far the clock of whoever made a token may be behind that of the run: such a token keeps its user rather than losing it. */
const CLOCKS_MS = 3_600_000;
const ALL = 1_000_000;

export interface RollbackResult {
  readonly run: string;
  /** Records that only the run had written, and are gone. */
  readonly removed: number;
  /** Records that are again what they were before it. */
  readonly restored: number;
  /** Written since, referred to by what was, or of a user who has been erased: left alone. */
  readonly spared: number;
  /** Documents that no driver can write as they were, such as invalid UTF-8: left as the run wrote them. */
  readonly unrestorable: number;
}

export interface RollbackOptions {
  readonly report?: Report;
  readonly signal?: AbortSignal;
}

/**
 * Undoes a run, finished or not; made again, it goes on where it stopped. Throws `CopyRefused` when the store it wrote to
 * has authority by now.
 */
export function rollbackBackfill(
  scope: CopyScope,
  id: string,
  { report, signal }: RollbackOptions = {},
): Promise<RollbackResult> {
  return coordinating(scope, async () => {
    const runs = createRuns(scope.postgres);
    const run = await runs.find(id);
    if (run === null || run.kind !== 'backfill') throw new CopyRefused('no-run', `there is no run ${id}`);
    if (run.state === 'undone' || run.state === 'rolled-back' || run.state === 'overtaken') {
      throw new CopyRefused('unknown-state', `run ${id} is ${run.state} already`);
    }
    const body = parseRun(run);
    const authority = scope.stores[body.from];
    const epoch = await markStale(scope, run, body);
    const now = scope.environment.date();
    if (run.state !== 'undoing' && !(await runs.advance(id, run.state, 'undoing', toBody(body), now))) {
      throw changedByAnother(id);
    }
    // What others have in hand of it ends first, and none of them begins anything more.
    await runs.settled(id);
    // They may have put documents aside meanwhile.
    if (run.state === 'copying') await markStale(scope, run, body);
    await dropStaging(scope.postgres);
    const pace = createPace(scope, {
      run: id,
      authority,
      rate: 0,
      report,
      signal,
      heeds: false,
    });
    const undone = await undoRun(scope, { run, body: { ...body, epoch }, pace });
    await createFindings(scope.postgres).forget(id);
    await unnoteQuarantine(authority, id);
    await runs.advance(id, 'undoing', 'undone', toBody(body), scope.environment.date());
    await logCopy(scope, authority, `${id}/undone`, { run: id, ...undone });
    return { run: id, ...undone };
  });
}

/** Nothing may rely on the copy from here on, unless it is another run's and this one has not touched it. The epoch to act under. */
async function markStale(scope: CopyScope, run: RunRow, body: RunBody): Promise<number> {
  const authority = scope.stores[body.from];
  const isBefore = run.state === 'copying' || run.state === 'undoing';
  const touches = !isBefore || (await hasTouched(scope.postgres, run.id));
  for (let race = 0; race < RACES_MAX; race += 1) {
    const record = await readControl(authority);
    if (record === null || authorityOf(record.mode) !== body.from) {
      throw new CopyRefused(
        'not-authority',
        `run ${run.id} wrote to what is the authority by now: it is not undone`,
      );
    }
    if (record.transition !== null) throw new CopyRefused('in-transition', 'authority is about to change');
    // Where nothing is mirrored nobody can complete it, and it got a new time when that began.
    const { copy, mode } = record;
    if (copy.kind === 'none' || (copy.kind === 'stale' && mirrorOf(mode) === null)) return record.epoch;
    if (copy.kind === 'complete' && copy.run !== run.id && !touches) return record.epoch;
    const nowMs = scope.environment.date().getTime();
    // What was decided by it, and ended with its completion, is open once more.
    const stale = isAuthorityBehind(body.copy)
      ? staleByHistory(body.from, copy, nowMs)
      : staleAfter(copy, nowMs);
    if ((await markCopy(scope, authority, record.epoch, record.copy, stale)) === null) return record.epoch;
  }
  throw new CopyRefused('busy', 'the control record is being changed all the time');
}

/** The gates count by these notes. */
async function unnoteQuarantine({ books }: Store, run: string): Promise<void> {
  for (const { key, body } of await books.notes(NOTES.quarantine, { limit: ALL })) {
    if ((body as { readonly run?: unknown }).run === run) await books.deleteNote(NOTES.quarantine, key);
  }
}

export interface Undo {
  readonly run: Pick<RunRow, 'id' | 'startedAt'>;
  readonly body: RunBody;
  readonly pace: Pace;
}

/** Every write of the run, back; but nobody who has been erased since. */
export async function undoRun(
  scope: CopyScope,
  { run: { id: run, startedAt }, body, pace }: Undo,
): Promise<Omit<RollbackResult, 'run'>> {
  pace.phase('undoing', null);
  await forgetErased(scope, body.from);
  const since = new Date(startedAt.getTime() - CLOCKS_MS);
  const sum = { removed: 0, restored: 0, spared: 0, unrestorable: 0 };
  const { epoch } = body;
  if (body.from === 'postgres') {
    for (const entity of UNDO_ORDER)
      await repeat(() => undoInMongo(scope, entity, { run, epoch, since, limit: STEP_DOCUMENTS }));
    return sum;
  }
  const { postgres } = scope;
  const options = { run, epoch, since, limit: STEP_ROWS };
  for (const entity of UNDO_ORDER) await repeat(() => undoStep(postgres, entity, options));
  // Users first: what refers to them needs them.
  for (const entity of [...UNDO_ORDER].reverse()) {
    await repeat(() => putBackStep(postgres, entity, options));
  }
  return sum;

  async function repeat(take: () => Promise<UndoStep & { readonly unrestorable?: number }>): Promise<void> {
    for (let done = false; !done; ) {
      if (await pace.wait()) throw pace.stopped(`roll run ${run} back once more`);
      const step = await again(scope, take);
      sum.removed += step.removed;
      sum.restored += step.restored;
      sum.spared += step.spared;
      sum.unrestorable += step.unrestorable ?? 0;
      await pace.take(step.removed + step.restored);
      done = step.done;
    }
  }
}

async function undoInMongo(
  { stores, mongo, postgres }: CopyScope,
  entity: Entity,
  { run, epoch, since, limit }: UndoOptions,
) {
  const entries = await undoEntries(postgres, run, entity, limit);
  // Even where a failover has made it the authority meanwhile.
  const control = await readControl(stores.mongo);
  if (control !== null && control.epoch > epoch) throw new StaleEpoch(control.epoch, epoch);
  const step = { removed: 0, restored: 0, spared: 0, unrestorable: 0 };
  for (const entry of entries) step[await undoDocument(mongo, entity, entry, since)] += 1;
  await forgetUndo(
    postgres,
    run,
    entity,
    entries.map(({ id }) => id),
  );
  return { ...step, done: entries.length < limit };
}
