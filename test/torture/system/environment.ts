/** What the service is configured with: as in production, but limits that a few hundred clients of one address need. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { inherited } from '../../support/inherited.ts';

export type ServiceEnv = Readonly<Record<string, string>>;

/** How long the immediate predecessor of a refresh token still works; short, so that reuse can be seen in a run. */
export const LEEWAY_MS = 1_000;

/** Of the old service; not the service's own. */
export const LEGACY_SECRET = randomBytes(32).toString('base64url');

const LIMITS = [
  'LIMIT_LOGIN_ADDRESS',
  'LIMIT_LOGIN_ACCOUNT',
  'LIMIT_LOGIN_PAIR',
  'LIMIT_SIGNUP_ADDRESS',
  'LIMIT_MAIL_ACCOUNT',
  'LIMIT_MAIL_ADDRESS',
  'LIMIT_TOKEN_ADDRESS',
  'LIMIT_PASSWORD_USER',
];

/** Shared by all instances: keys, limits and life times. `smtpUrl` is where the mails go. */
export function serviceEnv(smtpUrl: string): ServiceEnv {
  const { privateKey } = generateKeyPairSync('ed25519');
  const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'torture', alg: 'EdDSA' };
  return {
    ...inherited(),
    NODE_ENV: 'production',
    HOST: '127.0.0.1',
    PUBLIC_URL: 'https://auth.example.test',
    APP_URL: 'https://app.example.test',
    SMTP_URL: smtpUrl,
    MAIL_FROM: 'no-reply@example.test',
    ALLOW_UNENCRYPTED: 'smtp',
    LOG_LEVEL: 'warn',
    AUTH_SECRETS: `v1:${randomBytes(32).toString('base64url')}`,
    JWT_KEYS: JSON.stringify({ keys: [jwk] }),
    LEGACY_JWT_SECRET: LEGACY_SECRET,
    LEGACY_JWT_UNTIL: new Date(Date.now() + 86_400_000).toISOString(),
    ACCESS_TOKEN_TTL: '1d',
    BCRYPT_COST: '10',
    HASH_THREADS: '1',
    HASH_QUEUE_MAX: '1000',
    SESSIONS_MAX: '10000',
    REFRESH_LEEWAY: `${LEEWAY_MS}ms`,
    STORE_TIMEOUT: '4s',
    POSTGRES_POOL_MAX: '10',
    MONGO_POOL_MAX: '10',
    ...Object.fromEntries(LIMITS.map((name) => [name, '90000000/1h'])),
  };
}
