/**
 * The port both stores implement, and the cutover's router too. Operations are use cases; each is atomic: it either
 * commits as a whole or leaves nothing that counts. Ids and times come from the caller.
 *
 * Every operation may throw `StoreUnavailable`; every write may also throw `StaleWrite`. Both are in `errors.ts`.
 * How a record changes is decided in `transitions.ts`, on the record as read, and committed only under the same stamp.
 */
import type { ChangeFeed } from './changes.ts';
import type { StoreName } from './errors.ts';
import type { LimitHit, LimitVerdict } from './limits.ts';
import type {
  Entity,
  New,
  ResetTokenRecord,
  RevocationReason,
  SessionRecord,
  UserRecord,
  VerificationTokenRecord,
} from './records.ts';
import type { Books, RecordName, Replica } from './replica.ts';

/** A token as the client presents it: legacy documents hold the clear text, everything newer only the hash. */
export interface PresentedToken {
  readonly clear: string;
  /** SHA-256 of `clear`, 64 hex digits. */
  readonly hash: string;
}

export type MailPurpose = 'verificationToken' | 'resetToken';

export interface DueMail {
  readonly purpose: MailPurpose;
  readonly token: VerificationTokenRecord | ResetTokenRecord;
}

export interface PurgeQuery {
  readonly expiredBefore: Date;
  readonly limit: number;
}

export interface PurgeCounts {
  readonly verificationTokens: number;
  readonly resetTokens: number;
  readonly sessions: number;
}

export interface OpenedSession {
  /** Whether it could be used, once it was stored. */
  readonly isLive: boolean;
  /** The sessions that were revoked for it. */
  readonly ended: readonly New<SessionRecord>[];
}

export interface Repository {
  /** Stores the user, then its token and session. Throws `EmailTaken` or `IdTaken`, and then nothing was stored. */
  createAccount(account: {
    readonly user: New<UserRecord>;
    readonly token: New<VerificationTokenRecord>;
    readonly session: New<SessionRecord>;
  }): Promise<void>;

  /** The user, a tombstone too; null when there is no record. */
  findUser(id: string): Promise<UserRecord | null>;

  /**
   * The living user who answers to this e-mail: the exact spelling first, then the normalised key, then (while legacy
   * documents without a key remain) any letter case, the oldest first. Null when there is none.
   */
  findUserByEmail(email: string): Promise<UserRecord | null>;

  /** `transitions.upgradeHash`. False when nothing was written. */
  upgradeHash(change: {
    readonly userId: string;
    readonly oldHash: string;
    readonly newHash: string;
    readonly now: Date;
  }): Promise<boolean>;

  /** `transitions.changePassword`, then `adoptGeneration` of the session that is to survive. `gone`: no such user. */
  changePassword(change: {
    readonly userId: string;
    readonly sessionGeneration: number;
    readonly newHash: string;
    readonly keepSessionId: string;
    readonly now: Date;
  }): Promise<'done' | 'gone' | 'changed'>;

  /**
   * `transitions.eraseUser`, then every session of the user is revoked and scrubbed, and what the store keeps aside of the
   * user forgotten. Without a `sessionGeneration`, as an operator asks, also of one whose document cannot be read.
   */
  eraseUser(change: {
    readonly userId: string;
    readonly sessionGeneration: number | null;
    readonly now: Date;
  }): Promise<'done' | 'gone' | 'changed'>;

  /** `transitions.endSessions`. */
  endSessions(change: { readonly userId: string; readonly now: Date }): Promise<'done' | 'gone'>;

  /** Stores one more verification token; earlier ones stay good. Throws `IdTaken`. */
  addVerificationToken(token: New<VerificationTokenRecord>): Promise<void>;

  /** The token and its user as they stand; null when the token is unknown. */
  findVerificationToken(token: PresentedToken): Promise<{
    readonly token: VerificationTokenRecord;
    readonly user: UserRecord | null;
  } | null>;

  /** `transitions.verifyEmail`. */
  verifyEmail(change: {
    readonly userId: string;
    readonly tokenId: string;
    readonly now: Date;
  }): Promise<'done' | 'gone' | 'used'>;

  /**
   * `transitions.raiseResetGeneration`, then stores the token under the raised generation. With `decoy` no user is
   * touched: the same number of writes is spent on a token nobody holds, so that the reply takes as long.
   */
  requestReset(request: {
    readonly token: New<Omit<ResetTokenRecord, 'generation'>>;
    readonly decoy: boolean;
    readonly now: Date;
  }): Promise<'done' | 'gone'>;

  /** The token and its user as they stand; `superseded` when a newer token of the same generation exists. */
  findResetToken(token: PresentedToken): Promise<{
    readonly token: ResetTokenRecord;
    readonly user: UserRecord | null;
    readonly superseded: boolean;
  } | null>;

  /** `transitions.consumeReset`. At most one call for one generation answers `done`. */
  consumeReset(change: {
    readonly userId: string;
    readonly generation: number;
    readonly newHash: string;
    readonly now: Date;
  }): Promise<'done' | 'gone' | 'used'>;

  /**
   * Stores the session; then revokes the one it replaces (`replaced`), and the user's least recently used live ones
   * past `sessionsMax` (`limit`), never the new one. One that is not live, since it has ended already, or its user's
   * sessions or the user have since the login began, is only stored: as ended where the user was erased
   * (`transitions.openSession`). Throws `IdTaken`, and then nothing was stored.
   */
  openSession(opening: {
    readonly session: New<SessionRecord>;
    readonly replacesId: string | null;
    readonly sessionsMax: number;
    readonly now: Date;
  }): Promise<OpenedSession>;

  /** The session, live or not, and its user; null when there is no record. */
  findSession(
    id: string,
  ): Promise<{ readonly session: SessionRecord; readonly user: UserRecord | null } | null>;

  /** The user's sessions that are neither revoked nor expired nor of an older generation, newest `rotatedAt` first. */
  listSessions(query: { readonly userId: string; readonly now: Date }): Promise<readonly SessionRecord[]>;

  /**
   * `transitions.rotateSession`; the session as written, or null when it is revoked, replaced or not there. `known` is
   * the record as it was just read: a store may try it first and read only when it has changed meanwhile.
   */
  rotateSession(change: {
    readonly sessionId: string;
    readonly known?: SessionRecord;
    readonly fromHash: string;
    readonly toHash: string;
    readonly now: Date;
    readonly idleExpiresAt: Date;
  }): Promise<SessionRecord | null>;

  /** `transitions.revokeSession`. False when it was revoked before, is not there, or is not this user's. */
  revokeSession(change: {
    readonly sessionId: string;
    /** Null: whoever's it is. */
    readonly userId: string | null;
    readonly reason: RevocationReason;
    readonly now: Date;
  }): Promise<boolean>;

  /** Tokens whose mail is due and that have not expired, the longest due first. */
  listDueMail(query: { readonly now: Date; readonly limit: number }): Promise<readonly DueMail[]>;

  /** `transitions.moveMailDue`. False when another instance moved it first. */
  moveMailDue(change: {
    readonly purpose: MailPurpose;
    readonly tokenId: string;
    readonly from: Date;
    readonly to: Date | null;
  }): Promise<boolean>;

  /** Retention: deletes at most `limit` of each: tokens and sessions whose `expiresAt` is before `expiredBefore`. */
  purge(query: PurgeQuery): Promise<PurgeCounts>;
}

/** Under what authority a repository writes. */
export interface WriteContext {
  /** Every write is stamped with it; a record with a higher one refuses the write. */
  readonly epoch: number;
  /** Sets the pending mark in the same write, for the mirror. */
  readonly pending: boolean;
  /** Told of each record after its write has committed. */
  readonly onWrite?: (entity: Entity, id: string) => void;
  /**
   * Asked right before each write, and by a store that commits several together before it does; when false nothing more
   * is written, and the operation throws `StoreUnavailable` with the reason `lease-lost`: its outcome is `none` where
   * nothing was committed. Not asked by an operation that finds nothing to write.
   */
  readonly mayContinue?: () => boolean;
}

/** Failure counters, shared by all instances. They may be lost in a crash: no journal, no mirror. */
export interface LimitStore {
  /** Counts all hits in one step, or none when any is refused (see `limits.decideAll`); one verdict each, in order. */
  hit(hits: readonly LimitHit[], now: Date): Promise<readonly LimitVerdict[]>;
  /** What `hit` would answer, with nothing counted. */
  peek(hits: readonly LimitHit[], now: Date): Promise<readonly LimitVerdict[]>;
  /** Takes the buckets back to empty. */
  clear(keys: readonly string[]): Promise<void>;
  /** Takes one hit back from each bucket, never below empty. */
  refund(keys: readonly string[]): Promise<void>;
  /** Deletes buckets untouched since then; how many. */
  purge(untouchedSince: Date): Promise<number>;
}

/** What a store says of itself before an answer of the other one may stand in for its own. */
export interface Assurance {
  /** Records that are marked. */
  readonly marks: number;
  /** Notes of each kind; kinds without any are missing. */
  readonly notes: Readonly<Record<string, number>>;
}

/** Connections of a store's pool, the one reserved for `assurance` left out. */
export interface PoolUse {
  readonly used: number;
  readonly idle: number;
  /** Operations that wait for one. */
  readonly waiting: number;
  readonly max: number;
}

/** One store, opened. */
export interface Store {
  readonly name: StoreName;
  /** A repository writing under this context. Cheap; the connections are shared. */
  at(context: WriteContext): Repository;
  readonly limits: LimitStore;
  /** What the cutover needs besides the port. */
  readonly replica: Replica;
  readonly books: Books;
  /** What others write into it, where the server can tell; null where no server of this kind can. */
  readonly changes: ChangeFeed | null;
  /** Resolves when the store answers in time and can be written; throws `StoreUnavailable`. */
  ping(): Promise<void>;
  /**
   * Asked on a connection reserved for it, in a question that begins after this call, and so answered also while the
   * pool is exhausted. Throws `StoreUnavailable` within some 250 ms when the store cannot say, or is not the primary.
   */
  assurance(): Promise<Assurance>;
  /** As the replica's, asked like `assurance`. */
  leftBehind(names: readonly RecordName[]): Promise<ReadonlySet<string>>;
  /** As it is now. A store without connections has none. */
  poolUse(): PoolUse;
  /** Why an acknowledged write could be lost in a crash of the server; empty when none could. */
  durabilityProblems(): Promise<readonly string[]>;
  /** Settings of its connections under which it would answer, or decide races, in another way than is relied on; empty when none. */
  sessionProblems(): Promise<readonly string[]>;
  /** Product and version as the server names itself, for banners: `PostgreSQL 18.4`, `SecantusDB 0.7.0b3`. */
  describe(): Promise<string>;
  /**
   * Which history of the database the server goes on: another one where it was replaced by a server that may lack its last
   * commits. Null: it does not say, or can never lack what a majority has.
   */
  history(): Promise<string | null>;
  /** The server's own clock. */
  clock(): Promise<Date>;
  /** Whether `migrate` would find nothing to do; of PostgreSQL also whether its tables are there, whatever became of indexes. Only reads. */
  isMigrated(only?: 'tables'): Promise<boolean>;
  /** Brings schema and indexes up to date, whoever calls it first. One line for each thing done. */
  migrate(report: (line: string) => void): Promise<void>;
  close(): Promise<void>;
}
