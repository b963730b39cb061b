import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { describe, expect, test } from 'vitest';
import { buildApp } from '../../src/app.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { expectReady } from '../support/users.ts';

const token = randomBytes(32).toString('base64url');

function ask(app: TestApp, path: string, authorization?: string): Promise<Response> {
  const { port } = (app.app.admin as FastifyInstance).server.address() as AddressInfo;
  return fetch(
    `http://127.0.0.1:${port}${path}`,
    authorization === undefined ? {} : { headers: { authorization } },
  );
}

describe('with ADMIN_PORT', async () => {
  const app = await startApp('postgres-only', { env: { ADMIN_PORT: '0' } });

  test('metrics are there and not on the main listener', async () => {
    expect(await (await ask(app, '/metrics')).text()).toContain(
      '# TYPE http_request_duration_seconds histogram',
    );
    expect((await app.client().get('/metrics')).status).toBe(404);
  });

  test('health is on both', async () => {
    await expectReady(app);
    for (const path of ['/livez', '/readyz']) {
      expect((await ask(app, path)).status).toBe(200);
      expect((await app.client().get(path)).status).toBe(200);
    }
  });

  test('a fault is told to the log alone', async () => {
    const broken = await startApp('postgres-only', { env: { ADMIN_PORT: '0' } });
    broken.app.metrics.gauge('broken_gauge', 'Fails', () => {
      throw new Error('the cause');
    });
    const answer = await ask(broken, '/metrics');
    expect([answer.status, await answer.text()]).toEqual([500, '']);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('nothing else is there', async () => {
    for (const path of ['/auth/me', '/docs', '/dev/inbox']) expect((await ask(app, path)).status).toBe(404);
  });
});

describe('with ADMIN_TOKEN', async () => {
  const app = await startApp('postgres-only', { env: { ADMIN_PORT: '0', ADMIN_TOKEN: token } });

  test('every route wants exactly that token', async () => {
    for (const path of ['/metrics', '/livez', '/readyz', '/nowhere']) {
      for (const given of [undefined, '', token, `Bearer ${token}x`, `Bearer ${token.slice(1)}`, 'Bearer ']) {
        const answer = await ask(app, path, given);
        expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
        expect(await answer.text()).toBe('');
      }
    }
    expect((await ask(app, '/metrics', `Bearer ${token}`)).status).toBe(200);
  });
});

test('a weak token opens no other address than loopback, whoever made the configuration', async () => {
  const app = await startApp('postgres-only');
  for (const adminToken of [null, 'short', 'change-me-change-me-change-me-change-me']) {
    const config = { ...app.config, adminHost: '0.0.0.0', adminPort: 0, adminToken };
    await expect(buildApp({ config })).rejects.toThrow('strong ADMIN_TOKEN');
  }
});
