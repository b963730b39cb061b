import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { startMongo } from '../../db/embedded/mongo.ts';
import { startPostgres } from '../../db/embedded/postgres.ts';
import { HTTP_MODES, type Mode, startApp, type TestApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { createDatabase, databaseUrl } from '../support/databases.ts';
import { freeze, thaw } from '../support/freeze.ts';
import { ownMongo, ownPostgres } from '../support/stores.ts';
import { isAlive, login, newEmail, newPassword, newPerson, resetBody } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

/** Processes that start and hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 120_000 };

/** The authority of a mode on a server of this file's own. */
async function ownAuthority(
  mode: Mode,
): Promise<{ server: { readonly pid: number }; env: Record<string, string> }> {
  if (mode === 'mongo-only') {
    const server = await ownMongo();
    return { server, env: { MONGO_URL: databaseUrl(server.url, 'outage') } };
  }
  const server = await ownPostgres();
  return { server, env: { DATABASE_URL: await createDatabase(server.url, 'outage') } };
}

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
    expect(tookMs).toBeLessThan(10_000);
  }
}

// Not `inEveryMode`: what a mode does without its mirror is for the cutover's own tests.
describe.each(HTTP_MODES.filter((mode) => mode === 'mongo-only' || mode === 'postgres-only'))(
  '%s',
  async (mode) => {
    const { server, env } = await ownAuthority(mode);
    const app = await startApp(mode, { env: { ...env, STORE_TIMEOUT: '500ms' } });

    test(
      'a store that does not answer: 503 with Retry-After in bounded time; recovery without a restart',
      PATIENT,
      async () => {
        const ada = await newPerson(app);
        const bearer = ada.accessToken;
        freeze(server);
        try {
          expectUnavailable(await everything(app, bearer, ada.refreshToken));
          expect((await app.client().get('/livez')).status).toBe(200);
          await eventually(async () => expect((await app.client().get('/readyz')).status).toBe(503));
          expect((await app.client().get('/.well-known/jwks.json')).status).toBe(200);
          expect((await app.client().get('/auth/me')).status).toBe(401);
        } finally {
          thaw(server);
        }
        await eventually(async () => expect((await app.client().get('/readyz')).status).toBe(200));
        await eventually(async () =>
          expect((await app.client().get('/auth/sessions', { bearer })).status).not.toBe(503),
        );
        const bob = await newPerson(app);
        expect(await isAlive(bob.client)).toBe(true);
        await login(app, ada.email, ada.password);
      },
    );

    test(
      'a store that is not there when the service starts: 503 until it is, then all works',
      PATIENT,
      async () => {
        const dataDir = await mkdtemp(join(tmpdir(), 'outage-'));
        onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
        const start = async (port?: number) => {
          const options = { dataDir, ...(port !== undefined && { port }), log: () => {} };
          const server =
            mode === 'mongo-only'
              ? await startMongo({ ...options, toolsDir: inject('toolsDir') })
              : await startPostgres(options);
          onTestFinished(() => server.stop());
          return server;
        };
        const first = await start();
        const url = mode === 'mongo-only' ? databaseUrl(first.url, 'late') : first.url;
        await first.stop();
        const late = await startApp(mode, {
          env: { [mode === 'mongo-only' ? 'MONGO_URL' : 'DATABASE_URL']: url, STORE_TIMEOUT: '500ms' },
          inbox: app.inbox,
          onEnd: onTestFinished,
        });
        const client = late.client();
        const body = { email: newEmail(), name: 'x', password: newPassword() };
        const refused = await client.post('/auth/signup', body);
        expect([refused.status, refused.body.code]).toEqual([503, 'store_unavailable']);
        expect((await client.get('/readyz')).status).toBe(503);
        await start(Number(new URL(url).port));
        await eventually(async () => expect((await client.post('/auth/signup', body)).status).toBe(201), {
          timeoutMs: 60_000,
        });
        expect(await isAlive(client)).toBe(true);
      },
    );
  },
);
