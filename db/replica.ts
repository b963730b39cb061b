/**
 * What the cutover needs of each store besides the port: copies of records under their stamps, marks, and the books
 * the flip is kept in. Both stores implement all of it, for each can be the authority or the mirror.
 *
 * Every call may throw `StoreUnavailable`; a call that only reads leaves no trace, and each of the others may be made
 * again after an unknown outcome: it then finds its own work done.
 */
import type { PurgeCounts, PurgeQuery } from './port.ts';
import type { Entity, RecordOf, Stamp } from './records.ts';

/** A record as it is held, and since when its mark has been there; null: unmarked. */
export interface Held<E extends Entity> {
  readonly record: RecordOf[E];
  readonly pendingAt: Date | null;
}

export interface Looked<E extends Entity> {
  /** By id; what the store does not hold is missing. */
  readonly found: ReadonlyMap<string, Held<E>>;
  /** Ids of documents that are there but mean no record: never to be taken for absent. */
  readonly unreadable: readonly string[];
}

export type ApplyOutcome =
  /** Written, and unmarked. */
  | { readonly kind: 'applied' }
  /** Held before, in this very state; unmarked. */
  | { readonly kind: 'same' }
  /** Held under the same stamp with another content: to be repaired by a touch. */
  | { readonly kind: 'differs' }
  /** A newer state is held, and stays. */
  | { readonly kind: 'ahead'; readonly stored: Stamp }
  /** Past retention: done without being written. */
  | { readonly kind: 'expired' }
  /** Another user holds the e-mail's key; nothing was written. */
  | { readonly kind: 'clash'; readonly holderId: string }
  /** The session's user is not there: take the user along. PostgreSQL only. */
  | { readonly kind: 'user-missing' }
  /** The store takes no such record. The reason names a constraint or code, never a value. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface RecordName {
  readonly entity: Entity;
  readonly id: string;
}

export interface Marked extends RecordName {
  readonly stamp: Stamp;
}

export interface Mark extends Marked {
  /** When the mark was first set, by the writer's clock; later writes under it leave this. */
  readonly markedAt: Date;
}

export interface MarkCount {
  readonly count: number;
  readonly oldestAt: Date | null;
}

/** What was moved aside, without its content. */
export interface Aside extends Marked {
  readonly reason: string;
  readonly movedAt: Date;
}

export interface Scanned<E extends Entity> {
  readonly records: readonly RecordOf[E][];
  readonly unreadable: readonly string[];
  /** Where to go on; null at the end. */
  readonly next: string | null;
}

export interface Replica {
  /** The records with these ids, as they stand. */
  read<E extends Entity>(entity: E, ids: readonly string[]): Promise<Looked<E>>;

  /**
   * Upserts each record whose stamp is above the stored one, and takes the mark off it; one outcome for each, in order.
   * One that cannot be written never keeps the others from it. Throws `StaleEpoch` when the store's control record has
   * a higher epoch than `epoch`. PostgreSQL checks that in the statement that writes, so nothing is written after such a
   * record was committed; MongoDB before and after it, so a batch under way may still land, each record only over an
   * older stamp and never over a higher epoch than `epoch`, and the call still throws. A user's tombstone takes along what
   * is kept aside.
   */
  apply<E extends Entity>(
    entity: E,
    records: readonly RecordOf[E][],
    under: {
      readonly epoch: number;
      /** What expires before this is past retention. */
      readonly expiredBefore: Date;
    },
  ): Promise<readonly ApplyOutcome[]>;

  /** Marked records, the longest marked first, marked by `olderThan`, and past `after` in this order. */
  marks(query: {
    readonly limit: number;
    readonly olderThan?: Date;
    readonly after?: Mark;
  }): Promise<readonly Mark[]>;

  /** How many records are marked, and the oldest mark: as cheap as the marks are few. */
  countMarks(): Promise<MarkCount>;

  /**
   * Takes the marks off the records that still have exactly these stamps; how many. Does not wait for a record that
   * is being written: that mark stays.
   */
  clearMarks(marks: readonly Marked[]): Promise<number>;

  /** Rewrites the record unchanged under `to`, marked, if its stamp is `expected`. Throws unless `to` is above it. */
  touch(
    entity: Entity,
    id: string,
    stamps: { readonly expected: Stamp; readonly to: Stamp },
  ): Promise<boolean>;

  /** Moves the record, if its stamp is `expected`, into a log that is only added to. A user takes its sessions along. */
  moveAside(
    entity: Entity,
    id: string,
    move: { readonly expected: Stamp; readonly reason: string; readonly now: Date },
  ): Promise<boolean>;

  /** What was moved aside, the latest first. */
  asides(query: { readonly limit: number }): Promise<readonly Aside[]>;

  /**
   * Forgets what is kept of these users besides their records: what was moved aside, and in PostgreSQL the originals that
   * a copy put aside and what it wrote over. How many things. Erasing a user does it, and applying a tombstone.
   */
  forgetKept(userIds: readonly string[]): Promise<number>;

  /**
   * Gives the user's e-mail key free for another, if its stamp is `expected`; stamp and mark stay. For a cycle of
   * clashes in the mirror: the newer state that the authority holds gives the user its key back. `expected` is null for a
   * document that means no record, whose address an index of the old service may hold; false when there is nothing to release.
   */
  releaseEmailKey(userId: string, guard: { readonly expected: Stamp | null }): Promise<boolean>;

  /**
   * Every record in the store's own stable order of ids, past `after`. Ids of 24 hex digits are in the same order in
   * every store; other kinds of ids may not be.
   */
  scan<E extends Entity>(
    entity: E,
    range: { readonly after: string | null; readonly limit: number },
  ): Promise<Scanned<E>>;

  /** `Repository.purge` without what else it finishes: for the mirror, whose records only follow. */
  purge(query: PurgeQuery): Promise<PurgeCounts>;

  /** Whether there is any user, tombstones included. */
  holdsUsers(): Promise<boolean>;

  /**
   * Which of these stay behind in MongoDB by an operator's word, or by a policy of the copy: accepted or dropped, and not
   * here. As `entity/id`. MongoDB keeps no list of them: none.
   */
  leftBehind(names: readonly RecordName[]): Promise<ReadonlySet<string>>;

  /** The same of those that were to stay behind, whether or not they are here. */
  toLeaveBehind(names: readonly RecordName[]): Promise<ReadonlySet<string>>;
}

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** The control record: what is compared, and a body that the store only keeps. */
export interface ControlEntry {
  readonly epoch: number;
  readonly revision: number;
  readonly body: Json;
}

/** One instance's heartbeat. */
export interface LeaseEntry {
  readonly instance: string;
  readonly counter: number;
  readonly body: Json;
}

/** Where a reader of the log stands. */
export interface LogCursor {
  readonly at: Date;
  readonly id: string;
}

export interface LogEntry extends LogCursor {
  readonly body: Json;
}

export interface Note {
  readonly key: string;
  readonly body: Json;
  readonly firstAt: Date;
  readonly lastAt: Date;
  /** How often it was put. */
  readonly times: number;
}

export interface Books {
  /**
   * The control record; null before there is one. Linearizable: it reflects every change that was answered before this
   * call. On MongoDB where the server can read so; a standalone has no other state than its own.
   */
  readControl(): Promise<ControlEntry | null>;

  /** Stores the first control record; false when there is one. */
  createControl(record: ControlEntry): Promise<boolean>;

  /** Replaces the control record if it still has this epoch and revision; false when it has not. Durable once true. */
  replaceControl(
    expected: { readonly epoch: number; readonly revision: number },
    next: ControlEntry,
  ): Promise<boolean>;

  /** Stores the instance's row, over its last one; false, and nothing is stored, when that has a higher counter. */
  writeLease(row: LeaseEntry): Promise<boolean>;

  /** Every row, as current as `readControl`. */
  readLeases(): Promise<readonly LeaseEntry[]>;

  /** Takes an instance's row out; nothing when there is none, or, with a counter given, none that stands at it. */
  removeLease(instance: string, counter?: number): Promise<void>;

  /** Adds to the event log, which is only added to; an entry with an id that is there is a retry, and ignored. */
  log(entry: LogEntry): Promise<void>;

  /** Entries by time and id, past `after`; with `newestFirst` from the end backwards. */
  readLog(query: {
    readonly limit: number;
    readonly after?: LogCursor;
    readonly newestFirst?: boolean;
  }): Promise<readonly LogEntry[]>;

  /** Keeps a note on a record: a conflict, a poisoned record, a difference. Put again, it takes the new body and counts. */
  putNote(kind: string, key: string, body: Json, now: Date): Promise<void>;

  /** The notes of a kind, the oldest first. */
  notes(kind: string, query: { readonly limit: number }): Promise<readonly Note[]>;

  /**
   * False when there was none, or, with `timesMax`, one that has been put more often: then somebody has found something
   * that the caller does not know of.
   */
  deleteNote(kind: string, key: string, timesMax?: number): Promise<boolean>;

  /** How many notes of each kind there are; kinds without any are missing. */
  countNotes(): Promise<Readonly<Record<string, number>>>;
}
