/** A flip without a change of authority: one compare-and-set, and the wait until everybody has followed it. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { changeControl } from '../control.ts';
import { logEvent } from '../event-log.ts';
import { isWholeOrMarked } from '../lost-copy.ts';
import { type CopyState, countingOn, type Move } from '../mode.ts';
import { type ChangeDecision, type ControlChange, hasMoved } from '../protocol/changes.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { settingsOf, timingOf } from '../settings.ts';
import { copyTo } from '../telling.ts';
import { whyRefused } from '../words.ts';
import { awaitAcknowledged } from './instances.ts';
import { isOver, type Run, whyOver } from './run.ts';
import { attempt, type Standing } from './situation.ts';

export interface FlipResult {
  /** `overtaken`: nothing was done, since something was set or marked meanwhile, by which the gates may say otherwise. */
  readonly kind: 'done' | 'refused' | 'aborted' | 'overtaken';
  readonly record: ControlRecord;
  readonly reasons: readonly string[];
}

/** From `record`, whose gates have been passed, and from no other. */
export async function flip(
  run: Run,
  { authority, other, record: before }: Standing,
  move: Move,
  details: Readonly<Record<string, string | boolean>>,
): Promise<FlipResult> {
  const { environment } = run;
  const startsEmpty =
    move.startsMirror && before.copy.kind !== 'complete' && (await holdNobody(authority, other));
  if (isOver(run)) return { kind: 'aborted', record: before, reasons: [whyOver(run)] };
  run.say('flip', `${move.from} → ${move.to}`);
  const nowMs = environment.date().getTime();
  const change = { kind: 'move', id: environment.newId(), to: move.to, nowMs, judged: before } as const;
  const { decision, isSure } = await ask(run, authority, change);
  if (decision.kind === 'refused') {
    const { reason, record } = decision;
    const reasons = [whyRefused(reason, record)];
    if (reason !== 'changed') return { kind: 'refused', record, reasons };
    if (!hasMoved(before, record)) return { kind: 'overtaken', record, reasons };
    if (isSure) return { kind: 'refused', record, reasons };
    return { kind: 'aborted', record, reasons: ['whether it was made before that is not known', ...reasons] };
  }
  let { record } = decision;
  if (other !== null) await copyTo(run, authority, other);
  await logEvent(run, authority, 'moved', record, { from: move.from, to: move.to, ...details });

  run.say('acknowledge', `waiting until every live instance follows ${move.to}`);
  const timing = timingOf(settingsOf(record));
  const { untilMs, interrupted } = run;
  const waiting = { untilMs, timing, interrupted };
  const { behind } = await awaitAcknowledged(environment, authority, record, waiting);
  const reasons = behind.map((instance) => `${instance} has not followed yet: the next move waits for it`);
  // Told before the copy counts as complete: afterwards a store that holds no record has lost it.
  const isTold =
    startsEmpty && behind.length === 0 && other !== null && (await copyTo(run, authority, other));
  const history = isTold ? await attempt(async () => (await run.stores.postgres?.history()) ?? null) : null;
  if (isTold && (await attempt(() => isWholeOrMarked(authority, other))) === true) {
    const whole = {
      kind: 'complete',
      run: 'started-empty',
      completedAtMs: nowMs,
      verifiedAtMs: null,
    } as const;
    const copy = countingOn<CopyState & { readonly kind: 'complete' }>(whole, history);
    run.say('complete', 'every record is marked or in the mirror: the copy counts as complete');
    // Whoever stood still since the look finds another state of the copy where the mirror was off meanwhile.
    const { copy: expected, epoch } = record;
    const { decision: marked } = await ask(run, authority, { kind: 'mark-copy', copy, expected, epoch });
    record = marked.record;
    if (marked.kind !== 'refused') {
      await copyTo(run, authority, other);
      await logEvent(run, authority, 'copy', record, { copy: 'complete', run: copy.run });
    }
  }
  if (record.mode !== move.to) reasons.push(`somebody else has moved on since, to ${record.mode}`);
  else if (record.copy.kind !== 'complete' && move.startsMirror) {
    reasons.push(`the copy is ${record.copy.kind}: only a backfill completes it`);
  }
  return { kind: 'done', record, reasons };
}

/**
 * Asks again while the outcome is unknown: what was made answers `already`. Not sure: it may have been made, and overtaken
 * since.
 */
async function ask(
  run: Run,
  store: Store,
  change: ControlChange,
): Promise<{ readonly decision: ChangeDecision; readonly isSure: boolean }> {
  let isSure = true;
  for (;;) {
    try {
      return { decision: await changeControl(store, change, run.rules), isSure };
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || isOver(run)) throw error;
      isSure &&= error.outcome === 'none';
      await run.environment.sleep(200);
    }
  }
}

async function holdNobody(authority: Store, other: Store | null): Promise<boolean> {
  if (other === null) return false;
  const holding = await attempt(() =>
    Promise.all([authority, other].map((store) => store.replica.holdsUsers())),
  );
  return holding !== null && !holding.includes(true);
}
