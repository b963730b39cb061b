/**
 * Writes of a mode without a mirror whose outcome nobody knows. They carry no mark, and may still be on their way: landing
 * after the copy, one would stay in one store for good. So once a mirror is on, each record that it may have changed is
 * touched. A write that has landed gets its mark by that; one that has not finds another stamp than it has read. A record
 * that is not there may still come into being, so it is looked for as long as a network may hold a write back: in the store that
 * has authority then. One that lands in the other store, once authority has moved on, is without a mark and in the mirror alone:
 * there a full verify finds it (`only-in-mirror`), and `repair` moves it aside, as nobody was told that it is done.
 */
import { StoreUnavailable, UnfaithfulWrite } from '../db/errors.ts';
import type { Repository, Store } from '../db/port.ts';
import { ENTITIES, type Entity, type RecordOf } from '../db/records.ts';
import type { Environment } from './environment.ts';
import { createComplaints } from './instance/complaints.ts';
import type { Member, WorkPermit } from './instance/member.ts';
import { authorityOf, mirrorOf } from './mode.ts';
import { nextStamp } from './protocol/stamps.ts';
import type { PerStore } from './protocol/types.ts';
import type { Operation, ReadOperation } from './router.ts';
import { nameOf, type RecordName } from './shadow/records.ts';
import type { Telemetry } from './telemetry.ts';

export type WriteOperation = Exclude<Operation, ReadOperation | 'purge'>;

export interface LateWrites {
  /** The outcome of this operation, begun without a mirror, is unknown. */
  note<K extends WriteOperation>(operation: K, args: Parameters<Repository[K]>): void;
  stop(): Promise<void>;
}

export interface LateWritesOptions {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly member: Member;
  /** Told of each record that was touched. */
  readonly onMarked: (entity: Entity, id: string) => void;
}

/** For longer no network keeps what it cannot deliver. */
const KEPT_MS = 30 * 60_000;
const KEPT_MAX = 10_000;
const RETRY_MS = 500;
/** Between two looks for a record that is not there. */
const ABSENT_MS = 5_000;
/** Records that are looked for together. */
const LOOK_MAX = 200;

interface Kept {
  readonly name: RecordName;
  readonly sinceMs: number;
  /** When to look for it. */
  dueMs: number;
}

const user = (id: string): RecordName => ({ entity: 'user', id });
const session = (id: string): RecordName => ({ entity: 'session', id });
const token = (id: string): RecordName => ({ entity: 'verificationToken', id });

/**
 * What each may have changed. Sessions past their user's bound are left out: nobody was told that those ended. So are those of a
 * user who is erased, whose ids nobody knows here: one whose scrubbing lands so late differs until a full verify finds it.
 */
const NAMED: {
  readonly [K in WriteOperation]: (...args: Parameters<Repository[K]>) => readonly RecordName[];
} = {
  createAccount: (account) => [user(account.user.id), token(account.token.id), session(account.session.id)],
  upgradeHash: ({ userId }) => [user(userId)],
  changePassword: ({ userId, keepSessionId }) => [user(userId), session(keepSessionId)],
  eraseUser: ({ userId }) => [user(userId)],
  endSessions: ({ userId }) => [user(userId)],
  addVerificationToken: ({ id }) => [token(id)],
  verifyEmail: ({ userId }) => [user(userId)],
  requestReset: (request) => [user(request.token.userId), { entity: 'resetToken', id: request.token.id }],
  consumeReset: ({ userId }) => [user(userId)],
  openSession: ({ session: { id }, replacesId }) => [
    session(id),
    ...(replacesId === null ? [] : [session(replacesId)]),
  ],
  rotateSession: ({ sessionId }) => [session(sessionId)],
  revokeSession: ({ sessionId }) => [session(sessionId)],
  moveMailDue: ({ purpose, tokenId }) => [{ entity: purpose, id: tokenId }],
};

export function createLateWrites(options: LateWritesOptions): LateWrites {
  const { stores, environment, telemetry, member, onMarked } = options;
  const complain = createComplaints(environment, telemetry);
  /** By entity and id, the oldest first. */
  const kept = new Map<string, Kept>();
  const ended = new AbortController();
  let working: Promise<void> | null = null;
  const unfollow = member.onFollow(begin);

  const hasMirror = (): boolean => {
    const mode = member.mode();
    return mode !== null && mirrorOf(mode) !== null;
  };

  function forgetOld(): void {
    const sinceMs = environment.now().monotonicMs - KEPT_MS;
    for (const [key, each] of kept) {
      if (each.sinceMs >= sinceMs && kept.size <= KEPT_MAX) return;
      kept.delete(key);
    }
  }

  function begin(): void {
    if (kept.size === 0 || ended.signal.aborted || !hasMirror()) return;
    working ??= work().finally(() => {
      working = null;
    });
  }

  async function work(): Promise<void> {
    while (!ended.signal.aborted && hasMirror()) {
      forgetOld();
      await lookAtDue().catch((error: unknown) => {
        if (!(error instanceof StoreUnavailable)) complain(error, 'late writes were not looked for');
      });
      if (kept.size === 0) return;
      await environment.sleep(RETRY_MS, ended.signal);
    }
  }

  /** Ends early when the store does not answer, and when nobody wants more of it: there may be many. */
  async function lookAtDue(): Promise<void> {
    const nowMs = environment.now().monotonicMs;
    for (const entity of ENTITIES) {
      const due = [...kept.values()].filter(({ name, dueMs }) => name.entity === entity && dueMs <= nowMs);
      for (let from = 0; from < due.length; from += LOOK_MAX) {
        await lookAt(entity, due.slice(from, from + LOOK_MAX));
      }
    }
  }

  async function lookAt(entity: Entity, some: readonly Kept[]): Promise<void> {
    if (ended.signal.aborted) return;
    const permit = member.permitWork();
    const authority = permit === null ? null : stores[authorityOf(permit.ticket.mode)];
    if (permit === null || authority === null || mirrorOf(permit.ticket.mode) === null) return;
    const ids = some.map(({ name }) => name.id);
    const { found } = await authority.replica.read(entity, ids);
    for (const each of some) {
      if (ended.signal.aborted) return;
      const held = found.get(each.name.id);
      if (held === undefined) each.dueMs = environment.now().monotonicMs + ABSENT_MS;
      // A mark says that it was written since.
      else if (held.pendingAt !== null || (await touch(permit, authority, entity, held.record))) forget(each);
    }
  }

  /** Unless it was noted once more meanwhile. */
  function forget(each: Kept): void {
    const key = nameOf(each.name);
    if (kept.get(key) === each) kept.delete(key);
  }

  /** False: not now. */
  async function touch<E extends Entity>(
    permit: WorkPermit,
    { replica }: Store,
    entity: E,
    { id, stamp: expected }: RecordOf[E],
  ): Promise<boolean> {
    const { epoch } = permit.ticket;
    const begun = expected.epoch <= epoch && permit.mayContinue() ? permit.beginRepair() : null;
    if (begun === null) return false;
    try {
      const touched = await replica.touch(entity, id, { expected, to: nextStamp(expected, epoch) });
      begun.settle();
      if (touched) onMarked(entity, id);
      return touched;
    } catch (error) {
      if (error instanceof StoreUnavailable && error.outcome === 'none') begun.settle();
      else begun.settleLater();
      // It names the document, and the others can be marked even so.
      if (error instanceof StoreUnavailable && !(error instanceof UnfaithfulWrite)) throw error;
      return complain(error, 'a late write could not be marked');
    }
  }

  return {
    note(operation, args) {
      const sinceMs = environment.now().monotonicMs;
      // The compiler does not see that an operation's own arguments fit it once the operation is a type parameter.
      const named = NAMED[operation] as (...given: typeof args) => readonly RecordName[];
      for (const name of named(...args)) {
        const key = nameOf(name);
        kept.delete(key);
        kept.set(key, { name, sinceMs, dueMs: sinceMs });
      }
      forgetOld();
      begin();
    },
    async stop() {
      unfollow();
      ended.abort();
      await working;
    },
  };
}
