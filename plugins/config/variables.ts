/**
 * Every environment variable of the service: the schema, `.env.example` and the README's table all come from here.
 * Variables marked secret are also read from the file that `NAME_FILE` names.
 */
import { z } from 'zod';
import { mappingFile } from './mapping.ts';
import { FIRST_MODE, MODES } from './modes.ts';
import { mongoUrl } from './mongo-url.ts';
import { postgresUrl } from './postgres-url.ts';
import * as v from './values.ts';

interface Words {
  readonly description: string;
  readonly secret?: true;
  /** Whether `npm start` refuses to run without it. */
  readonly required?: string;
  /** What an unset variable means, where no constant says it. */
  readonly unset?: string;
}

const set = <T>(fallback: string, schema: z.ZodType<T, string>, description: string) => ({
  schema: schema.prefault(fallback),
  fallback,
  description,
});

const open = <T>(schema: z.ZodType<T, string>, words: Words) => ({
  schema: schema.optional().transform((value): T | null => value ?? null),
  fallback: null,
  ...words,
});

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
const SAME_SITE = ['Strict', 'Lax', 'None'] as const;

const service = {
  NODE_ENV: set(
    'development',
    v.oneOf('development', 'test', 'production'),
    'With production `npx --no cutover` and `npm run migrate` want verified TLS, `npm run dev` refuses; `npm start` is production anyway.',
  ),
  HOST: set('127.0.0.1', v.host(), 'Address to listen on; the image presets 0.0.0.0.'),
  PORT: set('3000', v.integer(0, 65_535), 'Port to listen on; 0 takes a free one.'),
  PUBLIC_URL: open(v.origin(), {
    description: 'Origin under which clients reach this service; https makes cookies Secure.',
    required: 'always',
    unset: 'http://HOST:PORT',
  }),
  APP_URL: open(v.httpUrl(), {
    description: 'Where links in mails lead: APP_URL/verify-email and APP_URL/reset-password.',
    required: 'always',
    unset: 'PUBLIC_URL',
  }),
  SERVICE_NAME: set('Auth', v.line(60), 'Name of the service in mails and API docs.'),
  TRUST_PROXY: set(
    'off',
    v.proxies(),
    'Proxies whose X-Forwarded-* headers are believed: addresses, CIDR networks, loopback, linklocal, uniquelocal.',
  ),
  CORS_ORIGINS: set(
    '',
    v.origins(),
    'Origins whose pages may call this service with credentials, exact and comma-separated.',
  ),
  LOG_LEVEL: set(
    'info',
    v.oneOf(...LEVELS),
    'Least severe level that is logged; audit lines are, unless it is silent.',
  ),
  LOG_PRETTY: set(
    'auto',
    v.oneOf('auto', 'true', 'false'),
    'Coloured lines instead of JSON; auto: on a terminal outside production.',
  ),
  REQUEST_TIMEOUT: set(
    '15s',
    v.duration('1s', '5m'),
    'Longest time a client may take to send a request, headers and body.',
  ),
  SHED_HEAP_MAX: open(v.integer(1, 1_000_000), {
    description: 'Heap in MiB past which requests are refused with 503, before memory grows further.',
    unset: "80 % or less of Node's own limit",
  }),
  SHUTDOWN_GRACE: set(
    '20s',
    v.duration('0s', '1h'),
    'Longest time that requests in flight and mails get after SIGTERM.',
  ),
  SHUTDOWN_DELAY: open(v.duration('0s', '5m'), {
    description:
      'Time between not ready and closing, in which it still serves, for a load balancer to notice.',
    unset: '5s; outside production 0s',
  }),
};

const stores = {
  BACKEND_MODE: set(
    FIRST_MODE,
    v.oneOf(...MODES),
    'Mode of a fresh installation; afterwards the stores remember it.',
  ),
  MONGO_URL: open(mongoUrl(), {
    description:
      'MongoDB with its database and options, such as mongodb://host:27017/auth?replicaSet=rs0&tls=true.',
    secret: true,
    required: 'unless postgres-only',
  }),
  DATABASE_URL: open(postgresUrl(), {
    description: 'PostgreSQL, such as postgres://user@host:5432/auth?sslmode=verify-full.',
    secret: true,
    required: 'unless mongo-only',
  }),
  STORE_TIMEOUT: set(
    '2s',
    v.duration('50ms', '1m'),
    'Longest time a store may take to answer before it counts as down.',
  ),
  POSTGRES_POOL_MAX: set('20', v.integer(1, 1000), 'Connections to PostgreSQL at most.'),
  MONGO_POOL_MAX: set('50', v.integer(1, 1000), 'Connections to MongoDB at most.'),
  MONGO_MAPPING_FILE: open(mappingFile(), {
    description: "File that says where the old service's fields are; the same for all. See docs/mapping.md.",
    unset: 'the default mapping',
  }),
  ALLOW_UNENCRYPTED: set(
    '',
    v.listOf('mongo', 'postgres', 'smtp'),
    'Servers on other hosts that production may reach without verified TLS, comma-separated: mongo, postgres, smtp.',
  ),
  RETENTION: set(
    '30d',
    v.duration('7d', '3650d'),
    'How long expired tokens and sessions are kept; never under 7d.',
  ),
};

const mail = {
  SMTP_URL: open(v.serviceUrl('smtp:', 'smtps:'), {
    description: 'Mail server, such as smtp://user:password@host:587 (STARTTLS) or smtps://host:465.',
    secret: true,
    required: 'always',
    unset: 'mails go to /dev/inbox',
  }),
  MAIL_FROM: open(v.mailbox(), {
    description: 'Sender of all mails, such as Auth <no-reply@example.com>.',
    required: 'always',
    unset: 'no-reply@localhost',
  }),
};

const keys = {
  AUTH_SECRETS: open(v.secret(), {
    description:
      'Versioned secrets from which keyed functions are derived; the first makes all that is new. See docs/security.md.',
    secret: true,
    required: 'always',
    unset: 'made up at each start',
  }),
  JWT_KEYS: open(v.secret(), {
    description:
      'Private keys that sign access tokens, newest first; older ones still verify. See docs/security.md.',
    secret: true,
    required: 'always',
    unset: 'made up at each start',
  }),
  JWT_ISSUER: open(v.line(255), { description: 'Issuer (`iss`) of access tokens.', unset: 'PUBLIC_URL' }),
  JWT_AUDIENCE: open(v.line(255), { description: 'Audience (`aud`) of access tokens.', unset: 'PUBLIC_URL' }),
  ACCESS_TOKEN_TTL: set('15m', v.duration('1s', '1d'), 'Life of an access token.'),
};

const sessions = {
  SESSION_IDLE: set('14d', v.duration('1s'), 'A session ends when it is not refreshed for so long.'),
  SESSION_ABSOLUTE: set('90d', v.duration('1s'), 'A session ends after so long, however busy it is.'),
  SESSIONS_MAX: set(
    '50',
    v.integer(1, 10_000),
    'Live sessions of one user; the least recently used end first.',
  ),
  REFRESH_LEEWAY: set(
    '10s',
    v.duration('0s', '1m'),
    'How long the immediate predecessor of a refresh token still gets the same successor; longer than a failover of the stores, if that may take longer.',
  ),
  COOKIE_SAMESITE_ACCESS: set('Lax', v.oneOf(...SAME_SITE), 'SameSite of the access cookie.'),
  COOKIE_SAMESITE_REFRESH: set('Strict', v.oneOf(...SAME_SITE), 'SameSite of the refresh cookie.'),
  VERIFICATION_TTL: set('24h', v.duration('1s', '30d'), 'Life of a verification link.'),
  RESET_TTL: set('1h', v.duration('1s', '7d'), 'Life of a reset link.'),
  REQUIRE_VERIFIED_EMAIL: set(
    'false',
    v.flag(),
    'Refuses logins, and old tokens, until the e-mail is verified; a signup still signs in.',
  ),
};

const passwords = {
  PASSWORD_BLOCKLIST: set(
    'false',
    v.flag(),
    'Refuses new passwords that are common or made of the name, e-mail or service name.',
  ),
  BCRYPT_COST: set('12', v.integer(4, 16), 'Cost of new password hashes; production wants 10 or more.'),
  HASH_THREADS: open(v.integer(1, 256), {
    description: 'Threads that hash passwords.',
    unset: 'one per core',
  }),
  HASH_QUEUE_MAX: open(v.integer(1, 100_000), {
    description: 'Hashes that may wait, for 30 s at most; what does not fit is answered 503.',
    unset: '16 per thread, at least 128',
  }),
};

const legacy = {
  LEGACY_JWT_SECRET: open(v.secret(), {
    description:
      'HS256 secret of the old service: its tokens are exchanged for sessions at /auth/refresh. Unset: off.',
    secret: true,
  }),
  LEGACY_JWT_UNTIL: open(v.instant(), {
    description: 'When that exchange ends, such as 2030-01-31; must be set with the secret.',
  }),
  LEGACY_JWT_COOKIE: set('token', v.httpToken(), "Cookie that holds the old service's token."),
  LEGACY_JWT_HEADER: set(
    'authorization',
    v.httpToken(),
    "Header that holds the old service's token, bare or after Bearer.",
  ),
  LEGACY_JWT_SUBJECT: set(
    'sub,userId,id',
    v.names(),
    'Claims that may hold the user id, the first present one counts.',
  ),
};

const limits = {
  LIMIT_LOGIN_ADDRESS: set('1000/15m', v.rate(), 'Failed logins from one address.'),
  LIMIT_LOGIN_ACCOUNT: set(
    '300/1h',
    v.rate(),
    'Failed logins to one account, after which attempts are delayed, but for networks that have signed in to it lately.',
  ),
  LIMIT_LOGIN_PAIR: set(
    '100/1h',
    v.rate(),
    'Failed logins to one account from one address, after which attempts are delayed.',
  ),
  LIMIT_DELAY_MIN: set(
    '1s',
    v.duration('10ms', '1h'),
    'First delay past LIMIT_LOGIN_ACCOUNT, LIMIT_LOGIN_PAIR or LIMIT_PASSWORD_USER; doubles with each failure.',
  ),
  LIMIT_DELAY_MAX: set('60s', v.duration('10ms', '1h'), 'Longest such delay.'),
  LIMIT_SIGNUP_ADDRESS: set('5000/1h', v.rate(), 'Signups from one address.'),
  LIMIT_MAIL_ACCOUNT: set(
    '60/1h',
    v.rate(),
    'Mails asked for one e-mail address, known or not; and, counted apart, those that signups and new passwords send to it.',
  ),
  LIMIT_MAIL_ADDRESS: set('1000/1h', v.rate(), 'Mails asked for from one address.'),
  LIMIT_TOKEN_ADDRESS: set(
    '1000/15m',
    v.rate(),
    'Wrong verification and reset tokens from one address, and refresh tokens that a known session does not know.',
  ),
  LIMIT_PASSWORD_USER: set(
    '30/15m',
    v.rate(),
    'Wrong passwords of a logged-in user who changes the password or deletes the account.',
  ),
};

const admin = {
  ADMIN_PORT: open(v.integer(0, 65_535), {
    description: 'Port of a listener of its own for /metrics and health.',
    unset: '/metrics is on the main listener',
  }),
  ADMIN_HOST: set(
    '127.0.0.1',
    v.host(),
    'Address of that listener; other than loopback needs a strong ADMIN_TOKEN.',
  ),
  ADMIN_TOKEN: open(v.secret(), {
    description: 'Bearer token for that listener, 32 random characters or more.',
    secret: true,
    unset: 'none is asked for',
  }),
};

const sections = {
  Service: service,
  Stores: stores,
  Mail: mail,
  Keys: keys,
  Sessions: sessions,
  Passwords: passwords,
  'The old service': legacy,
  Limits: limits,
  'Admin listener': admin,
} satisfies Record<
  string,
  Record<string, Words & { readonly fallback: string | null; readonly schema: z.ZodType }>
>;

export const variables = {
  ...service,
  ...stores,
  ...mail,
  ...keys,
  ...sessions,
  ...passwords,
  ...legacy,
  ...limits,
  ...admin,
};
export type VariableName = keyof typeof variables;
type Fields = { readonly [N in VariableName]: (typeof variables)[N]['schema'] };

export const environmentSchema = z.object(
  Object.fromEntries(
    Object.entries(variables).map(([name, { schema }]) => [name, schema]),
  ) as unknown as Fields,
);
export type Environment = z.output<typeof environmentSchema>;

export interface ConfigVariable {
  readonly section: string;
  readonly name: string;
  readonly description: string;
  readonly secret: boolean;
  /** When production needs it: `always`, `unless …`; null: never. */
  readonly required: string | null;
  /** The value of an unset variable, or in words what it then means; null when it is simply off. */
  readonly default: string | null;
  /** Whether `default` is a value that could be set, not words. */
  readonly literal: boolean;
}

/** The table for `.env.example` and the README. */
export const configVariables: readonly ConfigVariable[] = Object.entries(sections).flatMap(
  ([section, table]) =>
    Object.entries(table).map(([name, entry]: [string, Words & { readonly fallback: string | null }]) => ({
      section,
      name,
      description: entry.description,
      secret: entry.secret === true,
      required: entry.required ?? null,
      default: entry.fallback ?? entry.unset ?? null,
      literal: entry.fallback !== null,
    })),
);
