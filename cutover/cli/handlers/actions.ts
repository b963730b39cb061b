/** The verbs that change one thing: `abort`, `set`, `failover`, `sessions end`, `users erase`. */
import * as operator from '../../operator/index.ts';
import type { UserActionResult } from '../../operator/types.ts';
import type { Outcome } from '../exit-codes.ts';
import { UsageError } from '../parse.ts';
import { settingLines } from '../print/lists.ts';
import { abortLines, failoverLines, setLines } from '../print/moves.ts';
import { beforeAndAfter } from '../print/state.ts';
import { settingRows } from '../schemas.ts';
import { printable } from '../words.ts';
import { answer, type Call, type Handler, unlessInterrupted } from './call.ts';
import { withTroubles } from './status.ts';

/** After Ctrl-C, of what writes. */
const MAYBE_DONE = 'it may have been done: look at `cutover status` and `cutover log`';
const RUN_AGAIN = 'it may have been done: run it again, which does no harm';

export const abort: Handler = async ({ context, interrupted }) => {
  const { kind, ...result } = await unlessInterrupted(operator.abort(context), interrupted, MAYBE_DONE);
  return answer('abort', kind, result, (style) => abortLines({ kind, ...result }, style));
};

export const set: Handler = async ({ context, interrupted, words }) => {
  const [key, value] = words;
  if (key === undefined || value === undefined) {
    const { settings, stores } = await unlessInterrupted(
      operator.readStatus(context, { watchMs: 0 }),
      interrupted,
    );
    const rows = settingRows(settings);
    const seen = answer('settings', 'done', { settings: rows }, (style) => settingLines(rows, style));
    // They are the authority's: the other store's copy may be an old one.
    return withTroubles(
      stores.filter(({ role }) => role === 'authority'),
      context,
      seen,
    );
  }
  const { kind, ...result } = await unlessInterrupted(
    operator.setSetting(context, key, value),
    interrupted,
    MAYBE_DONE,
  );
  return answer('set', kind, result, (style) => setLines({ kind, ...result }, style));
};

export const failover: Handler = async ({ context, interrupted, options, verb }) => {
  const reason = options.text('reason');
  if (!options.has('accept-loss') || reason === null) {
    throw new UsageError(
      '--accept-loss and --reason R are needed: what the lost store alone had acknowledged is given up',
      verb,
    );
  }
  const request = { acceptLoss: true, reason };
  const { kind, ...result } = await unlessInterrupted(
    operator.failover(context, request),
    interrupted,
    MAYBE_DONE,
  );
  return answer('failover', kind, result, (style) => failoverLines({ kind, ...result }, style));
};

export const endSessions: Handler = async (call) => {
  const userId = userOf(call);
  const work = operator.endSessions(call.context, { userId });
  const result = await unlessInterrupted(work, call.interrupted, RUN_AGAIN);
  return userAnswer(userId, result, 'every session has ended');
};

export const eraseUser: Handler = async (call) => {
  const userId = userOf(call);
  const work = operator.eraseUser(call.context, { userId });
  const result = await unlessInterrupted(work, call.interrupted, RUN_AGAIN);
  const { leftoversRemoved } = result;
  return userAnswer(userId, result, `erased, and ${leftoversRemoved} leftovers elsewhere`, leftoversRemoved);
};

function userOf({ options, verb }: Call): string {
  const userId = options.text('user');
  if (userId === null) throw new UsageError('--user ID is needed', verb);
  return userId;
}

const USER_OUTCOMES = {
  done: 'done',
  gone: 'difference',
  refused: 'refused',
  unknown: 'aborted',
} as const satisfies Record<UserActionResult['kind'], Outcome>;

function userAnswer(
  user: string,
  { kind, before, after, reasons }: UserActionResult,
  done: string,
  leftoversRemoved?: number,
) {
  const words = {
    done,
    gone: 'there is no such user, or it was erased before',
    refused: 'refused',
    unknown: 'its outcome is not known: run it again, which does no harm',
  }[kind];
  const body = {
    user,
    result: kind,
    before,
    after,
    reasons,
    ...(leftoversRemoved !== undefined && { leftoversRemoved }),
  };
  return answer('userAction', USER_OUTCOMES[kind], body, (style) => [
    `${printable(user)}: ${kind === 'done' ? style.good(words) : style.bad(words)}`,
    ...beforeAndAfter(before, after),
    ...reasons.map((reason) => `- ${printable(reason)}`),
  ]);
}
