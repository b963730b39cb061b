import type { LimitHit } from '../../db/limits.ts';
import type { Config } from '../config.ts';
import { networkOf } from './subjects.ts';

/** Who attempts what; each rule counts some of these. */
export interface Subjects {
  readonly login: { readonly address: string; readonly account: string };
  readonly signup: { readonly address: string };
  /** Asking for a mail. `account` is the normalised e-mail, whether known or not. */
  readonly mail: { readonly address: string; readonly account: string };
  /** A mail that a signup or a new password sends. `account` is the normalised e-mail. */
  readonly notice: { readonly account: string };
  /** Presenting a mailed token. */
  readonly token: { readonly address: string };
  /** Giving the current password while signed in. */
  readonly password: { readonly user: string };
}
export type RuleName = keyof Subjects;

export interface Limit {
  /** As in the RateLimit headers and the metrics. */
  readonly name: string;
  /** What is counted; digested before it leaves the process. */
  readonly subject: string;
  readonly capacity: number;
  readonly windowMs: number;
  readonly backoff: LimitHit['backoff'];
  /** What a success does: forget all failures, or just not count as one. */
  readonly onSuccess: 'clear' | 'refund';
  /** Who asks, by what a success makes known: whom it knows the limit does not refuse. */
  readonly knownBy?: string;
}

type Settings = Config['limits'];
type Draft = Omit<Limit, 'capacity' | 'windowMs'> & { readonly rate: Settings['loginAddress'] };

/** The limits one attempt is counted against; those that are off are left out. */
export function limitsFor<R extends RuleName>(rule: R, subjects: Subjects[R], settings: Settings): Limit[] {
  const drafts: Draft[] = DRAFTS[rule](subjects, settings);
  return drafts.flatMap(({ rate, ...limit }) => (rate === null ? [] : [{ ...limit, ...rate }]));
}

const DRAFTS: { readonly [R in RuleName]: (subjects: Subjects[R], settings: Settings) => Draft[] } = {
  login({ address, account }, settings) {
    const pair = `${networkOf(address)} ${account}`;
    return [
      // The pair fills long before the account does, so one stranger slows down himself, not the owner.
      delayed('login-pair', pair, settings.loginPair, settings),
      // Many strangers fill the account: then it is left to the networks from which it has been signed in to.
      { ...delayed('login-account', account, settings.loginAccount, settings), knownBy: pair },
      counted('login-address', networkOf(address), settings.loginAddress),
    ];
  },
  signup: ({ address }, settings) => [counted('signup-address', networkOf(address), settings.signupAddress)],
  mail: ({ address, account }, settings) => [
    counted('mail-account', account, settings.mailAccount),
    counted('mail-address', networkOf(address), settings.mailAddress),
  ],
  // Apart from the mails that anybody may ask for, so that asking neither hides a warning nor shows who signed up.
  notice: ({ account }, settings) => [counted('notice-account', account, settings.mailAccount)],
  token: ({ address }, settings) => [counted('token-address', networkOf(address), settings.tokenAddress)],
  password: ({ user }, settings) => [delayed('password-user', user, settings.passwordUser, settings)],
};

function counted(name: string, subject: string, rate: Draft['rate']): Draft {
  return { name, subject, rate, backoff: null, onSuccess: 'refund' };
}

/** Past its capacity it delays, more with each failure, but never locks. */
function delayed(name: string, subject: string, rate: Draft['rate'], settings: Settings): Draft {
  const backoff = { baseMs: settings.delayMinMs, maxMs: settings.delayMaxMs };
  return { name, subject, rate, backoff, onSuccess: 'clear' };
}
