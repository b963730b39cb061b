import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigError, configVariables, loadConfig } from '../../plugins/config.ts';
import { renderExample } from '../docs/example.ts';

const random = () => randomBytes(32).toString('base64url');
const pem = () =>
  generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const good = {
  NODE_ENV: 'production',
  BACKEND_MODE: 'postgres-primary',
  MONGO_URL: 'mongodb://a.example,b.example:27018/auth?replicaSet=rs0&tls=true',
  DATABASE_URL: 'postgres://auth@db.example:5432/auth?sslmode=verify-full',
  PUBLIC_URL: 'https://auth.example.com',
  APP_URL: 'https://app.example.com/account/',
  SMTP_URL: 'smtp://mail.example.com:587',
  MAIL_FROM: 'Auth <no-reply@example.com>',
  AUTH_SECRETS: `v1:${random()}`,
  JWT_KEYS: pem(),
};

function problemsOf(env: Record<string, string | undefined>, production = true): readonly string[] {
  try {
    loadConfig(env, { production });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

test('whoever is told to stop in production gives a load balancer time to notice', () => {
  const delayOf = (env: Record<string, string>, production: boolean) =>
    loadConfig({ ...good, ...env }, { production }).shutdownDelayMs;
  expect(delayOf({}, true)).toBe(5_000);
  expect(delayOf({}, false)).toBe(0);
  expect(delayOf({ SHUTDOWN_DELAY: '0s' }, true)).toBe(0);
});

describe('development', () => {
  test('needs nothing', () => {
    const config = loadConfig({}, { production: false });
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 3000,
      publicUrl: 'http://127.0.0.1:3000',
      appUrl: 'http://127.0.0.1:3000',
      backendMode: 'mongo-only',
      secureCookies: false,
      accessTokenTtlMs: 900_000,
      sessionIdleMs: 14 * 86_400_000,
      legacyJwt: null,
      trustProxy: false,
      corsOrigins: [],
    });
    expect(config.jwtKeys).toHaveLength(1);
    expect(config.authSecrets).toHaveLength(1);
  });

  test.each([256, 1024])('load is shed before a heap of %i MiB is full', (mebibytes) => {
    const program = `
      import { loadConfig } from './plugins/config.ts';
      console.log(loadConfig({}, { production: false }).shedHeapMaxBytes);
    `;
    const options = [`--max-old-space-size=${mebibytes}`, '--input-type=module', '--eval', program];
    const shedAt = Number(execFileSync(process.execPath, options, { cwd: root, encoding: 'utf8' }));
    expect(shedAt / 1024 / 1024).toBeLessThan(mebibytes);
    expect(shedAt / 1024 / 1024).toBeGreaterThan(mebibytes / 2);
  });

  test('keys are made up anew each time', () => {
    const secrets = [1, 2].map(() =>
      loadConfig({}, { production: false }).authSecrets[0]?.secret.toString('hex'),
    );
    expect(secrets[0]).not.toBe(secrets[1]);
  });

  test('https makes cookies secure', () => {
    expect(loadConfig({ PUBLIC_URL: 'https://x.test' }, { production: false }).secureCookies).toBe(true);
  });
});

describe('values', () => {
  test.each([
    ['PORT', 'http'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['ACCESS_TOKEN_TTL', '15'],
    ['ACCESS_TOKEN_TTL', '15 m'],
    ['RETENTION', '6d'],
    ['BACKEND_MODE', 'mongo'],
    ['LIMIT_LOGIN_ADDRESS', '1000'],
    ['LIMIT_LOGIN_ADDRESS', '0/1m'],
    ['LIMIT_LOGIN_ADDRESS', '5/25h'],
    ['TRUST_PROXY', 'true'],
    ['TRUST_PROXY', '10.0.0.0/33'],
    ['TRUST_PROXY', '10.0.0.1, nonsense'],
    ['CORS_ORIGINS', '*'],
    ['CORS_ORIGINS', 'https://a.test/path'],
    ['PUBLIC_URL', 'https://a.test/path'],
    ['PUBLIC_URL', 'ftp://a.test'],
    ['APP_URL', 'https://user@a.test'],
    ['APP_URL', 'https://a.test/#x'],
    ['REQUIRE_VERIFIED_EMAIL', 'yes'],
    ['MONGO_URL', 'postgres://x/y'],
    ['MAIL_FROM', 'no-reply@x.test\r\nBcc: a@b.test'],
    ['MAIL_FROM', 'info,no-reply@x.test'],
    ['MAIL_FROM', 'Auth <info,no-reply@x.test>'],
    ['MAIL_FROM', 'Auth, Inc. <no-reply@x.test>'],
    ['MAIL_FROM', 'Eve <eve@x.test>, Auth <no-reply@x.test>'],
    ['SERVICE_NAME', 'two\nlines'],
    ['LEGACY_JWT_UNTIL', 'soon'],
    ['LEGACY_JWT_UNTIL', '2030-02-31T00:00'],
    ['LEGACY_JWT_UNTIL', '2030-02-31'],
    ['LEGACY_JWT_UNTIL', '2029-02-29T12:00:00+01:00'],
    ['LEGACY_JWT_SUBJECT', ','],
    ['HOST', 'not a host!'],
    ['ADMIN_HOST', 'http://127.0.0.1'],
    ['DATABASE_URL', 'postgres://db.example:port/auth'],
    ['DATABASE_URL', 'postgres://db.example/auth?sslmode=verify-full&sslrootcert=/nope'],
    ['COOKIE_SAMESITE_ACCESS', 'lax'],
    ['AUTH_SECRETS', 'v1:short'],
    ['JWT_KEYS', 'nonsense'],
  ])('%s=%s is a problem of that variable alone', (name, value) => {
    const problems = problemsOf({ [name]: value }, false);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(new RegExp(`^${name}: `));
    if (value.length > 6) expect(problems[0]).not.toContain(value);
  });

  test('an unknown mode is told all five', () => {
    expect(problemsOf({ BACKEND_MODE: 'both' }, false)).toEqual([
      'BACKEND_MODE: must be one of mongo-only, dual-write, shadow-read, postgres-primary, postgres-only',
    ]);
  });

  test('are read as what they are', () => {
    const config = loadConfig(
      {
        TRUST_PROXY: 'loopback, 10.0.0.0/8',
        CORS_ORIGINS: 'https://a.test,https://b.test:8443',
        LIMIT_LOGIN_ADDRESS: '5/10m',
        LIMIT_MAIL_ACCOUNT: 'off',
        STORE_TIMEOUT: '500ms',
        COOKIE_SAMESITE_REFRESH: 'Lax',
        APP_URL: 'https://app.test/account/',
        LEGACY_JWT_SECRET: ' kept as it is ',
        LEGACY_JWT_UNTIL: '2030-01-31',
        LEGACY_JWT_HEADER: 'X-Token',
        HASH_THREADS: '',
        MAIL_FROM: '"Auth, Inc." <no-reply@x.test>',
        HOST: '::',
      },
      { production: false },
    );
    expect(config).toMatchObject({
      trustProxy: ['loopback', '10.0.0.0/8'],
      corsOrigins: ['https://a.test', 'https://b.test:8443'],
      limits: { loginAddress: { capacity: 5, windowMs: 600_000 }, mailAccount: null },
      storeTimeoutMs: 500,
      cookieSameSiteRefresh: 'lax',
      appUrl: 'https://app.test/account',
      mailFrom: '"Auth, Inc." <no-reply@x.test>',
      host: '::',
      legacyJwt: {
        secret: ' kept as it is ',
        until: new Date('2030-01-31T23:59:59.999Z'),
        header: 'x-token',
      },
    });
  });
});

describe('secrets from files', () => {
  test('are read without their last line end', () => {
    const file = join(folder, 'url');
    writeFileSync(file, 'mongodb://127.0.0.1/auth\n');
    expect(loadConfig({ MONGO_URL_FILE: file }, { production: false }).mongoUrl).toBe(
      'mongodb://127.0.0.1/auth',
    );
  });

  test('every secret has one, and nothing else', () => {
    for (const { name, secret } of configVariables) {
      const problems = problemsOf({ [`${name}_FILE`]: join(folder, 'missing') }, false);
      expect(problems.map((line) => line.split(':')[0])).toEqual(secret ? [name] : []);
    }
  });

  test('one that is empty, or set twice, is a problem', () => {
    const file = join(folder, 'empty');
    writeFileSync(file, '\n');
    expect(problemsOf({ SMTP_URL_FILE: file }, false)).toHaveLength(1);
    expect(problemsOf({ SMTP_URL_FILE: file, SMTP_URL: 'smtp://x' }, false)).toHaveLength(1);
  });
});

describe('production', () => {
  test('takes a complete configuration', () => {
    expect(problemsOf(good)).toEqual([]);
    expect(loadConfig(good, { production: true })).toMatchObject({
      secureCookies: true,
      smtpTlsRequired: true,
    });
  });

  test('names everything that is missing at once', () => {
    const names = problemsOf({}).map((line) => line.split(':')[0]);
    expect(names.sort()).toEqual(
      ['APP_URL', 'AUTH_SECRETS', 'JWT_KEYS', 'MAIL_FROM', 'MONGO_URL', 'PUBLIC_URL', 'SMTP_URL'].sort(),
    );
  });

  test('one store is enough, for it may know better than BACKEND_MODE; with none, those of the mode are missing', () => {
    const { MONGO_URL, DATABASE_URL, ...rest } = good;
    expect(problemsOf({ ...rest, BACKEND_MODE: 'mongo-only', MONGO_URL })).toEqual([]);
    expect(problemsOf({ ...rest, BACKEND_MODE: 'postgres-only', DATABASE_URL })).toEqual([]);
    expect(problemsOf({ ...rest, BACKEND_MODE: 'mongo-only', DATABASE_URL })).toEqual([]);
    expect(problemsOf({ ...rest, BACKEND_MODE: 'dual-write', DATABASE_URL })).toEqual([]);
    for (const mode of ['dual-write', 'shadow-read', 'postgres-primary']) {
      const names = problemsOf({ ...rest, BACKEND_MODE: mode }).map((line) => line.split(':')[0]);
      expect(names).toEqual(['MONGO_URL', 'DATABASE_URL']);
    }
  });

  test.each<[string, Record<string, string>]>([
    ['PUBLIC_URL', { PUBLIC_URL: 'http://auth.example.com' }],
    ['APP_URL', { APP_URL: 'http://app.example.com' }],
    ['CORS_ORIGINS', { CORS_ORIGINS: 'http://app.example.com' }],
    ['BCRYPT_COST', { BCRYPT_COST: '9' }],
    ['MONGO_URL', { MONGO_URL: 'mongodb://db.example/auth' }],
    ['MONGO_URL', { MONGO_URL: 'mongodb://127.0.0.1,db.example/auth' }],
    ['MONGO_URL', { MONGO_URL: 'mongodb://db.example/auth?tls=true&tlsAllowInvalidCertificates=true' }],
    ['MONGO_URL', { MONGO_URL: 'mongodb://db.example/?tls=true' }],
    ['DATABASE_URL', { DATABASE_URL: 'postgres://db.example/auth' }],
    ['DATABASE_URL', { DATABASE_URL: 'postgres://db.example/auth?sslmode=no-verify' }],
    ['DATABASE_URL', { DATABASE_URL: 'postgres://db.example/auth?sslmode=require&uselibpqcompat=true' }],
    ['DATABASE_URL', { DATABASE_URL: 'postgres://localhost@db.example/auth' }],
    ['DATABASE_URL', { DATABASE_URL: 'postgres://db.example/auth?SSLMODE=verify-full' }],
    ['DATABASE_URL', { DATABASE_URL: 'postgres:///auth' }],
    ['DATABASE_URL', { DATABASE_URL: 'postgres://127.0.0.1/auth?host=db.example' }],
    ['DATABASE_URL', { DATABASE_URL: 'postgres://u:p@d%zz/auth' }],
    ['SMTP_URL', { SMTP_URL: 'smtp://mail.example.com?ignoreTLS=true' }],
    ['SMTP_URL', { SMTP_URL: 'smtp://mail.example.com?ignoreTLS=1' }],
    ['SMTP_URL', { SMTP_URL: 'smtp://mail.example.com?requireTLS=0' }],
    ['SMTP_URL', { SMTP_URL: 'smtp://mail.example.com?requireTLS=' }],
    ['SMTP_URL', { SMTP_URL: 'smtp://mail.example.com?tls.rejectUnauthorized=0' }],
    ['LOG_PRETTY', { LOG_PRETTY: 'true' }],
    ['AUTH_SECRETS', { AUTH_SECRETS: `v1:${'a'.repeat(43)}` }],
    ['LEGACY_JWT_UNTIL', { LEGACY_JWT_SECRET: random() }],
    ['ADMIN_TOKEN', { ADMIN_PORT: '9000', ADMIN_HOST: '0.0.0.0' }],
    [
      'ADMIN_TOKEN',
      { ADMIN_PORT: '9000', ADMIN_HOST: '0.0.0.0', ADMIN_TOKEN: 'change-me-please-change-me-please!' },
    ],
    ['RETENTION', { RETENTION: '1d' }],
    ['SMTP_URL', { SMTP_URL: 'smtp://mail.example.com?logger=true&debug=true' }],
    ['SMTP_URL', { SMTP_URL: 'smtp://127.0.0.1?Debug=1' }],
    ['NODE_TLS_REJECT_UNAUTHORIZED', { NODE_TLS_REJECT_UNAUTHORIZED: '0' }],
  ])('refuses %s of %o', (name, env) => {
    const problems = problemsOf({ ...good, ...env });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(new RegExp(`^${name}: `));
  });

  test('takes the old service’s secret as weak as it is: its end date bounds the harm', () => {
    expect(problemsOf({ ...good, LEGACY_JWT_SECRET: 'short', LEGACY_JWT_UNTIL: '2030-01-01' })).toEqual([]);
  });

  test('unencrypted ways need an explicit word each, and none on this machine', () => {
    const clear = {
      MONGO_URL: 'mongodb://db.example/auth',
      DATABASE_URL: 'postgres://db.example/auth',
      SMTP_URL: 'smtp://mail.example?ignoreTLS=true',
    };
    expect(problemsOf({ ...good, ...clear })).toHaveLength(3);
    expect(problemsOf({ ...good, ...clear, ALLOW_UNENCRYPTED: 'mongo,smtp' })).toHaveLength(1);
    expect(problemsOf({ ...good, ...clear, ALLOW_UNENCRYPTED: 'mongo, postgres, smtp' })).toEqual([]);
    const local = {
      MONGO_URL: 'mongodb://user:p%40ss@127.0.0.1:27017,localhost/auth',
      DATABASE_URL: 'postgres://auth@[::1]:5432/auth',
      SMTP_URL: 'smtp://localhost:1025',
    };
    expect(problemsOf({ ...good, ...local })).toEqual([]);
    const socket = { DATABASE_URL: 'postgres:///auth?host=/var/run/postgresql' };
    expect(problemsOf({ ...good, ...local, ...socket })).toEqual([]);
  });

  test('no problem repeats a secret', () => {
    const secret = 'hunter2hunter2';
    const env = {
      DATABASE_URL: `x://${secret}`,
      MONGO_URL: `mongodb://u:${secret}@db.example/`,
      SMTP_URL: `http://u:${secret}@x`,
      AUTH_SECRETS: secret,
      JWT_KEYS: `{"keys":"${secret}"`,
      ADMIN_TOKEN: secret,
      ADMIN_PORT: '1',
      LEGACY_JWT_SECRET: secret,
    };
    const problems = problemsOf({ ...good, ...env });
    expect(problems.length).toBeGreaterThanOrEqual(Object.keys(env).length - 1);
    expect(problems.join('\n')).not.toContain('hunter2');
  });
});

describe('.env.example', () => {
  const example = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');

  test('holds every variable and no other', () => {
    expect(Object.keys(parseEnv(example)).sort()).toEqual(configVariables.map(({ name }) => name).sort());
  });

  test('is what the table renders', async () => {
    await expect(renderExample()).toMatchFileSnapshot('../../.env.example');
  });

  test('taken as it is, it configures what nothing at all configures', () => {
    const { authSecrets: _a, jwtKeys: _b, ...empty } = loadConfig({}, { production: false });
    const { authSecrets: _c, jwtKeys: _d, ...copied } = loadConfig(parseEnv(example), { production: false });
    expect(copied).toEqual(empty);
  });
});
