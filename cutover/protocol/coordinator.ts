/**
 * A change of authority, step by step. It asks for one thing at a time (`requestOf`), is told what came of it
 * (`onReply`), and is a plain value in between, so that it can be stopped, printed and searched. Each reply must have
 * been obtained after the request was made: the order of the steps is the proof.
 *
 *   silent instances waited out · announce in both · all have seen it · fence · all have stopped · no mark in the
 *   loser · none in the winner · last check · the winner answers once more · the loser gives up · the winner takes over
 *
 * Until the loser has given up, any doubt aborts; from then on there is no way back.
 */
import type { StoreName } from '../../db/errors.ts';
import { authorityOf, type Mode, moveBetween, otherStore } from '../mode.ts';
import { afterLoss, type ChangeDecision, type ControlChange } from './changes.ts';
import { RULES, type Rules } from './rules.ts';
import { isSilent, type Watch, watchRows } from './silence.ts';
import type { ControlRecord, LeaseRow, Timing, Transition } from './types.ts';

export const STAGES = [
  'wait-silent',
  'announce',
  'note',
  'await-announced',
  'fence',
  'await-stopped',
  'drain-loser',
  'drain-winner',
  'last-check',
  'ask-winner',
  'lose',
  'gain',
  'abort',
  'done',
  'aborted',
] as const;
export type Stage = (typeof STAGES)[number];

export interface CoordinatorState {
  readonly transition: Transition;
  readonly loser: StoreName;
  /** The loser's record as it was when this attempt began, then as it was lost. */
  readonly record: ControlRecord;
  readonly stage: Stage;
  readonly watch: Watch;
  /** The coordinator's monotonic clock when the fence was about to be asked for; null before. */
  readonly fencedAtMs: number | null;
  /** Why it gave up, for the operator. */
  readonly reason: string | null;
}

export type Request =
  | { readonly kind: 'rows'; readonly store: StoreName }
  | { readonly kind: 'change'; readonly store: StoreName; readonly change: ControlChange }
  /** Records marked pending there, poisoned and conflicting ones too. */
  | { readonly kind: 'count-marks'; readonly store: StoreName }
  /** Compare what was written since the last verify. */
  | { readonly kind: 'last-check' }
  | { readonly kind: 'control'; readonly store: StoreName };

export type Reply =
  | { readonly kind: 'rows'; readonly rows: readonly LeaseRow[] }
  | { readonly kind: 'change'; readonly decision: ChangeDecision }
  | { readonly kind: 'marks'; readonly count: number }
  | { readonly kind: 'checked'; readonly clean: boolean }
  | { readonly kind: 'control'; readonly record: ControlRecord }
  /** No answer in time, or the store is out of reach: a change may have been written all the same. */
  | { readonly kind: 'unknown' };

/** Begins an attempt from the authority's record as just read; null when `target` is no change of authority from it. */
export function newAttempt(
  id: string,
  record: ControlRecord,
  target: Mode,
  timing: Timing,
  begunAtMs?: number,
): CoordinatorState | null {
  if (moveBetween(record.mode, target)?.changesAuthority !== true || record.copy.kind !== 'complete')
    return null;
  return {
    transition: {
      id,
      target,
      phase: 'announced',
      deadlineMs: timing.deadlineMs,
      ...(begunAtMs !== undefined && { begunAtMs }),
    },
    loser: authorityOf(record.mode),
    record,
    stage: 'wait-silent',
    watch: {},
    fencedAtMs: null,
    reason: null,
  };
}

/** What to do next; null when the attempt is over. */
export function requestOf(state: CoordinatorState): Request | null {
  const { loser, transition, record } = state;
  const winner = otherStore(loser);
  const { id } = transition;
  const change = (store: StoreName, what: ControlChange): Request => ({
    kind: 'change',
    store,
    change: what,
  });
  switch (state.stage) {
    case 'wait-silent':
    case 'await-announced':
    case 'await-stopped':
      return { kind: 'rows', store: loser };
    case 'announce':
      return change(loser, {
        kind: 'announce',
        transition,
        judged: { epoch: record.epoch, revision: record.revision },
      });
    case 'note':
      return change(winner, { kind: 'note', transition, epoch: record.epoch });
    case 'fence':
      return change(loser, { kind: 'fence', id });
    case 'drain-loser':
      return { kind: 'count-marks', store: loser };
    case 'drain-winner':
      return { kind: 'count-marks', store: winner };
    case 'last-check':
      return { kind: 'last-check' };
    case 'ask-winner':
      return { kind: 'control', store: winner };
    case 'lose':
      return change(loser, { kind: 'lose', id });
    case 'gain': {
      const gained = record.changedBy === id ? record : afterLoss(record, transition.target, id);
      return change(winner, { kind: 'gain', record: gained });
    }
    case 'abort':
      return change(loser, { kind: 'abort', id });
    case 'done':
    case 'aborted':
      return null;
  }
}

/** Takes in what came of the request. The same stage again means: ask once more, after a poll's time. */
export function onReply(
  state: CoordinatorState,
  reply: Reply,
  nowMs: number,
  timing: Timing,
  rules: Rules = RULES,
): CoordinatorState {
  const to = (stage: Stage): CoordinatorState => ({ ...state, stage });
  const late = overdue(state, nowMs, timing);
  // Whatever was answered: one that comes too late is no ground for going on.
  if (late !== null && state.stage !== 'abort' && !isForwardOnly(state)) return giveUp(state, late);
  if (reply.kind === 'unknown') return state;

  switch (reply.kind) {
    case 'rows': {
      const watch = watchRows(state.watch, reply.rows, nowMs);
      const watched = { ...state, watch };
      // Who was alive when the fence was asked for must stop at it: one that falls silent behind it lets the fence run out.
      const byMs = state.stage === 'await-stopped' ? (state.fencedAtMs ?? nowMs) : nowMs;
      const silent = (row: LeaseRow) => isSilent(watch, row, byMs, timing);
      if (state.stage === 'wait-silent') {
        // Nobody is stopped yet, so it costs nothing to wait until each row has either moved or proved silent.
        const known = reply.rows.every((row) => silent(row) || watch[row.instance]?.moved === true);
        return known ? { ...watched, stage: 'announce' } : watched;
      }
      const phase = state.stage === 'await-announced' ? 'announced' : 'stopped';
      const acked = ({ ack }: LeaseRow) =>
        ack !== null &&
        rules.sameTransition(state.transition.id, ack.id) &&
        (ack.phase === 'stopped' || ack.phase === phase);
      if (!reply.rows.every((row) => acked(row) || silent(row))) return watched;
      // It is asked for next: how long its answer takes counts too.
      if (phase === 'announced') return { ...watched, stage: 'fence', fencedAtMs: nowMs };
      return { ...watched, stage: 'drain-loser' };
    }
    case 'change':
      return onChanged(state, reply.decision, rules);
    case 'marks':
      if (state.stage === 'drain-loser')
        return reply.count > 0 && rules.marksBlock ? state : to('drain-winner');
      return reply.count > 0 && rules.orphansBlock ? state : to('last-check');
    case 'checked':
      return reply.clean ? to('ask-winner') : giveUp(state, 'the last check found a difference');
    case 'control': {
      const ready =
        reply.record.epoch === state.record.epoch && reply.record.transition?.id === state.transition.id;
      return ready
        ? to(rules.loserFirst ? 'lose' : 'gain')
        : giveUp(state, 'the winner no longer knows of this attempt');
    }
  }
}

function onChanged(state: CoordinatorState, decision: ChangeDecision, rules: Rules): CoordinatorState {
  const to = (stage: Stage): CoordinatorState => ({ ...state, stage });
  if (decision.kind === 'refused') {
    if (state.stage === 'abort') return to('aborted');
    // Another has already written a higher epoch there: this change, or one after it.
    if (state.stage === 'gain') return to('done');
    return giveUp(state, decision.reason);
  }
  switch (state.stage) {
    case 'announce':
      return { ...to('note'), record: { ...decision.record, transition: null } };
    case 'note':
      return to('await-announced');
    case 'fence':
      return to('await-stopped');
    case 'lose':
      return { ...to(rules.loserFirst ? 'gain' : 'done'), record: decision.record };
    case 'gain':
      return to(rules.loserFirst ? 'done' : 'lose');
    case 'abort':
      return to('aborted');
    default:
      return state;
  }
}

/**
 * Why an attempt has no time left behind its fence; null: it has. To be asked once more right before the loss is asked for:
 * a process may have stood still since the last answer, and from there on it only goes forward.
 */
export function overdue(
  { fencedAtMs }: CoordinatorState,
  nowMs: number,
  { fenceMaxMs }: Timing,
): string | null {
  return fencedAtMs !== null && nowMs - fencedAtMs > fenceMaxMs ? `fence over ${fenceMaxMs} ms` : null;
}

/** Past the loss nobody may turn back, and after asking for it nobody knows on which side they are. */
function isForwardOnly(state: CoordinatorState): boolean {
  return state.stage === 'lose' || state.stage === 'gain';
}

/** Ends the attempt where that is still allowed; otherwise changes nothing. */
export function giveUp(state: CoordinatorState, reason: string): CoordinatorState {
  if (state.stage === 'gain' || state.stage === 'done' || state.stage === 'aborted') return state;
  return { ...state, stage: 'abort', reason };
}
