import { emailKey } from '../../../db/email.ts';
import type { ResetTokenRecord, SessionRecord, UserRecord } from '../../../db/records.ts';
import { ApiError } from '../../errors.ts';
import type { AuthContext, Caller } from './context.ts';
import { countAttempt, forAttempt, knowNetwork, mayNotify } from './limit.ts';
import { makeMailedToken, presentedToken } from './mail-tokens.ts';
import { noted } from './noted.ts';
import { checkPolicy } from './policy.ts';

/** Mails a reset link to a known user; an unknown e-mail costs the same writes and gets the same answer. */
export async function forgotPassword(context: AuthContext, email: string, caller: Caller): Promise<void> {
  await countAttempt(context, caller, 'mail', { address: caller.address, account: emailKey(email) });
  const user = await context.repository.findUserByEmail(email);
  const now = context.now();
  const token = makeMailedToken(context, 'resetToken', user?.id ?? null, now);
  const event = { event: 'reset-asked', userId: user?.id };
  const write = context.repository.requestReset({ token, decoy: user === null, now });
  const outcome = await noted(caller, event, write);
  const sent = user !== null && outcome === 'done';
  caller.audit({ ...event, outcome: sent ? 'success' : 'ignored' });
  if (sent) context.outbox.dispatch('resetToken', token, user);
}

type ResetRefusal = 'token_invalid' | 'token_expired' | 'user_gone';

/** Why a reset token does not work, in the contract's order; null when it does. */
function refusalOf(
  found: {
    readonly token: ResetTokenRecord;
    readonly user: UserRecord | null;
    readonly superseded: boolean;
  } | null,
  now: Date,
): ResetRefusal | null {
  if (found === null || found.superseded) return 'token_invalid';
  const { token, user } = found;
  if (user !== null && user.resetGeneration !== token.generation) return 'token_invalid';
  if (token.expiresAt <= now) return 'token_expired';
  return user === null || user.deletedAt !== null ? 'user_gone' : null;
}

/** Sets a new password by a mailed token. The token is consumed last, by the write that sets the password. */
export async function resetPassword(
  context: AuthContext,
  body: { readonly token: string; readonly password: string },
  caller: Caller,
): Promise<void> {
  const attempt = await countAttempt(context, caller, 'token', { address: caller.address });
  const found = await context.repository.findResetToken(presentedToken(body.token));
  const user = found?.user ?? null;
  const refuse = (code: ResetRefusal): never => {
    caller.audit({ event: 'reset', outcome: 'failure', reason: code, userId: user?.id });
    throw new ApiError(code);
  };
  const refusal = refusalOf(found, context.now());
  if (found !== null) await attempt.refund();
  if (refusal !== null) return refuse(refusal);
  if (found === null || user === null) return refuse('token_invalid');
  checkPolicy(context, body.password, user);
  const newHash = await context.passwords.hash(body.password, caller.network);
  const { generation } = found.token;
  const now = context.now();
  // The hash may have waited in the queue past the token's end.
  if (found.token.expiresAt <= now) return refuse('token_expired');
  const event = { event: 'reset', userId: user.id };
  const write = context.repository.consumeReset({ userId: user.id, generation, newHash, now });
  const outcome = await noted(caller, event, write, () => notify(context, user, caller));
  if (outcome !== 'done') return refuse(outcome === 'gone' ? 'user_gone' : 'token_invalid');
  caller.audit({ ...event, outcome: 'success' });
  notify(context, user, caller);
  knowNetwork(context, user.email, caller);
}

/** Changes the password of who knows the current one; every other session ends. */
export async function changePassword(
  context: AuthContext,
  input: {
    readonly user: UserRecord;
    readonly session: SessionRecord;
    readonly currentPassword: string;
    readonly newPassword: string;
  },
  caller: Caller,
): Promise<void> {
  const { user, session } = input;
  const attempt = await countAttempt(context, caller, 'password', { user: user.id });
  const verify = () => context.passwords.verify(input.currentPassword, user.passwordHash, caller.network);
  if (!(await forAttempt(attempt, verify))) {
    caller.audit({ event: 'change-password', outcome: 'failure', reason: 'password', userId: user.id });
    throw new ApiError('invalid_credentials');
  }
  await attempt.refund();
  checkPolicy(context, input.newPassword, user);
  const newHash = await context.passwords.hash(input.newPassword, caller.network);
  const event = { event: 'change-password', userId: user.id, sessionId: session.id };
  const write = context.repository.changePassword({
    userId: user.id,
    sessionGeneration: user.sessionGeneration,
    newHash,
    keepSessionId: session.id,
    now: context.now(),
  });
  const outcome = await noted(caller, event, write, () => notify(context, user, caller));
  if (outcome === 'changed') throw new ApiError('changed_meanwhile');
  if (outcome === 'gone') throw new ApiError('unauthenticated');
  caller.audit({ ...event, outcome: 'success' });
  notify(context, user, caller);
}

/** Tells the user that the password was changed, or may have been, so that a thief's change does not go unseen. */
function notify(context: AuthContext, user: UserRecord, caller: Caller): void {
  const { email } = user;
  if (email === null) return;
  context.background.run('mail password-changed', async () => {
    if (await mayNotify(context, caller, email)) await context.mailer.sendPasswordChanged({ email });
  });
}
