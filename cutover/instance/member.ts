/** One process as a member of the system: what the router and the workers ask it. `instance.ts` implements it. */
import type { Mode } from '../mode.ts';
import type { Ticket } from '../protocol/admission.ts';
import type { InstanceState } from '../protocol/lease.ts';
import type { ControlRecord } from '../protocol/types.ts';
import type { Settings } from '../settings.ts';

/** One operation, from its admission until its store's answer. */
export interface Admitted {
  readonly ticket: Ticket;
  /** Asked before each of its writes. */
  mayContinue(): boolean;
  /** Asked after the store has answered: may the client be told? */
  mayAcknowledge(): boolean;
  /** The store has answered, or certainly will not act any more. From here on a fence does not wait for it. */
  settle(): void;
  /** The outcome is unknown: it holds up a fence until the store's own limit on a statement has passed. */
  settleLater(): void;
}

/** A worker's piece of work, under the lease but not stopped by a fence: what is marked must drain behind it. */
export interface WorkPermit {
  readonly ticket: Ticket;
  /** Asked after the last read and before each write of plain mirroring. */
  mayContinue(): boolean;
  /**
   * Begins a repair (an orphan, a clash): null when this is not allowed now. To be asked after the last read it builds on.
   * The repair counts as in flight until `settle`.
   */
  beginRepair(): Pick<Admitted, 'settle' | 'settleLater'> | null;
}

export interface Member {
  readonly id: string;
  state(): InstanceState;
  /** The record this instance follows; null while it cannot know. */
  record(): ControlRecord | null;
  mode(): Mode | null;
  settings(): Settings;
  /**
   * Resolves once the operation may begin, which is at once, or after a fence. Rejects with `StoreUnavailable`
   * (reasons `no-record`, `no-lease`, `queue-full`), outcome none.
   */
  admit(): Promise<Admitted>;
  /** The same without a wait; null when `admit` would not answer at once. */
  admitNow(): Admitted | null;
  /** Null without a lease. */
  permitWork(): WorkPermit | null;
  /** Calls back after each change of the followed record; gives back how to stop that. */
  onFollow(listener: (record: ControlRecord, before: ControlRecord | null) => void): () => void;
}
