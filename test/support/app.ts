/** The real service on a database of its own, in any mode, listening on a free port, with a clock of the test's. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { afterAll, describe } from 'vitest';
import { MODES } from '../../plugins/config/modes.ts';
import { type Config, loadConfig } from '../../plugins/config.ts';
import { buildApp } from '../../src/app.ts';
import { expectStoresAlike } from './at-rest.ts';
import { calmDown } from './calm.ts';
import { type Client, createClient } from './client.ts';
import { type Inbox, startInbox } from './inbox.ts';
import { createResponseCheck, type OpenApiDocument, type ResponseCheck } from './openapi.ts';
import { newMongoDatabase, newPostgresDatabase } from './stores.ts';

/** Which stores a mode needs, and which of them decides. */
export const STORES = {
  'mongo-only': { mongo: true, postgres: false, authority: 'mongo' },
  'dual-write': { mongo: true, postgres: true, authority: 'mongo' },
  'shadow-read': { mongo: true, postgres: true, authority: 'mongo' },
  'postgres-primary': { mongo: true, postgres: true, authority: 'postgres' },
  'postgres-only': { mongo: false, postgres: true, authority: 'postgres' },
} as const;

export type Mode = keyof typeof STORES;

/** The modes the HTTP suite runs in. */
export const HTTP_MODES: readonly Mode[] = MODES;

/** Defines the same tests for every mode. */
export function inEveryMode(define: (mode: Mode) => Promise<void>): void {
  describe.each(HTTP_MODES)('%s', define);
}

export interface Clock {
  readonly now: () => Date;
  /** Lets time pass; it stands still otherwise. */
  readonly advance: (ms: number) => void;
}

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export interface TestApp {
  readonly mode: Mode;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly app: FastifyInstance;
  readonly config: Config;
  readonly clock: Clock;
  readonly inbox: Inbox;
  /** What it was configured with, for another instance on the same database. */
  readonly env: Readonly<Record<string, string>>;
  readonly check: ResponseCheck;
  readonly document: OpenApiDocument;
  /** Users that were removed from the stores behind its back. */
  readonly removed: Set<string>;
  /** Runs while both stores answer: what reaches into them behind its back, also in a suite with a store in trouble. */
  readonly undisturbed: <T>(work: () => Promise<T>) => Promise<T>;
  /** A browser or an API client: a jar of its own. */
  client(): Client;
}

export interface AppSettings {
  /** Environment variables on top of the test's defaults. */
  readonly env?: Readonly<Record<string, string>>;
  /** Another instance beside this one: same database, keys, clock and inbox. */
  readonly beside?: TestApp;
  readonly now?: () => Date;
  /** Where its mails go; one of its own unless given. */
  readonly inbox?: Inbox;
  /** As often as in production the service looks whether its mode has changed: for tests in which it does. */
  readonly pace?: 'usual';
  /** Where to register the closing: `afterAll` unless started within a test (`onTestFinished`). */
  readonly onEnd?: (close: () => Promise<void>) => void;
}

/**
 * Starts it; closed after the file or `describe` it is called in. Where there is a mirror, the last of the apps on one
 * pair of databases is not closed before both hold the same.
 */
export async function startApp(mode: Mode, settings: AppSettings = {}): Promise<TestApp> {
  const { beside, onEnd = afterAll } = settings;
  const inbox = settings.inbox ?? beside?.inbox ?? (await startInbox());
  const env = { ...(beside?.env ?? (await baseEnv(mode, inbox, settings))), ...settings.env };
  const config = loadConfig(env, { production: false });
  const clock = beside?.clock ?? createClock();
  const app = await buildApp({ config, now: settings.now ?? clock.now });
  const removed = beside?.removed ?? new Set<string>();
  const undisturbed = beside?.undisturbed ?? ((work) => work());
  const mirrored = STORES[mode].mongo && STORES[mode].postgres;
  let started: TestApp | null = null;
  onEnd(async () => {
    try {
      if (mirrored && beside === undefined && started !== null) await expectStoresAlike(started);
    } finally {
      await app.close();
    }
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  if (beside === undefined && !bringsStores(settings) && settings.pace !== 'usual') await calmDown(app);
  const { port } = app.server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  // Not asked for over HTTP: a service that sheds load would not tell it.
  const document = JSON.parse(JSON.stringify(app.swagger())) as OpenApiDocument;
  const check = createResponseCheck(document);
  started = {
    mode,
    url,
    app,
    config,
    clock,
    inbox,
    env,
    check,
    document,
    removed,
    undisturbed,
    client: () => createClient(url, check),
  };
  return started;
}

/** The URLs of fresh databases for this mode, as environment variables; dropped after the file. */
export async function storeEnv(
  mode: Mode,
  newPostgres: () => Promise<string> = newPostgresDatabase,
): Promise<Record<string, string>> {
  const { mongo, postgres } = STORES[mode];
  return {
    BACKEND_MODE: mode,
    ...(mongo && { MONGO_URL: newMongoDatabase() }),
    ...(postgres && { DATABASE_URL: await newPostgres() }),
  };
}

const bringsStores = ({ env = {} }: AppSettings): boolean => 'MONGO_URL' in env || 'DATABASE_URL' in env;

async function baseEnv(mode: Mode, inbox: Inbox, settings: AppSettings): Promise<Record<string, string>> {
  return {
    ...(bringsStores(settings) ? { BACKEND_MODE: mode } : await storeEnv(mode)),
    ...newKeys(),
    PUBLIC_URL: 'http://auth.example.test',
    APP_URL: 'https://app.example.test/account',
    SMTP_URL: inbox.url,
    LOG_LEVEL: 'silent',
    BCRYPT_COST: '4',
    // Each more takes a third of what a start costs.
    HASH_THREADS: '1',
    STORE_TIMEOUT: '10s',
    POSTGRES_POOL_MAX: '10',
    MONGO_POOL_MAX: '20',
  };
}

/** Fresh keys as the environment holds them. */
export function newKeys(): { readonly AUTH_SECRETS: string; readonly JWT_KEYS: string } {
  return {
    AUTH_SECRETS: `v1:${randomBytes(32).toString('base64url')}`,
    JWT_KEYS: JSON.stringify({ keys: [newJwk('EdDSA')] }),
  };
}

/** A fresh private key with a kid. */
export function newJwk(alg: 'EdDSA' | 'ES256'): Readonly<Record<string, unknown>> & { readonly kid: string } {
  const { privateKey } =
    alg === 'EdDSA' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: `test-${randomBytes(4).toString('hex')}`, alg };
}

function createClock(): Clock {
  let at = Date.now();
  return {
    now: () => new Date(at),
    advance: (ms) => {
      at += ms;
    },
  };
}

export async function fetchDocument(url: string): Promise<OpenApiDocument> {
  const answer = await createClient(url, null).get('/docs/json');
  return JSON.parse(answer.text) as OpenApiDocument;
}

/** A random string that cannot be mistaken for anything else in a log. */
export const unique = (word: string): string => `${word}-${randomBytes(5).toString('hex')}`;
