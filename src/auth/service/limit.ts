import { emailKey } from '../../../db/email.ts';
import { StoreUnavailable } from '../../../db/errors.ts';
import type { UserRecord } from '../../../db/records.ts';
import type { LimitAttempt, Limits, PastLimit } from '../../../plugins/limits.ts';
import { ApiError } from '../../errors.ts';
import type { AuthContext, Caller } from './context.ts';

/**
 * Counts an attempt before its work begins, and tells the client how many are left. Throws `rate_limited`, or
 * `StoreUnavailable` when the store has no time to count it.
 */
export async function countAttempt<R extends Parameters<Limits['take']>[0]>(
  context: AuthContext,
  caller: Caller,
  rule: R,
  subjects: Parameters<typeof context.limits.take<R>>[1],
): Promise<LimitAttempt> {
  const attempt = await context.limits.take(rule, subjects);
  if (attempt.verdict.allowed) {
    caller.setHeaders(attempt.headers);
    return attempt;
  }
  return refuse(caller, rule, attempt.headers);
}

/** Fails an attempt past the account's limit as a refused one, whatever was wrong. */
export function refusePast(caller: Caller, past: PastLimit, user: UserRecord | null): never {
  return refuse(caller, 'login', past.refuse(), past.known ? user?.id : undefined);
}

function refuse(caller: Caller, reason: string, headers: Record<string, string>, userId?: string): never {
  caller.audit({ event: 'limit', outcome: 'failure', reason, userId });
  throw new ApiError('rate_limited', { headers });
}

/** Does what an attempt is about; when we fail at it, with a full queue or without a store, it is no failure of theirs. */
export async function forAttempt<T>(attempt: LimitAttempt, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await attempt.refund();
    throw error;
  }
}

/** Whoever has proved to own the account may sign in from here, however full strangers keep its limit. */
export function knowNetwork(context: AuthContext, email: string | null, caller: Caller): void {
  if (email === null) return;
  const subjects = { address: caller.address, account: emailKey(email) };
  context.background.run('know network', () => context.limits.know(subjects));
}

/** Whether one more mail that nobody asked for may go there. Whoever can have one sent in a loop may not own the address. */
export async function mayNotify(context: AuthContext, caller: Caller, email: string): Promise<boolean> {
  const attempt = await context.limits.take('notice', { account: emailKey(email) }).catch(exceptBusy);
  if (attempt === null) return true;
  const { verdict } = attempt;
  if (!verdict.allowed) caller.audit({ event: 'limit', outcome: 'failure', reason: 'notice' });
  return verdict.allowed;
}

/** A warning that is withheld is worse than one too many. */
function exceptBusy(error: unknown): null {
  if (error instanceof StoreUnavailable) return null;
  throw error;
}
