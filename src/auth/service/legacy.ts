import { createHash } from 'node:crypto';
import { IdTaken } from '../../../db/errors.ts';
import type { New, SessionRecord } from '../../../db/records.ts';
import { parseRefreshToken, type RefreshToken, successorOf } from '../../../plugins/tokens/refresh.ts';
import { ApiError } from '../../errors.ts';
import type { AuthContext, Caller } from './context.ts';
import { makeSession, type SignedIn, signedIn } from './issue.ts';
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

/** The session a good legacy token opens, for a user whose password has not been changed since; null otherwise. */
async function legacySession(context: AuthContext, text: string, caller: Caller) {
  const now = context.now();
  const claims = context.legacyTokens?.verify(text, now) ?? null;
  const predecessor = claims && asPredecessor(text);
  const user = predecessor && (await context.repository.findUser(claims.userId));
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
  return { user, session, predecessor, successor, now };
}

/** Exchanges an unexpired token of the old service for a session. */
export async function exchangeLegacy(context: AuthContext, text: string, caller: Caller): Promise<SignedIn> {
  const legacy = await legacySession(context, text, caller);
  if (legacy === null) {
    caller.audit({ event: 'legacy-exchange', outcome: 'failure', reason: 'invalid' });
    throw new ApiError('refresh_invalid');
  }
  const { user, session, predecessor, successor, now } = legacy;
  if (context.config.requireVerifiedEmail && !user.isVerified) {
    caller.audit({ event: 'legacy-exchange', outcome: 'failure', reason: 'not-verified', userId: user.id });
    throw new ApiError('email_not_verified');
  }
  try {
    const { sessionsMax } = context.config;
    await context.repository.openSession({ session, replacesId: null, sessionsMax, now });
  } catch (error) {
    if (!(error instanceof IdTaken)) throw error;
    return rotate(context, predecessor, { onReuse: 'refuse' }, caller);
  }
  caller.audit({ event: 'legacy-exchange', outcome: 'success', userId: user.id, sessionId: session.id });
  return signedIn(context, user, session, successor.text, now);
}

/** Ends what a legacy token stands for: its session if it was exchanged, and its worth if it was not. */
export async function burnLegacy(context: AuthContext, text: string, caller: Caller): Promise<void> {
  const legacy = await legacySession(context, text, caller);
  if (legacy === null) return;
  const { session, now } = legacy;
  const revoked = { ...session, revokedAt: now, revokedReason: 'logout' } as const;
  try {
    const { sessionsMax } = context.config;
    await context.repository.openSession({ session: revoked, replacesId: null, sessionsMax, now });
  } catch (error) {
    if (!(error instanceof IdTaken)) throw error;
    await context.repository.revokeSession({ sessionId: session.id, userId: null, reason: 'logout', now });
  }
  caller.audit({ event: 'logout', outcome: 'success', userId: session.userId, sessionId: session.id });
}
