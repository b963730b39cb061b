/** What the operator's verbs say and take: plain data, printed for people or as JSON. Times are milliseconds. */
import type { StoreName } from '../../db/errors.ts';
import type { CopyState, Mode, Move } from '../mode.ts';
import type { Transition } from '../protocol/types.ts';
import type { Settings } from '../settings.ts';

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
}

export interface InstanceStatus {
  readonly instance: string;
  readonly epoch: number;
  readonly revision: number;
  readonly incarnation: number;
  readonly counter: number;
  /** `current`: seen to move and at the followed revision. `behind`: moving, at an older one. `silent`: not seen to move. */
  readonly state: 'current' | 'behind' | 'silent';
  readonly leaseMs: number;
  readonly acknowledged: string | null;
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

export interface NextMove {
  readonly direction: Move['direction'];
  readonly to: Mode;
  readonly gates: readonly Gate[];
  readonly allowed: boolean;
}

export interface Status {
  readonly mode: Mode;
  readonly configuredMode: Mode | null;
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
  readonly shadow: ShadowStatus;
  readonly next: readonly NextMove[];
  readonly rollback: { readonly to: Mode | null; readonly lossless: boolean; readonly why: string };
  readonly settings: Settings;
}

/** Notes that the engine keeps in the authority's books, by kind; the key is `entity/id` unless said otherwise. */
export const NOTES = {
  /** A record the mirror refuses. Body: `{ reason, stamp }`. */
  poison: 'poison',
  /** A clash over an e-mail's key. Body: `{ holderId, resolution, stamp }`. */
  conflict: 'conflict',
  /** A mismatch found by a comparison. Body: see `shadow/`. */
  difference: 'difference',
  /** Counts of comparisons. Key: `START_OF_BUCKET/INSTANCE`. Body: `{ outcomes: { [outcome]: count } }`. */
  shadowWindow: 'shadow-window',
  /** A read that fell back, by hour and instance. Key: `HOUR/INSTANCE`. Body: `{ count }`. */
  fallback: 'fallback',
  /** Evidence from the bulk verbs. Keys: `verify`, `snapshot`, `backfill`. Body: `{ atMs, clean, run }`. */
  evidence: 'evidence',
  /** A write that no instance made. Key: `entity/id`. Body: `{ foundAtMs }`. */
  foreign: 'foreign',
  /** A document that a copy put aside. Body: see the copy. */
  quarantine: 'quarantine',
} as const;

/** What the event log keeps; each entry's body. */
export interface Event {
  readonly kind:
    | 'created'
    | 'moved'
    | 'refused'
    | 'forced'
    | 'aborted'
    | 'set'
    | 'failover'
    | 'canary'
    | 'sessions-ended'
    | 'user-erased'
    | 'copy';
  readonly mode: Mode;
  readonly epoch: number;
  readonly revision: number;
  /** Whatever else belongs to it: from, to, reason, gates, durations, key, value. Never a record's value. */
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}
