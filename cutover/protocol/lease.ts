/**
 * An instance's lease: the right to act for the authority, for a bounded time. It is a promise to others, who count
 * it out without asking, so every doubt here shortens it: it starts before the heartbeat leaves, ends when either
 * clock says so, and once it has lapsed no later heartbeat makes the gap undone.
 */
import type { StoreName } from '../../db/errors.ts';
import { authorityOf } from '../mode.ts';
import { FOLLOWING_NOTHING, type Following, follow } from './follow.ts';
import { RULES, type Rules } from './rules.ts';
import type { Acknowledgement, ControlRecord, Instant, LeaseRow, Timing } from './types.ts';

export interface Lease {
  readonly store: StoreName;
  readonly epoch: number;
  readonly startedAt: Instant;
  /** As it stood in the heartbeat's row: a setting changed meanwhile neither stretches nor cuts it. */
  readonly leaseMs: number;
}

export interface InstanceState {
  readonly id: string;
  /** A stretch of time without a gap in the lease. Raised by every lapse and every change of authority. */
  readonly incarnation: number;
  readonly counter: number;
  readonly lease: Lease | null;
  readonly following: Following;
}

/** One heartbeat on its way: what to write, where, and what it was worth when it left. */
export interface Heartbeat {
  readonly store: StoreName;
  readonly row: LeaseRow;
  readonly sentAt: Instant;
}

/** `id` must be fresh for each process. */
export function newInstance(id: string): InstanceState {
  return { id, incarnation: 1, counter: 0, lease: null, following: FOLLOWING_NOTHING };
}

function hasLapsed(lease: Lease, now: Instant, rules: Rules = RULES): boolean {
  return rules.elapsedMs(lease.startedAt, now) >= lease.leaseMs;
}

/** Notices a lapse. To be called before anything else that looks at the lease. */
export function noteLapse(state: InstanceState, now: Instant, rules: Rules = RULES): InstanceState {
  if (state.lease === null || !hasLapsed(state.lease, now, rules)) return state;
  return { ...state, lease: null, incarnation: state.incarnation + 1 };
}

/**
 * Takes in a control record that was read. Another epoch ends the lease at once: it was a right under the old one.
 */
export function onControlRead(
  state: InstanceState,
  store: StoreName,
  record: ControlRecord,
  rules: Rules = RULES,
): InstanceState {
  const following = follow(state.following, store, record, rules);
  if (following.record?.epoch === state.following.record?.epoch || state.lease === null) {
    return { ...state, following };
  }
  return { ...state, following, lease: null, incarnation: state.incarnation + 1 };
}

/**
 * The next heartbeat; null while no record names an authority. `ack` is what `acknowledgement` allows. To be sent at
 * once: its time is taken here, before it leaves.
 */
export function beginHeartbeat(
  state: InstanceState,
  ack: Acknowledgement | null,
  revision: number,
  now: Instant,
  timing: Timing,
  rules: Rules = RULES,
): { readonly state: InstanceState; readonly heartbeat: Heartbeat } | null {
  const current = noteLapse(state, now, rules);
  const { record } = current.following;
  if (record === null) return null;
  const counter = current.counter + 1;
  return {
    state: { ...current, counter },
    heartbeat: {
      store: authorityOf(record.mode),
      row: {
        instance: current.id,
        incarnation: current.incarnation,
        counter,
        epoch: record.epoch,
        revision,
        ack,
        leaseMs: timing.leaseMs,
      },
      sentAt: now,
    },
  };
}

/**
 * After the heartbeat has committed and, in a second statement, `read` was read in the same store. Renews only if that
 * record still names this store and this epoch, and only a lease that has not lapsed meanwhile: the row that was
 * committed carries the old incarnation, and what was admitted under it may have been given up by others.
 */
export function onHeartbeatCommitted(
  state: InstanceState,
  heartbeat: Heartbeat,
  read: ControlRecord,
  now: Instant,
  rules: Rules = RULES,
): InstanceState {
  const current = onControlRead(noteLapse(state, now, rules), heartbeat.store, read, rules);
  const { record } = current.following;
  const names = (r: ControlRecord | null) =>
    r !== null && authorityOf(r.mode) === heartbeat.store && r.epoch === heartbeat.row.epoch;
  if (!names(read) || !names(record)) return current;
  if (!rules.heldWithoutGap(heartbeat.row.incarnation, current.incarnation)) return current;
  const lease: Lease = {
    store: heartbeat.store,
    epoch: read.epoch,
    startedAt: rules.leaseStartsAt(heartbeat.sentAt, now),
    leaseMs: heartbeat.row.leaseMs,
  };
  return hasLapsed(lease, now, rules) ? current : { ...current, lease };
}
