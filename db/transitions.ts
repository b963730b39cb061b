/**
 * Every change a record can go through, as a pure function of the record as it was read. A store reads, asks here,
 * and commits only if the stamp it read is still the stored one; otherwise it reads and asks again. So both stores
 * decide alike, and each change is one guarded write of one record.
 */
import { compareIds } from './ids.ts';
import type { MailedToken, New, RevocationReason, SessionRecord, UserRecord } from './records.ts';

/** What is to be written in place of the record that was read, or why nothing is. */
export type Decision<T, R extends string> = { readonly next: New<T> } | { readonly refused: R };

/** Takes the hash of a higher cost in, unless the password was changed or the user erased meanwhile. */
export function upgradeHash(
  user: UserRecord,
  change: { readonly oldHash: string; readonly newHash: string; readonly now: Date },
): Decision<UserRecord, 'changed'> {
  if (user.deletedAt !== null || user.passwordHash !== change.oldHash) return { refused: 'changed' };
  return { next: { ...user, passwordHash: change.newHash, updatedAt: change.now } };
}

/** Ends every session and every reset token made before; refused when another change came first. */
export function changePassword(
  user: UserRecord,
  change: { readonly sessionGeneration: number; readonly newHash: string; readonly now: Date },
): Decision<UserRecord, 'gone' | 'changed'> {
  if (user.deletedAt !== null) return { refused: 'gone' };
  if (user.sessionGeneration !== change.sessionGeneration) return { refused: 'changed' };
  return {
    next: {
      ...user,
      passwordHash: change.newHash,
      sessionGeneration: user.sessionGeneration + 1,
      resetGeneration: user.resetGeneration + 1,
      updatedAt: change.now,
    },
  };
}

/** Lets the session the password was changed from live on; a later change of the user's generation still ends it. */
export function adoptGeneration(
  session: SessionRecord,
  change: { readonly from: number; readonly to: number },
): Decision<SessionRecord, 'changed'> {
  if (session.revokedAt !== null || session.generation !== change.from) return { refused: 'changed' };
  return { next: { ...session, generation: change.to } };
}

/** Consumes the reset token, retires all others and ends every session, by writing nothing but the user. */
export function consumeReset(
  user: UserRecord,
  change: { readonly generation: number; readonly newHash: string; readonly now: Date },
): Decision<UserRecord, 'gone' | 'used'> {
  if (user.deletedAt !== null) return { refused: 'gone' };
  if (user.resetGeneration !== change.generation) return { refused: 'used' };
  return {
    next: {
      ...user,
      passwordHash: change.newHash,
      sessionGeneration: user.sessionGeneration + 1,
      resetGeneration: user.resetGeneration + 1,
      updatedAt: change.now,
    },
  };
}

/** Retires every reset token so far; the new token is then made under the raised generation. */
export function raiseResetGeneration(
  user: UserRecord,
  change: { readonly now: Date },
): Decision<UserRecord, 'gone'> {
  if (user.deletedAt !== null) return { refused: 'gone' };
  return { next: { ...user, resetGeneration: user.resetGeneration + 1, updatedAt: change.now } };
}

/** Verified never goes back, so a second token, or the same one again, finds nothing left to do. */
export function verifyEmail(
  user: UserRecord,
  change: { readonly tokenId: string; readonly now: Date },
): Decision<UserRecord, 'gone' | 'used'> {
  if (user.isVerified) return { refused: 'used' };
  if (user.deletedAt !== null) return { refused: 'gone' };
  return { next: { ...user, isVerified: true, verifiedWith: change.tokenId, updatedAt: change.now } };
}

/** Ends every session of the user, and retires every reset token: whoever had one could sign in again. */
export function endSessions(user: UserRecord, change: { readonly now: Date }): Decision<UserRecord, 'gone'> {
  if (user.deletedAt !== null) return { refused: 'gone' };
  return {
    next: {
      ...user,
      sessionGeneration: user.sessionGeneration + 1,
      resetGeneration: user.resetGeneration + 1,
      updatedAt: change.now,
    },
  };
}

/**
 * Leaves a tombstone without personal data. `resetGeneration` stays, so that an unused reset token answers
 * "its user is gone" and not "used". With `sessionGeneration` given, a change meanwhile refuses.
 */
export function eraseUser(
  user: UserRecord,
  change: { readonly sessionGeneration: number | null; readonly now: Date },
): Decision<UserRecord, 'gone' | 'changed'> {
  if (user.deletedAt !== null) return { refused: 'gone' };
  if (change.sessionGeneration !== null && change.sessionGeneration !== user.sessionGeneration) {
    return { refused: 'changed' };
  }
  return {
    next: {
      ...user,
      email: null,
      emailKey: null,
      name: '',
      passwordHash: null,
      sessionGeneration: user.sessionGeneration + 1,
      updatedAt: change.now,
      deletedAt: change.now,
    },
  };
}

/** Replaces the refresh token, if the presented one is still the current one. */
export function rotateSession(
  session: SessionRecord,
  change: {
    readonly fromHash: string;
    readonly toHash: string;
    readonly now: Date;
    readonly idleExpiresAt: Date;
  },
): Decision<SessionRecord, 'revoked' | 'replaced'> {
  if (session.revokedAt !== null) return { refused: 'revoked' };
  if (session.tokenHash !== change.fromHash) return { refused: 'replaced' };
  return {
    next: {
      ...session,
      tokenHash: change.toHash,
      previousTokenHash: change.fromHash,
      rotation: session.rotation + 1,
      rotatedAt: change.now,
      idleExpiresAt: change.idleExpiresAt,
    },
  };
}

/** Revocation is final: the first reason stays. */
export function revokeSession(
  session: SessionRecord,
  change: { readonly reason: RevocationReason; readonly now: Date },
): Decision<SessionRecord, 'revoked'> {
  if (session.revokedAt !== null) return { refused: 'revoked' };
  return { next: { ...session, revokedAt: change.now, revokedReason: change.reason } };
}

/** The session as it is to be stored: of a user who was erased since the login began, ended and without personal data. */
export function openSession(
  session: New<SessionRecord>,
  user: UserRecord | null,
  change: { readonly now: Date },
): New<SessionRecord> {
  const decision = user === null || user.deletedAt === null ? null : scrubSession(session, change);
  return decision !== null && 'next' in decision ? decision.next : session;
}

/** Revokes and takes the personal data out; also done to sessions that had ended before. */
export function scrubSession(
  session: New<SessionRecord>,
  change: { readonly now: Date },
): Decision<SessionRecord, 'clean'> {
  if (session.revokedAt !== null && session.userAgent === null) return { refused: 'clean' };
  return {
    next: {
      ...session,
      revokedAt: session.revokedAt ?? change.now,
      revokedReason: session.revokedReason ?? 'erased',
      userAgent: null,
    },
  };
}

/** Moves the time at which another instance may send the mail; null settles it. Refused when another got there first. */
export function moveMailDue<T extends { readonly mailDueAt: Date | null }>(
  token: T,
  change: { readonly from: Date; readonly to: Date | null },
): { readonly next: T } | { readonly refused: 'changed' } {
  if (token.mailDueAt?.getTime() !== change.from.getTime()) return { refused: 'changed' };
  return { next: { ...token, mailDueAt: change.to } };
}

/** A session is usable only while it is unrevoked, unexpired, and of its living user's current generation. */
export function isLive(session: New<SessionRecord>, user: UserRecord | null, now: Date): boolean {
  return (
    user !== null &&
    user.deletedAt === null &&
    session.userId === user.id &&
    session.revokedAt === null &&
    session.generation === user.sessionGeneration &&
    now < session.idleExpiresAt &&
    now < session.expiresAt
  );
}

/** Which of several reset tokens of one generation (only legacy ones share one) counts as the newest. */
export function isNewerToken(a: MailedToken, b: MailedToken): boolean {
  return (a.createdAt.getTime() - b.createdAt.getTime() || compareIds(a.id, b.id)) > 0;
}

/** The most recently used session first. */
export function byLastUse(a: SessionRecord, b: SessionRecord): number {
  return b.rotatedAt.getTime() - a.rotatedAt.getTime() || compareIds(b.id, a.id);
}
