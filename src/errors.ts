/**
 * Every error this service answers, by its stable code: the one place that knows status and wording.
 * `docs/errors.md` is generated from it.
 */
export const ERRORS = {
  validation_failed: {
    status: 400,
    title: 'The request is not valid',
    when: 'The body or a parameter does not fit its schema; `issues` lists what is wrong, by path.',
  },
  malformed_body: {
    status: 400,
    title: 'The body cannot be read',
    when: 'The body is not the JSON its content type says, in UTF-8, or carries a name such as `__proto__`.',
  },
  bad_request: {
    status: 400,
    title: 'The request cannot be read',
    when: 'The request itself is malformed: its URL, its headers, or its declared length.',
  },
  weak_password: {
    status: 400,
    title: 'The password is too easy to guess',
    when: 'Only with `PASSWORD_BLOCKLIST` on: the password is a common one, or made of the name or the e-mail.',
  },
  token_invalid: {
    status: 400,
    title: 'The token is not valid',
    when: 'A verification or reset token is unknown, was used, or a newer one has been sent.',
  },
  invalid_credentials: {
    status: 401,
    title: 'E-mail or password is wrong',
    when: 'Login with an unknown e-mail or a wrong password (the two cannot be told apart), or a wrong current password.',
  },
  unauthenticated: {
    status: 401,
    title: 'Not signed in',
    when: 'The access token is missing, not valid or expired, or its session has ended.',
  },
  refresh_invalid: {
    status: 401,
    title: 'The session cannot be continued',
    when: 'The refresh token is missing, unknown, expired, revoked, or was replaced and used again.',
  },
  email_not_verified: {
    status: 403,
    title: 'The e-mail is not verified',
    when: 'Only with `REQUIRE_VERIFIED_EMAIL` on: login, or the exchange of an old token, before the e-mail has been verified.',
  },
  cross_site: {
    status: 403,
    title: 'The request comes from another site',
    when: 'A request authorised by cookie, or a sign-in by cookies, carries a foreign `Origin` or `Sec-Fetch-Site: cross-site`.',
  },
  not_found: { status: 404, title: 'No such resource', when: 'There is no route for this method and path.' },
  user_gone: {
    status: 404,
    title: 'The user no longer exists',
    when: 'The token is good, but its user has been deleted.',
  },
  session_not_found: {
    status: 404,
    title: 'No such session',
    when: 'The session to end is unknown, has ended, or is not yours.',
  },
  email_taken: {
    status: 409,
    title: 'The e-mail is taken',
    when: 'Signup with an e-mail that has an account, in any letter case.',
  },
  changed_meanwhile: {
    status: 409,
    title: 'The account was changed meanwhile',
    when: 'Password change or deletion, when another change to the same account came first. Look again and retry.',
  },
  token_expired: {
    status: 410,
    title: 'The token has expired',
    when: 'A verification token after its 24 hours, a reset token after its hour (both configurable).',
  },
  body_too_large: { status: 413, title: 'The body is too large', when: 'The body is larger than 16 KiB.' },
  unsupported_media_type: {
    status: 415,
    title: 'The body must be JSON',
    when: 'A body with a content type other than `application/json`.',
  },
  request_timeout: {
    status: 408,
    title: 'The request took too long',
    when: 'The request was not complete within `REQUEST_TIMEOUT`. The connection is closed.',
  },
  headers_too_large: {
    status: 431,
    title: 'The headers are too large',
    when: 'The headers are larger than 16 KiB. The connection is closed.',
  },
  rate_limited: {
    status: 429,
    title: 'Too many attempts',
    when: 'A limit per account or address is reached; `Retry-After` says when to try again.',
  },
  internal: {
    status: 500,
    title: 'Something went wrong',
    when: 'A fault of the service. The log has the cause under the `requestId`.',
  },
  hashing_overloaded: {
    status: 503,
    title: 'Busy, try again',
    when: 'More passwords wait to be hashed than the queue holds, or this one waited for 30 s; nothing was done. Retry after `Retry-After`.',
  },
  store_unavailable: {
    status: 503,
    title: 'Temporarily unavailable',
    when: 'The database did not answer in time, or refused: it takes no writes now, or not from this service. The outcome of a write may be unknown. Retry after `Retry-After`.',
  },
  overloaded: {
    status: 503,
    title: 'Overloaded',
    when: 'The service sheds load before it runs out of memory or time, or is shutting down. Retry after `Retry-After`.',
  },
} as const satisfies Record<string, { status: number; title: string; when: string }>;

export type ErrorCode = keyof typeof ERRORS;

export interface Issue {
  /** Where in the request: `["confirmPassword"]`. */
  readonly path: readonly string[];
  readonly message: string;
  readonly code: string;
}

/** An answer other than success, by its code. `cause` is for the log, never for the client. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ErrorCode;
  readonly headers: Readonly<Record<string, string>>;
  readonly issues: readonly Issue[] | undefined;
  constructor(
    code: ErrorCode,
    options: { headers?: Readonly<Record<string, string>>; issues?: readonly Issue[]; cause?: unknown } = {},
  ) {
    super(ERRORS[code].title, { cause: options.cause });
    this.code = code;
    this.headers = options.headers ?? {};
    this.issues = options.issues;
  }
}
