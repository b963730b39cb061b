import type { SessionRecord, UserRecord } from '../../../db/records.ts';
import { isLive } from '../../../db/transitions.ts';
import { parseRefreshToken } from '../../../plugins/tokens/refresh.ts';
import { ApiError } from '../../errors.ts';
import type { AuthContext, Caller } from './context.ts';
import { burnLegacy } from './legacy.ts';
import { noted } from './noted.ts';
import { wasIssued } from './refresh.ts';

export interface Authenticated {
  readonly user: UserRecord;
  readonly session: SessionRecord;
}

/** Who holds this access token; the session is looked up in the store, so that a revocation counts at once. */
export async function authenticate(context: AuthContext, token: string | null): Promise<Authenticated> {
  const claims = token === null ? null : context.accessTokens.verify(token);
  const found = claims && (await context.repository.findSession(claims.sessionId));
  if (!found?.user || found.user.id !== claims?.userId || !isLive(found.session, found.user, context.now())) {
    throw new ApiError('unauthenticated');
  }
  return { user: found.user, session: found.session };
}

/** Ends every session these tokens belong to. Repeatable; what is not genuine is ignored. */
export async function logout(context: AuthContext, tokens: readonly string[], caller: Caller): Promise<void> {
  const ended = new Set<string>();
  for (const token of tokens) {
    const session = await sessionOf(context, token, caller);
    if (session === null) await burnLegacy(context, token, caller);
    else if (!ended.has(session.id)) {
      ended.add(session.id);
      await endSession(context, session, caller);
    }
  }
}

async function endSession(context: AuthContext, session: SessionRecord, caller: Caller): Promise<void> {
  const { id: sessionId, userId } = session;
  const event = { event: 'logout', userId, sessionId };
  const ending = { sessionId, userId: null, reason: 'logout', now: context.now() } as const;
  await noted(caller, event, context.repository.revokeSession(ending));
  caller.audit({ ...event, outcome: 'success' });
}

/** The session of a genuine refresh token, replaced ones included, or of an access token; null for anything else. */
async function sessionOf(context: AuthContext, token: string, caller: Caller): Promise<SessionRecord | null> {
  const presented = parseRefreshToken(token);
  if (presented === null) {
    const claims = context.accessTokens.verify(token);
    return claims && ((await context.repository.findSession(claims.sessionId))?.session ?? null);
  }
  const found = await context.repository.findSession(presented.sessionId);
  if (found === null) return null;
  const { session, user } = found;
  if (presented.hash === session.tokenHash || presented.hash === session.previousTokenHash) return session;
  // A session that has ended needs no end, so nobody has to find out whether the token was ever its own.
  if (!isLive(session, user, context.now())) return null;
  // Never refused, a logout has no limit to tell of.
  const silent = { ...caller, setHeaders: () => {} };
  const issued = await wasIssued(context, session, presented, silent).catch((error: unknown) => {
    if (error instanceof ApiError && error.code === 'rate_limited') return false;
    throw error;
  });
  return issued ? session : null;
}

/** Ends one of the user's own sessions. */
export async function endOwnSession(
  context: AuthContext,
  input: { readonly user: UserRecord; readonly sessionId: string },
  caller: Caller,
): Promise<void> {
  const { sessionId, user } = input;
  const event = { event: 'session-ended', userId: user.id, sessionId };
  const ending = { sessionId, userId: user.id, reason: 'ended', now: context.now() } as const;
  const isEnded = await noted(caller, event, context.repository.revokeSession(ending));
  if (!isEnded) throw new ApiError('session_not_found');
  caller.audit({ ...event, outcome: 'success' });
}
