import { newId } from '../../../db/ids.ts';
import type { New, SessionRecord, UserRecord } from '../../../db/records.ts';
import { newRefreshToken } from '../../../plugins/tokens/refresh.ts';
import type { AuthContext, Caller } from './context.ts';

/** What a client gets that is signed in from now on. */
export interface SignedIn {
  readonly user: Omit<UserRecord, 'stamp'>;
  readonly accessToken: string;
  readonly refreshToken: string;
  /** Life of the refresh token, ms. */
  readonly refreshTtlMs: number;
}

const USER_AGENT_MAX = 256;

/** A new session of the user, made under the generation that was read before the password was checked. */
export function makeSession(
  context: AuthContext,
  user: Pick<UserRecord, 'id' | 'sessionGeneration'>,
  caller: Caller,
  now: Date,
): { readonly session: New<SessionRecord>; readonly refreshToken: string } {
  const id = newId(now);
  const refreshToken = newRefreshToken(id);
  return {
    refreshToken: refreshToken.text,
    session: {
      id,
      userId: user.id,
      generation: user.sessionGeneration,
      tokenHash: refreshToken.hash,
      previousTokenHash: null,
      rotation: 0,
      keyId: context.keyring.current,
      createdAt: now,
      rotatedAt: now,
      ...sessionEnds(context, now),
      revokedAt: null,
      revokedReason: null,
      userAgent: caller.userAgent?.slice(0, USER_AGENT_MAX) ?? null,
    },
  };
}

/** When a session opened now ends: idle, and in any case. */
function sessionEnds(context: AuthContext, now: Date): Pick<SessionRecord, 'idleExpiresAt' | 'expiresAt'> {
  const expiresAt = new Date(now.getTime() + context.config.sessionAbsoluteMs);
  return { idleExpiresAt: nextIdleEnd(context, now, { createdAt: now, expiresAt }), expiresAt };
}

/** When a session used now ends unless it is used again. One that a legacy token opened is kept for longer than it lives. */
export function nextIdleEnd(
  { config }: AuthContext,
  now: Date,
  { createdAt, expiresAt }: Pick<SessionRecord, 'createdAt' | 'expiresAt'>,
): Date {
  const absoluteEnd = createdAt.getTime() + config.sessionAbsoluteMs;
  return new Date(Math.min(now.getTime() + config.sessionIdleMs, absoluteEnd, expiresAt.getTime()));
}

/** The answer for a client that holds this session and refresh token. */
export function signedIn(
  context: AuthContext,
  user: Omit<UserRecord, 'stamp'>,
  session: Pick<SessionRecord, 'id' | 'idleExpiresAt'>,
  refreshToken: string,
  now: Date,
): SignedIn {
  return {
    user,
    accessToken: context.accessTokens.sign({ userId: user.id, sessionId: session.id }),
    refreshToken,
    refreshTtlMs: session.idleExpiresAt.getTime() - now.getTime(),
  };
}
