/**
 * What the flip protocol talks about, as plain data: the control record in each store, an instance's row of leases,
 * and the clocks. Whoever does the I/O reads and writes these; the decisions beside this file only compare them.
 */
import type { StoreName } from '../../db/errors.ts';
import type { CopyState, Mode } from '../mode.ts';

/** A change of authority on its way. */
export interface Transition {
  /** Fresh for each attempt: acknowledgements, drain, abort and both writes name it. */
  readonly id: string;
  readonly target: Mode;
  /** `announced`: be quick to look. `fenced`: admit nothing, finish what is in flight, acknowledge. */
  readonly phase: 'announced' | 'fenced';
  /** How long others leave it alone, ms, each counting on its own clock from when it first saw it. */
  readonly deadlineMs: number;
  /** When it was begun, by its coordinator's clock; for people, nothing is decided by it. Versions before did not say. */
  readonly begunAtMs?: number | undefined;
}

/** Which state of a store's record something was decided on. */
export type Judged = Pick<ControlRecord, 'epoch' | 'revision'>;

export type Setting = string | number | boolean;

/** Held by both stores. A store's record can be trusted about that store's own authority. */
export interface ControlRecord {
  readonly mode: Mode;
  /** Counts every change to this store's record; every write of it is a compare-and-set on (epoch, revision). */
  readonly revision: number;
  /** Counts changes of authority only. */
  readonly epoch: number;
  readonly transition: Transition | null;
  /** The transition, or the failover, that began this epoch; null in the first one. */
  readonly changedBy: string | null;
  /** The last move without a change of authority; without it there was none, or an older version has written since. */
  readonly movedBy?: string | undefined;
  /** Names the system since its first record; versions before named none. */
  readonly system?: string | undefined;
  readonly copy: CopyState;
  readonly settings: Readonly<Record<string, Setting>>;
}

/** What an instance has done about a transition. `stopped`: nothing of it is in flight, and nothing will be admitted. */
export interface Acknowledgement {
  readonly id: string;
  readonly phase: 'announced' | 'stopped';
}

/** One instance's row in the authority, rewritten by each heartbeat. It holds no time: readers watch the counter. */
export interface LeaseRow {
  readonly instance: string;
  readonly incarnation: number;
  readonly counter: number;
  readonly epoch: number;
  /** The revision whose mode this instance follows, and under which alone its operations in flight were admitted. */
  readonly revision: number;
  readonly ack: Acknowledgement | null;
  /** How long the lease this heartbeat asks for may last, ms: who waits it out needs to know it from here. */
  readonly leaseMs: number;
}

/** The same moment on both clocks: a suspended machine stops the first, an operator may set the second back. */
export interface Instant {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** Read access to one store's record, by name. */
export type PerStore<T> = Readonly<Record<StoreName, T>>;

export interface Timing {
  readonly heartbeatMs: number;
  readonly pollMs: number;
  /** Between polls while a transition is announced or fenced. */
  readonly fastPollMs: number;
  readonly leaseMs: number;
  /** For clocks that run at different speeds; added by who waits, never by who holds. */
  readonly marginMs: number;
  readonly deadlineMs: number;
  /** A fence longer than this aborts. */
  readonly fenceMaxMs: number;
}

export const DEFAULT_TIMING: Timing = {
  heartbeatMs: 500,
  pollMs: 500,
  fastPollMs: 20,
  leaseMs: 5_000,
  marginMs: 2_000,
  deadlineMs: 10_000,
  fenceMaxMs: 2_000,
};
