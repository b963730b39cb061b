/** From the environment's names to the names the code uses, with the defaults that depend on other values. */
import { availableParallelism } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import type { AuthSecret } from '../keys/auth-secrets.ts';
import type { JwtKey } from '../keys/jwt-keys.ts';
import { isLocalSmtp } from './endpoints.ts';
import type { Environment } from './variables.ts';

export interface Keys {
  readonly authSecrets: readonly AuthSecret[];
  readonly jwtKeys: readonly JwtKey[];
}

const MEBIBYTE = 1024 * 1024;

/** What V8 sets aside for young objects where memory is not scarce. Its limit includes that, and is never reached so far. */
const YOUNG_BYTES = 192 * MEBIBYTE;

/** Bytes of heap at which it is time to shed load: past them V8 might end the process before anything is refused. */
function fillableHeap(): number {
  const limit = getHeapStatistics().heap_size_limit;
  return Math.floor(Math.max(0.8 * (limit - YOUNG_BYTES), 0.5 * limit));
}

/** Some checks of a load balancer; a person at a terminal does not wait for any. */
const SHUTDOWN_DELAY_MS = 5_000;

const SAME_SITE = { Strict: 'strict', Lax: 'lax', None: 'none' } as const;

export function shapeConfig(env: Environment, keys: Keys, production: boolean) {
  const publicUrl =
    env.PUBLIC_URL ?? `http://${env.HOST.includes(':') ? `[${env.HOST}]` : env.HOST}:${env.PORT}`;
  const hashThreads = env.HASH_THREADS ?? availableParallelism();
  return {
    production,
    serviceName: env.SERVICE_NAME,
    host: env.HOST,
    port: env.PORT,
    publicUrl,
    appUrl: env.APP_URL ?? publicUrl,
    /** Over TLS cookies are Secure and carry their name prefixes; over http in development neither would work. */
    secureCookies: production || publicUrl.startsWith('https:'),
    trustProxy: env.TRUST_PROXY,
    corsOrigins: env.CORS_ORIGINS,
    logLevel: env.LOG_LEVEL,
    logPretty:
      env.LOG_PRETTY === 'auto' ? !production && process.stdout.isTTY === true : env.LOG_PRETTY === 'true',
    requestTimeoutMs: env.REQUEST_TIMEOUT,
    shedHeapMaxBytes: env.SHED_HEAP_MAX === null ? fillableHeap() : env.SHED_HEAP_MAX * MEBIBYTE,
    shutdownGraceMs: env.SHUTDOWN_GRACE,
    shutdownDelayMs: env.SHUTDOWN_DELAY ?? (production ? SHUTDOWN_DELAY_MS : 0),

    backendMode: env.BACKEND_MODE,
    mongoUrl: env.MONGO_URL,
    databaseUrl: env.DATABASE_URL,
    storeTimeoutMs: env.STORE_TIMEOUT,
    mongoPoolMax: env.MONGO_POOL_MAX,
    mongoCodec: env.MONGO_MAPPING_FILE ?? DEFAULT_CODEC,
    postgresPoolMax: env.POSTGRES_POOL_MAX,
    retentionMs: env.RETENTION,

    smtpUrl: env.SMTP_URL,
    /** Production sends nothing to another host in clear unless it was told to. */
    smtpTlsRequired:
      production && !env.ALLOW_UNENCRYPTED.includes('smtp') && !isLocalSmtp(env.SMTP_URL ?? ''),
    mailFrom: env.MAIL_FROM ?? 'no-reply@localhost',

    authSecrets: keys.authSecrets,
    jwtKeys: keys.jwtKeys,
    jwtIssuer: env.JWT_ISSUER ?? publicUrl,
    jwtAudience: env.JWT_AUDIENCE ?? publicUrl,
    accessTokenTtlMs: env.ACCESS_TOKEN_TTL,
    sessionIdleMs: env.SESSION_IDLE,
    sessionAbsoluteMs: env.SESSION_ABSOLUTE,
    sessionsMax: env.SESSIONS_MAX,
    refreshLeewayMs: env.REFRESH_LEEWAY,
    cookieSameSiteAccess: SAME_SITE[env.COOKIE_SAMESITE_ACCESS],
    cookieSameSiteRefresh: SAME_SITE[env.COOKIE_SAMESITE_REFRESH],
    verificationTtlMs: env.VERIFICATION_TTL,
    resetTtlMs: env.RESET_TTL,
    requireVerifiedEmail: env.REQUIRE_VERIFIED_EMAIL,

    passwordBlocklist: env.PASSWORD_BLOCKLIST,
    bcryptCost: env.BCRYPT_COST,
    hashThreads,
    hashQueueMax: env.HASH_QUEUE_MAX ?? Math.max(128, 16 * hashThreads),

    legacyJwt: legacyJwt(env),

    limits: {
      loginAddress: env.LIMIT_LOGIN_ADDRESS,
      loginAccount: env.LIMIT_LOGIN_ACCOUNT,
      loginPair: env.LIMIT_LOGIN_PAIR,
      signupAddress: env.LIMIT_SIGNUP_ADDRESS,
      mailAccount: env.LIMIT_MAIL_ACCOUNT,
      mailAddress: env.LIMIT_MAIL_ADDRESS,
      tokenAddress: env.LIMIT_TOKEN_ADDRESS,
      passwordUser: env.LIMIT_PASSWORD_USER,
      delayMinMs: env.LIMIT_DELAY_MIN,
      delayMaxMs: env.LIMIT_DELAY_MAX,
    },

    adminHost: env.ADMIN_HOST,
    adminPort: env.ADMIN_PORT,
    adminToken: env.ADMIN_TOKEN,
  } as const;
}

function legacyJwt(env: Environment) {
  if (env.LEGACY_JWT_SECRET === null || env.LEGACY_JWT_UNTIL === null) return null;
  return {
    secret: env.LEGACY_JWT_SECRET,
    until: env.LEGACY_JWT_UNTIL,
    cookie: env.LEGACY_JWT_COOKIE,
    /** Lower case, as Node names headers. */
    header: env.LEGACY_JWT_HEADER.toLowerCase(),
    /** Claims that may hold the user id; the first present one counts. */
    subjectClaims: env.LEGACY_JWT_SUBJECT,
  } as const;
}

/** What the service runs with; every value checked. Times are in ms. */
export type Config = ReturnType<typeof shapeConfig>;
