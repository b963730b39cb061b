/**
 * What an instance may begin, continue and answer. Admission covers one operation of the port, never password
 * hashing: what waits at a fence waits for milliseconds.
 */
import type { StoreName } from '../../db/errors.ts';
import type { Mode } from '../mode.ts';
import { transitionOf } from './follow.ts';
import { type InstanceState, noteLapse } from './lease.ts';
import { RULES, type Rules } from './rules.ts';
import type { Acknowledgement, Instant } from './types.ts';

/** Under what an operation was admitted. It is kept by the operation and shown again before each further step. */
export interface Ticket {
  readonly incarnation: number;
  readonly epoch: number;
  readonly revision: number;
  readonly mode: Mode;
  readonly store: StoreName;
}

export type Admission =
  | { readonly kind: 'admit'; readonly ticket: Ticket }
  /** Behind a fence: wait for a flip or an abort to be read, in a bounded queue. */
  | { readonly kind: 'wait'; readonly transition: string }
  /** 503 with `Retry-After`: this instance cannot know that it may act. */
  | { readonly kind: 'refuse'; readonly reason: 'no-record' | 'no-lease' };

/** Whether an operation may begin. `stopSeenForMs` is how long the present transition has been seen; 0 without one. */
export function decideAdmission(
  state: InstanceState,
  now: Instant,
  rules: Rules = RULES,
  stopSeenForMs = 0,
): Admission {
  const { lease, following, incarnation } = noteLapse(state, now, rules);
  const { record } = following;
  if (record === null) return { kind: 'refuse', reason: 'no-record' };
  const transition = transitionOf(following);
  if (transition !== null && rules.fenceStops(transition) && !rules.stopRunsOut(transition, stopSeenForMs)) {
    return { kind: 'wait', transition: transition.id };
  }
  if (lease === null || lease.epoch !== record.epoch) return { kind: 'refuse', reason: 'no-lease' };
  const { epoch, revision, mode } = record;
  return { kind: 'admit', ticket: { incarnation, epoch, revision, mode, store: lease.store } };
}

/** Whether the lease an operation was admitted under has held until now, without a gap. */
function holds(ticket: Ticket, state: InstanceState, now: Instant, rules: Rules): boolean {
  const { lease, incarnation } = noteLapse(state, now, rules);
  return (
    lease !== null && lease.epoch === ticket.epoch && rules.heldWithoutGap(ticket.incarnation, incarnation)
  );
}

/**
 * The second lease check, after the store has answered: may the client be told? If not, the outcome is unknown: 503
 * with `Retry-After`, never success, never a second run. For reads as for writes.
 */
export function mayAcknowledge(
  ticket: Ticket,
  state: InstanceState,
  now: Instant,
  rules: Rules = RULES,
): boolean {
  return !rules.checksAfterAnswer || holds(ticket, state, now, rules);
}

/**
 * Before each write of an operation, and between what the mirror's worker has read and what it does about it: the
 * statement behind it commits, if at all, on the ground of something that did count. Of an instance that slept after its
 * read, no write leaves any more.
 */
export function mayContinue(
  ticket: Ticket,
  state: InstanceState,
  now: Instant,
  rules: Rules = RULES,
): boolean {
  return !rules.checksBetweenWrites || holds(ticket, state, now, rules);
}

/**
 * Before a worker of the mirror takes something out of the mirror or writes to the authority (an orphan, a clash): what
 * it has read was read before this check, and authority cannot have moved before it. The lease alone does not say
 * that: once this instance has acknowledged a stop, authority moves without waiting for its lease. So this ends at the
 * fence, and what is on its way by then counts as in flight. Plain applies go on behind the fence, or nothing would drain.
 */
export function mayResolve(
  ticket: Ticket,
  state: InstanceState,
  now: Instant,
  rules: Rules = RULES,
): boolean {
  const transition = transitionOf(state.following);
  if (rules.resolvingStops && transition?.phase === 'fenced') return false;
  return mayContinue(ticket, state, now, rules);
}

/** An operation, or a worker's repair, that has not been answered yet, or was while the store had not. */
export interface InFlight {
  readonly ticket: Ticket;
  /** The store has answered, or its own limit on the statement has passed since it was sent. */
  readonly settled: boolean;
}

/**
 * What this instance can truthfully write into its row. Operations of an earlier incarnation do not count: they are
 * never acknowledged, and others have stopped waiting for them.
 */
export function acknowledgement(
  state: InstanceState,
  inFlight: readonly InFlight[],
  rules: Rules = RULES,
): Acknowledgement | null {
  const transition = transitionOf(state.following);
  if (transition === null) return null;
  if (transition.phase === 'announced') return { id: transition.id, phase: 'announced' };
  const busy = inFlight.some(
    (operation) =>
      !operation.settled && rules.heldWithoutGap(operation.ticket.incarnation, state.incarnation),
  );
  const phase = busy && rules.stopsWithNothingInFlight ? 'announced' : 'stopped';
  return { id: transition.id, phase };
}

/**
 * The revision an instance may call its own: the followed one, once nothing admitted under another is in flight. The
 * next flip, and a backfill, wait for it, since an operation admitted before the mirror was on sets no mark. Other than
 * at a fence, those of an earlier incarnation count: what they still write has no mark by which it would be found.
 */
export function settledRevision(
  state: InstanceState,
  inFlight: readonly InFlight[],
  previous: number,
): number {
  const followed = state.following.record?.revision ?? previous;
  const older = inFlight.some(({ ticket, settled }) => !settled && ticket.revision !== followed);
  return older ? previous : followed;
}
