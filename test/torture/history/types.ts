/**
 * What a run leaves behind: every operation of every client, with the time it was begun and the time its answer came.
 * One history belongs to one e-mail address; addresses share nothing, so each history is judged by itself.
 */

/** Names a session by the operation that opened it; below 0, by the token of the old service that stands for it. */
export type SessionName = number;

export type Call =
  /** `legacy`: by the old service, which opened no session of ours. */
  | { readonly kind: 'signup'; readonly password: string; readonly legacy?: true }
  | { readonly kind: 'login'; readonly password: string }
  /** With a token of the old service, which stands for this session whether it is there yet or not. */
  | { readonly kind: 'exchange'; readonly session: SessionName }
  | { readonly kind: 'me'; readonly session: SessionName }
  /** `token` counts the rotations before the presented refresh token: 0 is the one that the session began with. */
  | { readonly kind: 'refresh'; readonly session: SessionName; readonly token: number }
  /** `burns`: with the token of the old service, so that it counts before the exchange too. */
  | { readonly kind: 'logout'; readonly session: SessionName; readonly burns?: true }
  /** `sure`: the mailed token is known to belong to the account as it is now. */
  | { readonly kind: 'verify'; readonly sure: boolean }
  /** One more verification link. It takes nothing from the ones before. */
  | { readonly kind: 'resend' }
  | { readonly kind: 'forgot' }
  /** `requests`: the `forgot` operations the mailed token may come from. */
  | { readonly kind: 'reset'; readonly requests: readonly number[]; readonly password: string }
  | {
      readonly kind: 'change';
      readonly session: SessionName;
      readonly password: string;
      readonly next: string;
    }
  | { readonly kind: 'list'; readonly session: SessionName }
  | { readonly kind: 'end'; readonly session: SessionName; readonly target: SessionName }
  | { readonly kind: 'erase'; readonly session: SessionName; readonly password: string }
  /** What both stores hold for this address once everything rests. */
  | { readonly kind: 'final' };

export type Kind = Call['kind'];

/** What clients do; `final` is the harness's own look. */
export const CLIENT_KINDS = [
  'signup',
  'login',
  'exchange',
  'me',
  'refresh',
  'logout',
  'verify',
  'resend',
  'forgot',
  'reset',
  'change',
  'list',
  'end',
  'erase',
] as const satisfies readonly Kind[];

/**
 * What is tried on purpose and has to be refused: a replaced refresh token of a session that was alive until then, and a
 * reset token while a newer one is good.
 */
export const CAUGHT = ['reuse', 'superseded'] as const;
export type Caught = (typeof CAUGHT)[number];

/** What an answer said, as far as it is judged. */
export interface Answer {
  /** Of the user. */
  readonly userId?: string;
  readonly isVerified?: boolean;
  /** Sessions said to be alive, by name; sessions nobody was told of have none and are left out. */
  readonly sessions?: readonly SessionName[];
  /** `final` only: whether a living user answers to this address. */
  readonly exists?: boolean;
  /** `final` only: how often its password was reset or changed. */
  readonly generation?: number;
}

/**
 * `ok`: done. `refused`: answered with a code that says why not. `failed`: certainly nothing was done.
 * `unknown`: no answer, or one that does not tell; it may have been done, may yet be done, or never.
 */
export type Outcome =
  | { readonly kind: 'ok'; readonly answer: Answer }
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface Operation {
  readonly id: number;
  /** The e-mail's normalised form. */
  readonly email: string;
  readonly call: Call;
  readonly instance: string;
  /** On the harness's monotonic clock. */
  readonly invokedMs: number;
  /** Null: no answer came, and for an `unknown` one it counts as open for ever. */
  readonly completedMs: number | null;
  readonly outcome: Outcome;
}
