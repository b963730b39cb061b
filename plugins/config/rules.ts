/** What no single variable can tell: values that contradict each other, and what production refuses. */
import {
  databaseOf,
  isLoggedSmtp,
  isLoopback,
  isPrivateMongo,
  isPrivatePostgres,
  isPrivateSmtp,
} from './endpoints.ts';
import { uses } from './modes.ts';
import { weakness } from './strength.ts';
import type { Environment, VariableName } from './variables.ts';

/** The variable to be changed, and the rest of the sentence: what is wrong, and what to do. */
export type Problem = readonly [name: VariableName, problem: string];

type Rule = (env: Environment) => Problem | false;

const EVERYWHERE: readonly Rule[] = [
  (env) =>
    env.LEGACY_JWT_SECRET !== null &&
    env.LEGACY_JWT_UNTIL === null && [
      'LEGACY_JWT_UNTIL',
      'is missing, and LEGACY_JWT_SECRET is set; say when the exchange of old tokens ends',
    ],
  (env) =>
    env.SESSION_ABSOLUTE < env.SESSION_IDLE && [
      'SESSION_ABSOLUTE',
      'is shorter than SESSION_IDLE; make it as long or longer',
    ],
  (env) =>
    env.LIMIT_DELAY_MAX < env.LIMIT_DELAY_MIN && [
      'LIMIT_DELAY_MAX',
      'is shorter than LIMIT_DELAY_MIN; make it as long or longer',
    ],
  (env) =>
    env.ADMIN_PORT !== null &&
    !isLoopback(env.ADMIN_HOST) &&
    weakness(env.ADMIN_TOKEN ?? '') !== null && [
      'ADMIN_TOKEN',
      'is missing or weak, and ADMIN_HOST is not loopback; set 32 random characters or more',
    ],
  (env) =>
    env.ADMIN_PORT !== null &&
    env.ADMIN_PORT !== 0 &&
    env.ADMIN_PORT === env.PORT && ['ADMIN_PORT', 'is the same as PORT; take another one'],
  (env) =>
    (env.COOKIE_SAMESITE_ACCESS === 'None' || env.COOKIE_SAMESITE_REFRESH === 'None') &&
    !isHttps(env.PUBLIC_URL) && [
      'PUBLIC_URL',
      'is not https, and browsers drop SameSite=None cookies that are not Secure; use https, Lax or Strict',
    ],
];

const PRODUCTION: readonly Rule[] = [
  (env) =>
    hasNoStore(env) &&
    uses(env.BACKEND_MODE, 'mongo') && ['MONGO_URL', `is missing; ${env.BACKEND_MODE} needs MongoDB`],
  (env) =>
    hasNoStore(env) &&
    uses(env.BACKEND_MODE, 'postgres') && [
      'DATABASE_URL',
      `is missing; ${env.BACKEND_MODE} needs PostgreSQL`,
    ],
  (env) => required(env, 'PUBLIC_URL', 'set the https origin under which clients reach this service'),
  (env) => required(env, 'APP_URL', 'set the https URL to which links in mails lead'),
  (env) => required(env, 'SMTP_URL', 'set the mail server'),
  (env) => required(env, 'MAIL_FROM', 'set the sender of all mails'),
  (env) => required(env, 'AUTH_SECRETS', 'make one as docs/security.md says'),
  (env) => required(env, 'JWT_KEYS', 'make one as docs/security.md says'),
  (env) => isHttp(env.PUBLIC_URL) && ['PUBLIC_URL', 'is http; cookies and tokens need https'],
  (env) => isHttp(env.APP_URL) && ['APP_URL', 'is http; links with tokens need https'],
  (env) =>
    env.CORS_ORIGINS.some(isHttp) && [
      'CORS_ORIGINS',
      'names an http origin; only https ones may use credentials',
    ],
  (env) => env.BCRYPT_COST < 10 && ['BCRYPT_COST', 'is under 10; use 12 or what the machine can bear'],
  (env) =>
    env.LOG_PRETTY === 'true' && ['LOG_PRETTY', 'is true; production logs JSON, for machines; leave it out'],
  (env) => env.ADMIN_PORT !== null && weak(env, 'ADMIN_TOKEN'),
  (env) =>
    isLoggedSmtp(env.SMTP_URL ?? '') && [
      'SMTP_URL',
      'turns on the log of the mail client, which prints mails and receivers as they are; leave out logger, debug and transactionLog',
    ],
  (env) => noDatabase(env, 'MONGO_URL'),
  (env) => noDatabase(env, 'DATABASE_URL'),
  (env) => unencrypted(env, 'MONGO_URL', 'mongo', isPrivateMongo, 'tls=true'),
  (env) => unencrypted(env, 'DATABASE_URL', 'postgres', isPrivatePostgres, 'sslmode=verify-full'),
  (env) => unencrypted(env, 'SMTP_URL', 'smtp', isPrivateSmtp, 'no options that turn TLS off'),
];

/** With one of them, the record that it may hold counts, and not BACKEND_MODE: which are needed is judged by what it says. */
const hasNoStore = (env: Environment) => env.MONGO_URL === null && env.DATABASE_URL === null;

const isHttps = (url: string | null) => url?.startsWith('https:') === true;

const isHttp = (url: string | null) => url?.startsWith('http:') === true;

function required(env: Environment, name: VariableName, remedy: string): Problem | false {
  return env[name] === null && [name, `is missing; ${remedy}`];
}

function weak(env: Environment, name: 'ADMIN_TOKEN'): Problem | false {
  const secret = env[name];
  const problem = secret === null ? null : weakness(secret);
  return problem !== null && [name, problem];
}

function noDatabase(env: Environment, name: 'MONGO_URL' | 'DATABASE_URL'): Problem | false {
  const url = env[name];
  return (
    url !== null && databaseOf(url) === '' && [name, 'names no database; add one after the host: host/auth']
  );
}

function unencrypted(
  env: Environment,
  name: 'MONGO_URL' | 'DATABASE_URL' | 'SMTP_URL',
  server: Environment['ALLOW_UNENCRYPTED'][number],
  isPrivate: (url: string) => boolean,
  remedy: string,
): Problem | false {
  const url = env[name];
  if (url === null || env.ALLOW_UNENCRYPTED.includes(server) || isPrivate(url)) return false;
  return [
    name,
    `leads to another host without verified TLS; use ${remedy}, or add ${server} to ALLOW_UNENCRYPTED`,
  ];
}

/** What Node itself takes from the environment, and what would make every rule about TLS void. */
export function problemsOfNode(env: NodeJS.ProcessEnv, production: boolean): readonly string[] {
  const off = production && env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0';
  return off
    ? ['NODE_TLS_REJECT_UNAUTHORIZED: is 0, which takes any certificate for the right one; leave it out']
    : [];
}

/** All problems of an environment whose variables are valid each by itself. */
export function problemsOf(env: Environment, production: boolean): readonly Problem[] {
  const rules = production ? [...EVERYWHERE, ...PRODUCTION] : EVERYWHERE;
  return rules.map((rule) => rule(env)).filter((problem) => problem !== false);
}
