import { emailKey } from '../../../db/email.ts';
import { EmailTaken } from '../../../db/errors.ts';
import { newId } from '../../../db/ids.ts';
import type { New, SessionRecord, UserRecord } from '../../../db/records.ts';
import { ApiError } from '../../errors.ts';
import type { AuthContext, Caller } from './context.ts';
import { makeSession, type SignedIn, signedIn } from './issue.ts';
import { countAttempt, forAttempt, knowNetwork, mayNotify } from './limit.ts';
import { sessionOfBrowser } from './login.ts';
import { makeMailedToken, presentedToken } from './mail-tokens.ts';
import { noted } from './noted.ts';
import { checkPolicy } from './policy.ts';

/** Signs a user up and in. The check for the e-mail comes last: it costs one hash to ask. */
export async function signup(
  context: AuthContext,
  body: { readonly email: string; readonly name: string; readonly password: string },
  browserToken: string | null,
  caller: Caller,
): Promise<SignedIn> {
  const attempt = await countAttempt(context, caller, 'signup', { address: caller.address });
  checkPolicy(context, body.password, body);
  const hash = () => context.passwords.hash(body.password, caller.network);
  const passwordHash = await forAttempt(attempt, hash);
  const now = context.now();
  const user: New<UserRecord> = {
    id: newId(now),
    email: body.email,
    emailKey: emailKey(body.email),
    name: body.name,
    passwordHash,
    isVerified: false,
    verifiedWith: null,
    sessionGeneration: 0,
    resetGeneration: 0,
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
  };
  const { session, refreshToken } = makeSession(context, user, caller, now);
  const token = makeMailedToken(context, 'verificationToken', user.id, now);
  const event = { event: 'signup', userId: user.id, sessionId: session.id };
  try {
    await noted(caller, event, context.repository.createAccount({ user, token, session }));
  } catch (error) {
    if (!(error instanceof EmailTaken)) {
      await attempt.refund();
      throw error;
    }
    caller.audit({ event: 'signup', outcome: 'failure', reason: 'email-taken' });
    throw new ApiError('email_taken');
  }
  caller.audit({ ...event, outcome: 'success' });
  context.outbox.dispatch('verificationToken', token, user, () => mayNotify(context, caller, body.email));
  knowNetwork(context, body.email, caller);
  if (browserToken !== null) endFormerSession(context, browserToken, caller);
  return signedIn(context, user, session, refreshToken, now);
}

/** The new cookies replace the former session's, which nobody could end any more. The account is there either way. */
function endFormerSession(context: AuthContext, browserToken: string, caller: Caller): void {
  context.background.run('end former session', async () => {
    const former = await sessionOfBrowser(context, browserToken);
    if (former === null) return;
    const { id: sessionId, userId } = former;
    const ending = { sessionId, userId: null, reason: 'replaced', now: context.now() } as const;
    if (!(await context.repository.revokeSession(ending))) return;
    caller.audit({ event: 'session-ended', outcome: 'success', reason: 'replaced', userId, sessionId });
  });
}

/** Verifies the e-mail of the token's user. The order of refusals is part of the contract. */
export async function verifyEmail(context: AuthContext, clear: string, caller: Caller): Promise<void> {
  const attempt = await countAttempt(context, caller, 'token', { address: caller.address });
  const now = context.now();
  const found = await context.repository.findVerificationToken(presentedToken(clear));
  const refuse = (code: 'token_invalid' | 'token_expired' | 'user_gone'): never => {
    caller.audit({ event: 'verify-email', outcome: 'failure', reason: code, userId: found?.user?.id });
    throw new ApiError(code);
  };
  if (found === null) return refuse('token_invalid');
  await attempt.refund();
  const { token, user } = found;
  if (user?.verifiedWith === token.id) return refuse('token_invalid');
  if (token.expiresAt <= now) return refuse('token_expired');
  if (user === null || user.deletedAt !== null) return refuse('user_gone');
  const event = { event: 'verify-email', userId: user.id };
  const write = context.repository.verifyEmail({ userId: user.id, tokenId: token.id, now });
  const outcome = await noted(caller, event, write);
  if (outcome !== 'done') return refuse(outcome === 'gone' ? 'user_gone' : 'token_invalid');
  caller.audit({ ...event, outcome: 'success' });
}

/** Sends one more verification mail, if there is something to verify; the reply does not tell. */
export async function resendVerification(context: AuthContext, email: string, caller: Caller): Promise<void> {
  await countAttempt(context, caller, 'mail', { address: caller.address, account: emailKey(email) });
  const user = await context.repository.findUserByEmail(email);
  const wanted = user !== null && !user.isVerified ? user : null;
  const token = makeMailedToken(context, 'verificationToken', wanted?.id ?? null, context.now());
  const event = { event: 'resend-verification', userId: user?.id };
  await noted(caller, event, context.repository.addVerificationToken(token));
  caller.audit({ ...event, outcome: wanted ? 'success' : 'ignored' });
  if (wanted) context.outbox.dispatch('verificationToken', token, wanted);
}

/** Erases the user's personal data; the id stays taken. The password is asked again. */
export async function deleteAccount(
  context: AuthContext,
  input: { readonly user: UserRecord; readonly session: SessionRecord; readonly password: string },
  caller: Caller,
): Promise<void> {
  const { user } = input;
  const attempt = await countAttempt(context, caller, 'password', { user: user.id });
  const verify = () => context.passwords.verify(input.password, user.passwordHash, caller.network);
  if (!(await forAttempt(attempt, verify))) {
    caller.audit({ event: 'delete-account', outcome: 'failure', reason: 'password', userId: user.id });
    throw new ApiError('invalid_credentials');
  }
  await attempt.refund();
  const event = { event: 'delete-account', userId: user.id };
  const write = context.repository.eraseUser({
    userId: user.id,
    sessionGeneration: user.sessionGeneration,
    now: context.now(),
  });
  const outcome = await noted(caller, event, write);
  if (outcome === 'changed') throw new ApiError('changed_meanwhile');
  if (outcome === 'gone') throw new ApiError('unauthenticated');
  caller.audit({ ...event, outcome: 'success' });
}
