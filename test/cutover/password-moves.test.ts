/** What people's passwords go through while the system moves: each mode takes them as the one before did. */
import { randomBytes } from 'node:crypto';
import { afterAll, expect, onTestFinished, test, vi } from 'vitest';
import { openBulk, repair, runBackfill, verify } from '../../cutover/copy/index.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import type { Mode } from '../../cutover/mode.ts';
import { move, setSetting } from '../../cutover/operator/index.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import type { StoreName } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { startApp, unique } from '../support/app.ts';
import { newMongoDatabase, newPostgresDatabase } from '../support/stores.ts';
import { login, newPerson } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

const newLong = (): string => unique('long pass phrase').padEnd(80, '.');

const urls = { MONGO_URL: newMongoDatabase(), DATABASE_URL: await newPostgresDatabase() };
const AUTH_SECRETS = `2026-11:${randomBytes(32).toString('base64url')}`;
const app = await startApp('mongo-only', { env: { ...urls, AUTH_SECRETS } });
const bulk = openBulk({ mongoUrl: urls.MONGO_URL, postgresUrl: urls.DATABASE_URL });
afterAll(() => bulk.close());

const stores = { mongo: storeOf('mongo'), postgres: storeOf('postgres') };
const environment = systemEnvironment();
const operator = { stores, environment, telemetry: SILENT, report: () => {} };
const scope = { stores, ...bulk, environment, telemetry: SILENT, retentionMs: app.config.retentionMs };

function storeOf(name: StoreName): Store {
  const store = app.app.stores.find((each) => each.name === name);
  if (store === undefined) throw new Error(`there is no ${name}`);
  return store;
}

async function go(to: Mode, direction: 'promote' | 'rollback' = 'promote'): Promise<void> {
  const force = { reason: 'a test' };
  const request = { to, direction, force, noForeignWriters: true, timeoutMs: 30_000 } as const;
  await eventually(async () => expect(await move(operator, request)).toMatchObject({ kind: 'done' }), {
    timeoutMs: 60_000,
  });
}

async function expectAlike(): Promise<void> {
  await eventually(
    async () => expect(await verify(scope)).toMatchObject({ clean: true, differing: 0, lagging: 0 }),
    { timeoutMs: 60_000 },
  );
}

test('a long password under a key named by a date is good all the way up and back', {
  timeout: 240_000,
}, async () => {
  for (const key of ['poll-ms', 'heartbeat-ms']) await setSetting(operator, key, '50');
  let password = newLong();
  const { email } = await newPerson(app, { password });

  async function change(): Promise<void> {
    const { client } = await login(app, email, password);
    const changed = newLong();
    const body = { currentPassword: password, newPassword: changed };
    expect((await client.post('/auth/change-password', body)).status).toBe(200);
    password = changed;
  }

  /** As a copy did that did not know such hashes. */
  async function takeBack(): Promise<void> {
    await expectAlike();
    await bulk.postgres.query('update users set password_hash = null');
    expect(await verify(scope)).toMatchObject({ clean: false, differing: 1 });
    expect(await repair(scope)).toMatchObject({ found: 1, touched: 1 });
    await expectAlike();
  }

  await change();
  await go('dual-write');
  expect(await runBackfill(scope, { from: 'mongo', onBad: 'rollback' })).toMatchObject({
    outcome: 'complete',
    cleaned: {},
  });
  await takeBack();
  for (const [to, direction] of [
    ['shadow-read', 'promote'],
    ['postgres-primary', 'promote'],
    ['shadow-read', 'rollback'],
  ] as const) {
    await change();
    await expectAlike();
    await go(to, direction);
    await login(app, email, password);
  }
  await change();
  await login(app, email, password);
});

test('authority moves while a password is checked: the fence does not wait, and the login goes on in the other store', {
  timeout: 120_000,
}, async () => {
  const moving = await startApp('shadow-read', { onEnd: (close) => onTestFinished(close), pace: 'usual' });
  const { cutover, mongo, passwords, postgres } = moving.app;
  if (mongo === null || postgres === null) throw new Error('shadow-read has both stores');
  const { email, password } = await newPerson(moving);
  const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const verifyPassword = passwords.verify;
  vi.spyOn(passwords, 'verify').mockImplementationOnce(async (...given) => {
    begun.resolve();
    await gate.promise;
    return verifyPassword(...given);
  });
  let answered = false;
  const under = login(moving, email, password).finally(() => {
    answered = true;
  });
  await begun.promise;
  try {
    const force = { reason: 'a test' };
    const to = 'postgres-primary';
    const request = { to, direction: 'promote', force, noForeignWriters: true, timeoutMs: 60_000 } as const;
    const moved = await move({ ...operator, stores: { mongo, postgres } }, request);
    expect(moved).toMatchObject({ kind: 'done' });
    await eventually(() => cutover.status().effective === 'postgres-primary');
    // All the time between the two steps of the login nothing of it was in any store's hands.
    expect(answered).toBe(false);
  } finally {
    gate.resolve();
  }
  const { client, refreshToken } = await under;
  const opened = await postgres
    .at({ epoch: 2, pending: false })
    .findSession(refreshToken.split('.')[0] ?? '');
  expect(opened?.user?.email).toBe(email);
  expect((await client.get('/auth/me')).status).toBe(200);
});
