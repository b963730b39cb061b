/** What `cutover preflight` finds. */
import type { StoreName } from '../../db/errors.ts';
import type { Entity } from '../../db/records.ts';
import type { DuplicatePolicy } from '../copy/policy.ts';
import type { PerStore } from '../protocol/types.ts';
import type { SnapshotContext } from '../snapshot/types.ts';

export interface PreflightContext extends SnapshotContext {
  /** As each instance is configured. */
  readonly poolMax: PerStore<number>;
  /** How long expired records are kept, ms. */
  readonly retentionMs: number;
}

export interface PreflightOptions {
  /** How many instances are to run. */
  readonly instances: number;
  /** Documents of each collection to look at; null: every one. */
  readonly sample: number | null;
  /** Who of several users keeps an e-mail; null: all of them are bad. */
  readonly policy?: DuplicatePolicy | null;
}

export interface Check {
  /** A fixed word: `privileges`, `ttl-index`, `connections` and so on. */
  readonly name: string;
  readonly store: StoreName;
  /** `block`: the move would fail, or lose something. `warn`: to be known. */
  readonly level: 'ok' | 'warn' | 'block';
  readonly found: string;
  /** Null: nothing is to be done. */
  readonly remedy: string | null;
}

export interface BadLine {
  readonly id: string;
  readonly field: string;
  readonly reason: string;
}

/** What the documents of a collection would become. Counts are of those that were looked at. */
export interface Documents {
  readonly entity: Entity;
  readonly collection: string;
  /** About. */
  readonly total: number;
  readonly read: number;
  readonly expired: number;
  readonly bad: number;
  /** Bad, but accepted or dropped by an operator: they stay behind, and are in nobody's way. */
  readonly leftBehind: number;
  /** Whose `_id` is an e-mail address. */
  readonly mailboxIds: number;
  /** `email: white-space` and the like, the most frequent first. */
  readonly cleaned: Readonly<Record<string, number>>;
  readonly unknownFields: Readonly<Record<string, number>>;
  /** The first findings: never a value. */
  readonly examples: readonly BadLine[];
  /** Users that share an e-mail with another; null: only known of all documents. */
  readonly duplicates: number | null;
  /** Of users that share one: those that the policy leaves bad; null: only known of all documents. */
  readonly undecided: number | null;
}

export interface Preflight {
  readonly checks: readonly Check[];
  readonly documents: readonly Documents[];
  readonly estimate: {
    /** Documents to move, about. */
    readonly documents: number;
    /** Of reading and cleaning, as measured now; null: too few to tell. */
    readonly perSecond: number | null;
    readonly durationMs: number | null;
    /** Of all of the copy, by what that share of one was when it was measured. */
    readonly copyMs: { readonly least: number; readonly most: number } | null;
  };
  readonly blocking: number;
}
