import type { LimitAttempt, Limits } from '../../../plugins/limits.ts';
import { ApiError } from '../../errors.ts';
import type { AuthContext, Caller } from './context.ts';

/** Counts an attempt before its work begins, and tells the client how many are left. Throws `rate_limited`. */
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
  caller.audit({ event: 'limit', outcome: 'failure', reason: rule });
  throw new ApiError('rate_limited', { headers: attempt.headers });
}
