import { emailKey } from '../../../db/email.ts';
import type { SessionRecord, UserRecord } from '../../../db/records.ts';
import { parseRefreshToken } from '../../../plugins/tokens/refresh.ts';
import { ApiError } from '../../errors.ts';
import type { AuthContext, Caller } from './context.ts';
import { makeSession, type SignedIn, signedIn } from './issue.ts';
import { countAttempt, forAttempt, refusePast } from './limit.ts';
import { noted, noteEnded } from './noted.ts';

/** Opens a session. An unknown e-mail, a wrong password and a user without one cost and answer the same. */
export async function login(
  context: AuthContext,
  body: { readonly email: string; readonly password: string },
  browserToken: string | null,
  caller: Caller,
): Promise<SignedIn> {
  const { repository, passwords } = context;
  const attempt = await countAttempt(context, caller, 'login', {
    address: caller.address,
    account: emailKey(body.email),
  });
  // The generation is read here, before the password check: a reset answered meanwhile leaves this login a dead session.
  const { past } = attempt;
  const { user, correct } = await forAttempt(attempt, async () => {
    const found = await repository.findUserByEmail(body.email);
    // Past the account's limit only who is known may guess; the others pay the same for a guess at nothing.
    const hash = past?.known === false ? null : (found?.passwordHash ?? null);
    return { user: found, correct: await passwords.verify(body.password, hash, caller.network) };
  });
  if (user === null || !correct) {
    if (past !== null) return refusePast(caller, past, user);
    const reason = user === null ? 'unknown-user' : 'wrong-password';
    caller.audit({ event: 'login', outcome: 'failure', reason, userId: user?.id });
    throw new ApiError('invalid_credentials');
  }
  if (context.config.requireVerifiedEmail && !user.isVerified) {
    await attempt.refund();
    caller.audit({ event: 'login', outcome: 'failure', reason: 'not-verified', userId: user.id });
    throw new ApiError('email_not_verified');
  }
  const now = context.now();
  const { session, refreshToken } = makeSession(context, user, caller, now);
  const event = { event: 'login', userId: user.id, sessionId: session.id };
  const write = repository.openSession({
    session,
    replacesId: (await sessionOfBrowser(context, browserToken))?.id ?? null,
    sessionsMax: context.config.sessionsMax,
    now,
  });
  const opened = await noted(caller, event, write);
  if (!opened.isLive) {
    // The password was right, and is no more: this is a failure like any other, and stays counted.
    if (past !== null) return refusePast(caller, past, user);
    caller.audit({ ...event, outcome: 'failure', reason: 'overtaken' });
    throw new ApiError('invalid_credentials');
  }
  await attempt.success();
  upgradeLater(context, user, body.password, caller);
  caller.audit({ ...event, outcome: 'success' });
  noteEnded(caller, opened);
  return signedIn(context, user, session, refreshToken, now);
}

/** The session a browser still holds when it logs in again; only who holds its token may end it. */
export async function sessionOfBrowser(
  context: AuthContext,
  browserToken: string | null,
): Promise<SessionRecord | null> {
  const presented = browserToken === null ? null : parseRefreshToken(browserToken);
  const found = presented && (await context.repository.findSession(presented.sessionId));
  if (!found) return null;
  const { tokenHash, previousTokenHash } = found.session;
  return presented.hash === tokenHash || presented.hash === previousTokenHash ? found.session : null;
}

/** Replaces a hash of lower cost or older scheme after the reply, now that the password is at hand. */
function upgradeLater(context: AuthContext, user: UserRecord, password: string, caller: Caller): void {
  const { id: userId, passwordHash: oldHash } = user;
  if (oldHash === null || !context.passwords.needsUpgrade(oldHash, password)) return;
  context.background.run('hash upgrade', async () => {
    const newHash = await context.passwords.hash(password);
    if (await context.repository.upgradeHash({ userId, oldHash, newHash, now: context.now() })) {
      caller.audit({ event: 'hash-upgrade', outcome: 'success', userId });
    }
  });
}
