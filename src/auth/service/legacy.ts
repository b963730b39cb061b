import { createHash } from 'node:crypto';
import { IdTaken } from '../../../db/errors.ts';
import type { OpenedSession } from '../../../db/port.ts';
import type { New, SessionRecord } from '../../../db/records.ts';
import { parseRefreshToken, type RefreshToken, successorOf } from '../../../plugins/tokens/refresh.ts';
import { ApiError } from '../../errors.ts';
import type { AuthContext, Caller } from './context.ts';
import { makeSession, type SignedIn, signedIn } from './issue.ts';
import { noted, noteEnded } from './noted.ts';
import { rotate } from './refresh.ts';

/**
 * A token of the old service stands for the refresh token before the first of a session whose id it determines. So it
 * is exchanged once, a lost answer can be asked for again inside the leeway, and a logout with it burns it.
 */
function asPredecessor(text: string): RefreshToken | null {
  const id = createHash('sha256').update(`legacy session id:${text}`).digest('hex').slice(0, 24);
  const secret = createHash('sha256').update(`legacy secret:${text}`).digest('base64url');
  return parseRefreshToken(`${id}.${secret}`);
}

/** Whom a genuine legacy token belongs to, and what it stands for; null for anything else. */
function genuine(context: AuthContext, text: string) {
  const now = context.now();
  const claims = context.legacyTokens?.verify(text, now) ?? null;
  const predecessor = claims && asPredecessor(text);
  return predecessor && { claims, predecessor, now };
}

/** The session a genuine legacy token opens, for a user whose password has not been changed since; null otherwise. */
async function legacySession(
  context: AuthContext,
  { claims, predecessor, now }: NonNullable<ReturnType<typeof genuine>>,
  caller: Caller,
) {
  const user = await context.repository.findUser(claims.userId);
  if (!user || user.deletedAt !== null || user.sessionGeneration !== 0) return null;
  const successor = successorOf(context.keyring, predecessor, context.keyring.current);
  if (successor === null) return null;
  const made = makeSession(context, user, caller, now).session;
  const session: New<SessionRecord> = {
    ...made,
    // Only the session remembers that the token was used: it outlives the token, though nobody can use it for as long.
    expiresAt: new Date(Math.max(made.expiresAt.getTime(), claims.endsAt.getTime())),
    id: predecessor.sessionId,
    tokenHash: successor.hash,
    previousTokenHash: predecessor.hash,
    rotation: 1,
  };
  return { user, session, successor };
}

/** Exchanges an unexpired token of the old service for a session. */
export async function exchangeLegacy(context: AuthContext, text: string, caller: Caller): Promise<SignedIn> {
  const token = genuine(context, text);
  const legacy = token && (await legacySession(context, token, caller));
  if (token === null || legacy === null) {
    caller.audit({ event: 'legacy-exchange', outcome: 'failure', reason: 'invalid' });
    throw new ApiError('refresh_invalid');
  }
  const { user, session, successor } = legacy;
  const { predecessor, now } = token;
  if (context.config.requireVerifiedEmail && !user.isVerified) {
    caller.audit({ event: 'legacy-exchange', outcome: 'failure', reason: 'not-verified', userId: user.id });
    throw new ApiError('email_not_verified');
  }
  const event = { event: 'legacy-exchange', userId: user.id, sessionId: session.id };
  let opened: OpenedSession;
  try {
    const { sessionsMax } = context.config;
    const write = context.repository.openSession({ session, replacesId: null, sessionsMax, now });
    opened = await noted(caller, event, write, () => context.unanswered.add(predecessor.hash));
  } catch (error) {
    if (!(error instanceof IdTaken)) throw error;
    return rotate(context, predecessor, { onReuse: 'refuse' }, caller);
  }
  if (!opened.isLive) {
    caller.audit({ ...event, outcome: 'failure', reason: 'overtaken' });
    throw new ApiError('refresh_invalid');
  }
  caller.audit({ ...event, outcome: 'success' });
  noteEnded(caller, opened);
  return signedIn(context, user, session, successor.text, now);
}

/** Ends what a legacy token stands for: its session if it was exchanged, and its worth if it was not. */
export async function burnLegacy(context: AuthContext, text: string, caller: Caller): Promise<void> {
  const token = genuine(context, text);
  if (token === null) return;
  const legacy = await legacySession(context, token, caller);
  const { predecessor, claims, now } = token;
  const { sessionId } = predecessor;
  const event = { event: 'logout', userId: claims.userId, sessionId };
  const burnt = legacy !== null && (await noted(caller, event, openRevoked(context, legacy.session, now)));
  const ending = { sessionId, userId: null, reason: 'logout', now } as const;
  // Also after a new password, which the session it opened may have outlived.
  const ended = burnt || (await noted(caller, event, context.repository.revokeSession(ending)));
  if (legacy === null && !ended) return;
  caller.audit({ ...event, outcome: 'success' });
}

/** False when it is there already. */
async function openRevoked(context: AuthContext, session: New<SessionRecord>, now: Date): Promise<boolean> {
  const revoked = { ...session, revokedAt: now, revokedReason: 'logout' } as const;
  const { sessionsMax } = context.config;
  try {
    await context.repository.openSession({ session: revoked, replacesId: null, sessionsMax, now });
    return true;
  } catch (error) {
    if (error instanceof IdTaken) return false;
    throw error;
  }
}
