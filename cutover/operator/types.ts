/** What the operator's verbs say and take: plain data, printed for people or as JSON. Times are milliseconds. */
import type { Codec } from '../../db/canonical.ts';
import type { StoreName } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Entity, Stamp } from '../../db/records.ts';
import type { Json } from '../../db/replica.ts';
import type { Environment } from '../environment.ts';
import type { Event } from '../event-log.ts';
import type { CopyState, Mode, Move } from '../mode.ts';
import type { Rules } from '../protocol/rules.ts';
import type { PerStore, Setting, Transition } from '../protocol/types.ts';
import type { Settings } from '../settings.ts';
import type { Telemetry } from '../telemetry.ts';

/** What every verb works with: the stores and nothing else of the running system. */
export interface OperatorContext {
  /** Null: not configured. */
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  /** Told of each step as it begins, for a terminal. */
  readonly report: (progress: Progress) => void;
  /** How documents are read and written. Default: the default mapping. */
  readonly codec?: Codec;
  /** `BACKEND_MODE`, where the command line knows it; only shown. */
  readonly configuredMode?: Mode | null;
  /** How long a store may take to answer here, where the command line knows it; only shown. */
  readonly storeTimeoutMs?: number | null;
  /** Only proofs take rules out. */
  readonly rules?: Rules;
}

export interface Progress {
  /** A fixed word: `finish`, `settle`, `gates`, `flip`, `canary`, `wait-silent`, `announce`, `fence`, `lose`, `gain` and so on. */
  readonly step: string;
  /** A sentence for people. */
  readonly message: string;
  /** Since the verb began, ms. */
  readonly elapsedMs: number;
}

/** One condition of a move. */
export interface Gate {
  /** A fixed word, such as `pending`, `comparisons`, `copy`. */
  readonly name: string;
  readonly ok: boolean;
  /** What was measured, in words with the number: `12 pending, the oldest for 340 ms`. */
  readonly found: string;
  /** What is asked for, with the number: `fewer than 100, none older than 5 s`. */
  readonly required: string;
  /** What to do to satisfy it; a command where there is one. */
  readonly remedy: string;
  /** `evidence` may be overridden by `--force --reason`; `safety` never. */
  readonly kind: 'evidence' | 'safety';
}

export interface StoreStatus {
  readonly name: StoreName;
  readonly configured: boolean;
  readonly reachable: boolean;
  readonly role: 'authority' | 'mirror' | 'unused' | 'unknown';
  readonly server: string | null;
  /** Its own control record, as far as it goes. */
  readonly control: { readonly mode: Mode; readonly epoch: number; readonly revision: number } | null;
  /** Why it does not tell its control record although it answers; null: it does, or is silent. */
  readonly problem: string | null;
}

export interface InstanceStatus {
  readonly instance: string;
  /** Name of the machine, or pod, that it runs on; null: it does not say. */
  readonly host: string | null;
  readonly epoch: number;
  readonly revision: number;
  readonly incarnation: number;
  readonly counter: number;
  /** `current`: seen to move and at the followed revision. `behind`: moving, at an older one. `silent`: not seen to move. */
  readonly state: 'current' | 'behind' | 'silent';
  readonly leaseMs: number;
  readonly acknowledged: string | null;
  /** The stores that answered it when it last asked; null: it does not say, being of an older version. */
  readonly reaches: readonly StoreName[] | null;
  /** Of its latest operations on the authority, ms; null: too few of them, or it does not say. */
  readonly p99Ms: number | null;
  /** Digest of the mapping it reads and writes documents by. */
  readonly mapping: string;
  /** False: its row was written by another version, or is damaged, and says nothing but that it is there. */
  readonly isReadable: boolean;
}

export interface Backlog {
  /** Null: the store could not be asked. */
  readonly count: number | null;
  readonly oldestAgeMs: number | null;
}

export interface ShadowStatus {
  readonly windowMs: number;
  /** Comparisons in the window by outcome. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly compared: number;
  readonly mismatches: number;
}

/** Writes that no instance made. */
export interface ForeignStatus {
  /** Named and not picked up yet; null: could not be asked. */
  readonly open: number | null;
  /** `unsupported`: the server has no change stream, so only verify finds them. `none`: nothing was watched yet. */
  readonly watch: 'watching' | 'unsupported' | 'none' | 'unknown';
  /** Since when writes may have gone unseen, until a clean verify that began later; null: none may. */
  readonly unwatchedSinceMs: number | null;
  /** Why, in words; null: nothing to say. */
  readonly why: string | null;
}

export interface NextMove {
  readonly direction: Move['direction'];
  readonly to: Mode;
  readonly gates: readonly Gate[];
  readonly allowed: boolean;
}

export interface Status {
  readonly mode: Mode;
  readonly configuredMode: Mode | null;
  /** `STORE_TIMEOUT` of whoever asks; instances have their own. Null: not known. */
  readonly storeTimeoutMs: number | null;
  readonly epoch: number;
  readonly revision: number;
  readonly authority: StoreName;
  readonly mirror: StoreName | null;
  readonly transition: Transition | null;
  readonly copy: CopyState;
  readonly stores: readonly StoreStatus[];
  readonly instances: readonly InstanceStatus[];
  readonly pending: Backlog;
  /** Marks in the store that is not the authority. */
  readonly orphans: Backlog;
  readonly poisoned: number | null;
  readonly conflicts: number | null;
  readonly differences: number | null;
  readonly foreign: ForeignStatus;
  readonly shadow: ShadowStatus;
  readonly next: readonly NextMove[];
  readonly rollback: { readonly to: Mode | null; readonly lossless: boolean; readonly why: string };
  readonly settings: Settings;
  /** Keys in the record that this version does not know, or whose values it does not take: their defaults count. */
  readonly ignoredSettings: readonly string[];
}

/** The state that a verb prints before and after. */
export interface Summary {
  readonly mode: Mode;
  readonly epoch: number;
  readonly revision: number;
  readonly authority: StoreName;
  readonly copy: CopyState;
  readonly transition: Transition | null;
  readonly pending: Backlog;
}

/** Where to: `to` may be several rungs away, in this direction. Null: the next one. */
export interface Destination {
  readonly to: Mode | null;
  readonly direction: Move['direction'];
}

export interface PlannedMove {
  readonly from: Mode;
  readonly to: Mode;
  readonly changesAuthority: boolean;
  /** As they stand now; those of a later move are judged again when it comes. */
  readonly gates: readonly Gate[];
}

export type PlanResult =
  | {
      readonly kind: 'planned';
      readonly from: Mode;
      readonly to: Mode;
      /** The whole way as sentences, to be numbered from 1. */
      readonly steps: readonly string[];
      readonly moves: readonly PlannedMove[];
      /** Whether the first move would be made now. */
      readonly allowed: boolean;
    }
  /** There is no such way: the end of the ladder, or `to` lies in the other direction. */
  | { readonly kind: 'refused'; readonly reasons: readonly string[] };

export interface MoveRequest extends Destination {
  /** Overrides evidence, never safety. */
  readonly force: { readonly reason: string } | null;
  /** For the whole verb: nothing is begun after it. A change of authority past its last doubt still goes on to its end. */
  readonly timeoutMs: number;
  /** The same at the operator's word: an attempt of this verb's own is taken back, nobody else's. */
  readonly interrupted?: AbortSignal;
  /** The operator's statement that nothing but this service writes to the authority. Asked for by `dual-write`. */
  readonly noForeignWriters: boolean;
}

export interface MoveResult {
  /**
   * `refused`: a condition of this move does not hold. `aborted`: not begun for lack of time, begun and taken back, or its
   * outcome is not known: see `reasons`.
   */
  readonly kind: 'done' | 'refused' | 'aborted';
  readonly before: Summary;
  /** Null: the authority could not be asked any more. */
  readonly after: Summary | null;
  /** Where it was to go. */
  readonly to: Mode | null;
  /** Moves that were made, in their order; also when a later one was refused. */
  readonly made: readonly { readonly from: Mode; readonly to: Mode }[];
  /** From asking for the fence until authority was taken over; null when no authority changed. */
  readonly longestPauseMs: number | null;
  /** Attempts at a change of authority. */
  readonly attempts: number;
  /** What refused it. */
  readonly failing: readonly Gate[];
  /** What `--force` passed over. */
  readonly overridden: readonly Gate[];
  readonly reasons: readonly string[];
}

export interface ActionResult {
  readonly kind: 'done' | 'refused';
  readonly before: Summary;
  readonly after: Summary;
  readonly reasons: readonly string[];
}

export interface AbortResult extends ActionResult {
  /**
   * Since the attempt began, for requests waited behind its fence: how much of that only its coordinator knew. Null: it was
   * refused, the fence had not been closed, or the attempt does not tell when it began.
   */
  readonly longestPauseMs: number | null;
}

export interface SetResult extends ActionResult {
  readonly key: string;
  readonly was: Setting | null;
  readonly is: Setting | null;
}

export interface FailoverRequest {
  /** `--accept-loss`: the operator also states that no instance can reach the old authority any more. */
  readonly acceptLoss: boolean;
  readonly reason: string;
}

export interface FailoverResult {
  readonly kind: 'done' | 'refused';
  readonly before: Summary | null;
  readonly after: Summary | null;
  /** From the beginning of the verb until MongoDB had authority, the loss itself left out; null when it was refused. */
  readonly longestPauseMs: number | null;
  readonly reasons: readonly string[];
  /** What can be known of the loss: one sentence each. */
  readonly loss: readonly string[];
}

/** `unknown`: something changed while it was written; to be run again, which does no harm. */
export interface UserWrite {
  readonly kind: 'done' | 'gone' | 'refused' | 'unknown';
  readonly reasons: readonly string[];
}

export interface UserActionResult extends UserWrite {
  readonly before: Summary;
  /** Null: the authority could not be asked any more. */
  readonly after: Summary | null;
}

export interface EraseResult extends UserActionResult {
  /** Copies elsewhere that went too: what was moved aside, notes, quarantine. */
  readonly leftoversRemoved: number;
}

export interface PendingList {
  readonly store: StoreName;
  readonly count: number;
  readonly oldestAgeMs: number | null;
  readonly records: readonly {
    readonly entity: Entity;
    readonly id: string;
    readonly stamp: Stamp;
    readonly ageMs: number;
  }[];
}

/** What is kept in both stores, and could not be asked of one. */
export interface Incomplete {
  /** The mirror, when it did not give its part. */
  readonly missing: StoreName | null;
}

export interface PendingResult extends Incomplete {
  readonly authority: PendingList;
  /** Marks in the other store; null: there is none, or it cannot be asked. */
  readonly orphans: PendingList | null;
}

/** A note as it is kept; the body holds no value of a record. */
export interface NoteLine {
  readonly key: string;
  readonly body: Json;
  readonly firstAt: Date;
  readonly lastAt: Date;
  readonly times: number;
}

export interface LogLine {
  readonly at: Date;
  readonly id: string;
  readonly event: Event;
}

export interface NotesResult extends Incomplete {
  readonly notes: readonly NoteLine[];
}

export interface LogResult extends Incomplete {
  readonly lines: readonly LogLine[];
}
