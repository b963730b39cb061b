/**
 * What others wrote into a store, as the server itself tells it: writes that carry neither a stamp nor a mark of ours.
 * Of a deletion nobody can say whose it was, so each one is told.
 */
import type { Entity } from './records.ts';
import type { Json } from './replica.ts';

export interface ForeignChange {
  readonly kind: 'insert' | 'update' | 'replace' | 'delete';
  readonly entity: Entity;
  /** Null: a document with an `_id` that no id stands for. */
  readonly id: string | null;
}

export interface ChangeBatch {
  readonly changes: readonly ForeignChange[];
  /** A whole collection was dropped or renamed: what went with it has no names. */
  readonly wiped: boolean;
  /** Nothing more was there when this was read. */
  readonly drained: boolean;
  /** Where to go on after this batch; null: the server did not say yet. */
  readonly token: string | null;
}

export interface ChangeCursor {
  /** The next changes, or none after a second or so. Throws `StoreUnavailable`, `FeedEnded`. */
  next(): Promise<ChangeBatch>;
  close(): Promise<void>;
}

/** `unsupported`: this server, or this user, has no such feed. `lost`: the place to go on from is gone. */
export class FeedEnded extends Error {
  override readonly name = 'FeedEnded';
  readonly problem: 'unsupported' | 'lost';
  constructor(problem: FeedEnded['problem'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
  }
}

/** Who watches the feed for all, and how far that has got. */
export interface WatchEntry {
  /** Null: nobody at the moment. */
  readonly owner: string | null;
  /** Raised with each write of this entry. */
  readonly beat: number;
  readonly body: Json;
}

export interface ChangeFeed {
  /** Reads on after a token; from now on, when it is null. */
  open(after: string | null): Promise<ChangeCursor>;
  readWatch(): Promise<WatchEntry | null>;
  /** Replaces the entry that has this beat (null: there is none); false when another came first. */
  replaceWatch(expectedBeat: number | null, next: WatchEntry): Promise<boolean>;
}
