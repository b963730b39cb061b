import { describe, expect, test } from 'vitest';
import { inEveryMode, startApp } from '../support/app.ts';
import { unusedPort } from '../support/inbox.ts';

inEveryMode(async (mode) => {
  const app = await startApp(mode);

  test('/readyz tells mode and stores, and nothing of where they are', async () => {
    const answer = await app.client().get('/readyz');
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toEqual({
      status: 'ready',
      mode: { configured: mode, effective: mode },
      stores: [{ name: mode === 'mongo-only' ? 'mongo' : 'postgres', role: 'authority', up: true }],
    });
  });

  test('neither is cached', async () => {
    for (const path of ['/livez', '/readyz']) {
      expect((await app.client().get(path)).headers['cache-control']).toBe('no-store');
    }
  });
});

describe('a store that is down', async () => {
  const url = `postgres://nobody@127.0.0.1:${await unusedPort()}/none`;
  const app = await startApp('postgres-only', { env: { DATABASE_URL: url, STORE_TIMEOUT: '500ms' } });

  test('makes the service not ready, but not dead', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => app.client().get('/readyz')));
    for (const answer of answers) {
      expect(answer.status).toBe(503);
      expect(JSON.parse(answer.text)).toMatchObject({ status: 'store-unavailable', stores: [{ up: false }] });
    }
    expect((await app.client().get('/livez')).status).toBe(200);
  });
});

test('a service that is stopping is not ready, but still serves', async () => {
  const app = await startApp('postgres-only');
  app.app.shutdown.begin();
  const answer = await app.client().get('/readyz');
  expect([answer.status, JSON.parse(answer.text).status]).toEqual([503, 'stopping']);
  expect((await app.client().get('/auth/me')).status).toBe(401);
});
