import type { SessionRecord, UserRecord } from '../../../db/records.ts';
import {
  isAncestor,
  parseRefreshToken,
  type RefreshToken,
  successorOf,
} from '../../../plugins/tokens/refresh.ts';
import { ApiError } from '../../errors.ts';
import { judgeRefresh } from '../refresh-rules.ts';
import type { AuthContext, Caller } from './context.ts';
import { nextIdleEnd, type SignedIn, signedIn } from './issue.ts';
import { countAttempt } from './limit.ts';
import { noted } from './noted.ts';

/** A lost race is judged again; it can be lost only to a rotation or a revocation, so twice is ample. */
const RACES_MAX = 3;

function refuse(caller: Caller, reason: string, session?: SessionRecord): never {
  caller.audit({
    event: 'refresh',
    outcome: 'failure',
    reason,
    userId: session?.userId,
    sessionId: session?.id,
  });
  throw new ApiError('refresh_invalid');
}

/** Rotates the refresh token, or gives the same successor again to a client that lost the answer. */
export async function refresh(context: AuthContext, text: string | null, caller: Caller): Promise<SignedIn> {
  const presented = text === null ? null : parseRefreshToken(text);
  if (presented === null) return refuse(caller, 'malformed');
  return rotate(context, presented, { onReuse: 'revoke' }, caller);
}

/**
 * Continues the session of a genuine token. `onReuse: 'refuse'` is for what may lie about in several places
 * by design (a legacy token): its late use ends nothing but itself.
 */
export async function rotate(
  context: AuthContext,
  presented: RefreshToken,
  policy: { readonly onReuse: 'revoke' | 'refuse' },
  caller: Caller,
): Promise<SignedIn> {
  const { repository, keyring, config, unanswered } = context;
  for (let race = 0; race < RACES_MAX; race += 1) {
    const now = context.now();
    const found = await repository.findSession(presented.sessionId);
    if (found === null) return refuse(caller, 'unknown');
    const { session, user } = found;
    const judgement = await judgeRefresh({
      presentedHash: presented.hash,
      session,
      user,
      now,
      leewayMs: unanswered.has(presented.hash) ? Number.POSITIVE_INFINITY : config.refreshLeewayMs,
      isAncestor: () => wasIssued(context, session, presented, caller),
    });
    // An instance that stood still finds what its client gave up on, and has been answered elsewhere since.
    if (judgement === 'theft' && caller.hasGone()) return refuse(caller, 'late', session);
    if (judgement === 'theft' && policy.onReuse === 'revoke') {
      const event = { event: 'refresh', reason: 'reuse', userId: session.userId, sessionId: session.id };
      const ending = { sessionId: session.id, userId: null, reason: 'reuse', now } as const;
      await noted(caller, event, repository.revokeSession(ending));
      return refuse(caller, 'reuse', session);
    }
    if (user === null || judgement === 'theft' || judgement === 'invalid') {
      return refuse(caller, judgement === 'theft' ? 'reuse' : 'not-live', session);
    }
    const successor = successorOf(keyring, presented, session.keyId);
    if (successor === null) return refuse(caller, 'unknown-key', session);
    const next =
      judgement === 'replay' ? session : await advance(context, session, presented, successor, now, caller);
    if (next !== null) return succeed(context, user, next, successor, now, caller, judgement);
  }
  return refuse(caller, 'raced');
}

/**
 * Whether the session once had this token. It takes a step for each rotation to see that it had not, and anyone who has
 * seen the session's id can ask for it, so wrong ones are limited. Throws `rate_limited`.
 */
export async function wasIssued(
  context: AuthContext,
  session: SessionRecord,
  presented: RefreshToken,
  caller: Caller,
): Promise<boolean> {
  const attempt = await countAttempt(context, caller, 'token', { address: caller.address });
  const issued = await isAncestor(context.keyring, session, presented);
  if (issued) await attempt.refund();
  return issued;
}

function advance(
  context: AuthContext,
  session: SessionRecord,
  presented: RefreshToken,
  successor: RefreshToken,
  now: Date,
  caller: Caller,
): Promise<SessionRecord | null> {
  const write = context.repository.rotateSession({
    sessionId: session.id,
    known: session,
    fromHash: presented.hash,
    toHash: successor.hash,
    now,
    idleExpiresAt: nextIdleEnd(context, now, session),
  });
  const event = { event: 'refresh', userId: session.userId, sessionId: session.id };
  return noted(caller, event, write, () => context.unanswered.add(presented.hash));
}

function succeed(
  context: AuthContext,
  user: UserRecord,
  session: SessionRecord,
  successor: RefreshToken,
  now: Date,
  caller: Caller,
  reason: string,
): SignedIn {
  caller.audit({ event: 'refresh', outcome: 'success', reason, userId: user.id, sessionId: session.id });
  return signedIn(context, user, session, successor.text, now);
}
