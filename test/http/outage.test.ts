import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { databaseUrl } from '../support/databases.ts';
import { freezeProcess } from '../support/faults.ts';
import { ownMongo, ownPostgres } from '../support/stores.ts';
import { isAlive, login, newEmail, newPassword, newPerson, resetBody } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

/** Processes that start and hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 240_000 };

/** The modes with one store: what the others do without their mirror is for the cutover's own tests. */
const ALONE = [
  { mode: 'mongo-only', variable: 'MONGO_URL', start: ownMongo },
  { mode: 'postgres-only', variable: 'DATABASE_URL', start: ownPostgres },
] as const;

/** The one that every PostgreSQL server has from the start. */
const DATABASE = 'postgres';

/** Every kind of request that needs the store. */
async function everything(app: TestApp, bearer: string, refreshToken: string): Promise<readonly Answer[]> {
  const client = app.client();
  const email = newEmail();
  return Promise.all([
    client.post('/auth/signup', { email, name: 'x', password: newPassword() }),
    client.post('/auth/login', { email, password: 'x' }),
    client.post('/auth/logout', undefined, { bearer }),
    client.get('/auth/refresh', { bearer: refreshToken }),
    client.post('/auth/verify-email', { token: 'x' }),
    client.post('/auth/forgot-password', { email }),
    client.post('/auth/reset-password', resetBody('x', 'long enough')),
    client.get('/auth/me', { bearer }),
    client.get('/auth/sessions', { bearer }),
    client.delete('/auth/me', { password: 'x' }, { bearer }),
    client.post('/auth/resend-verification', { email }),
  ]);
}

function expectUnavailable(answers: readonly Answer[]): void {
  for (const { status, body, headers, setCookies, tookMs } of answers) {
    expect([status, body.code]).toEqual([503, 'store_unavailable']);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(setCookies).toEqual([]);
    // A few time-outs of 500 ms one after another, and a busy machine; a hang would be endless.
    expect(tookMs).toBeLessThan(30_000);
  }
}

/** Each step must fit the time-out of this service, which on a busy machine takes some tries. */
const IN_TIME = { timeoutMs: 60_000 };

// Side by side: most of it is waiting for time-outs.
describe.concurrent.each(ALONE)('$mode', async ({ mode, variable, start }) => {
  const server = await start();
  const url = databaseUrl(server.url, DATABASE);
  const app = await startApp(mode, { env: { [variable]: url, STORE_TIMEOUT: '500ms' } });

  test(
    'a store that does not answer: 503 with Retry-After in bounded time; recovery without a restart',
    PATIENT,
    async () => {
      const ada = await eventually(() => newPerson(app), IN_TIME);
      const bearer = ada.accessToken;
      const frozen = await freezeProcess(server);
      try {
        expectUnavailable(await everything(app, bearer, ada.refreshToken));
        expect((await app.client().get('/livez')).status).toBe(200);
        await eventually(async () => expect((await app.client().get('/readyz')).status).toBe(503));
        expect((await app.client().get('/.well-known/jwks.json')).status).toBe(200);
        expect((await app.client().get('/auth/me')).status).toBe(401);
      } finally {
        frozen.thaw();
      }
      await eventually(async () => expect((await app.client().get('/readyz')).status).toBe(200), IN_TIME);
      const { text } = await app.client().get('/metrics');
      expect(text).toMatch(/^store_errors_total\{store="\w+",reason="[\w-]+"\} [1-9]/m);
      expect(text).toMatch(/^rate_limit_failures_total [1-9]/m);
      await eventually(
        async () => expect((await app.client().get('/auth/sessions', { bearer })).status).not.toBe(503),
        IN_TIME,
      );
      const bob = await eventually(() => newPerson(app), IN_TIME);
      await eventually(async () => expect(await isAlive(bob.client)).toBe(true), IN_TIME);
      await eventually(() => login(app, ada.email, ada.password), IN_TIME);
    },
  );

  test(
    'a store that is not there when the service starts: 503 until it is, then all works',
    PATIENT,
    async ({ onTestFinished }) => {
      const dataDir = await mkdtemp(join(tmpdir(), 'outage-'));
      onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
      const first = await start({ dataDir, onEnd: onTestFinished });
      const lateUrl = databaseUrl(first.url, DATABASE);
      await first.stop();
      const late = await startApp(mode, {
        env: { [variable]: lateUrl, STORE_TIMEOUT: '500ms' },
        inbox: app.inbox,
        onEnd: onTestFinished,
      });
      const client = late.client();
      const body = { email: newEmail(), name: 'x', password: newPassword() };
      const refused = await client.post('/auth/signup', body);
      expect([refused.status, refused.body.code]).toEqual([503, 'store_unavailable']);
      expect((await client.get('/readyz')).status).toBe(503);
      await start({ dataDir, port: Number(new URL(lateUrl).port), onEnd: onTestFinished });
      await eventually(
        async () => expect((await client.post('/auth/signup', body)).status).toBe(201),
        IN_TIME,
      );
      await eventually(async () => expect(await isAlive(client)).toBe(true), IN_TIME);
    },
  );
});
