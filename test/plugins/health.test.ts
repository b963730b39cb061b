import type { FastifyInstance } from 'fastify';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { freePort } from '../../db/embedded/ports.ts';
import { createHealth } from '../../plugins/health/check.ts';
import { inEveryMode, STORES, startApp } from '../support/app.ts';
import { eventually } from '../support/wait.ts';

inEveryMode(async (mode) => {
  const app = await startApp(mode);

  test('/readyz tells mode and stores, and nothing of where they are', async () => {
    const authority = mode.startsWith('postgres') ? 'postgres' : 'mongo';
    const stores = (['mongo', 'postgres'] as const).filter((name) => STORES[mode][name]);
    // A store that takes longer than it is waited for counts as down until the next look.
    await eventually(async () => {
      const answer = await app.client().get('/readyz');
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.text)).toEqual({
        status: 'ready',
        problem: null,
        mode: { configured: mode, effective: mode },
        epoch: 1,
        instance: expect.stringMatching(/^[0-9a-f]{24}$/),
        stores: stores.map((name) => ({ name, role: name === authority ? 'authority' : 'other', up: true })),
      });
    });
  });

  test('neither is cached', async () => {
    for (const path of ['/livez', '/readyz']) {
      expect((await app.client().get(path)).headers['cache-control']).toBe('no-store');
    }
  });
});

describe('a store that is down', async () => {
  const url = `postgres://nobody@127.0.0.1:${await freePort()}/none`;
  const app = await startApp('postgres-only', { env: { DATABASE_URL: url, STORE_TIMEOUT: '500ms' } });

  test('makes the service not ready, but not dead', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => app.client().get('/readyz')));
    for (const answer of answers) {
      expect(answer.status).toBe(503);
      expect(JSON.parse(answer.text)).toMatchObject({
        status: 'mode-unknown',
        problem: 'no mode is recorded yet, and postgres must be asked before one is',
        mode: { configured: 'postgres-only', effective: null },
        stores: [{ role: 'other', up: false }],
      });
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

test('a store that gets authority while it is asked is given the time of one that decides', async () => {
  const answer = Promise.withResolvers<void>();
  let authority = 'mongo';
  let looks = 0;
  const app = {
    config: { storeTimeoutMs: 60_000 },
    shutdown: { begun: false },
    stores: [
      { name: 'mongo', ping: async () => {} },
      { name: 'postgres', ping: () => answer.promise },
    ],
    standing() {
      looks += 1;
      // By then PostgreSQL counts as down, as the other one.
      if (looks === 2) {
        authority = 'postgres';
        answer.resolve();
      }
      return { mode: {}, epoch: 2, instance: 'a', authority, serves: 'yes', problem: null };
    },
  };
  const health = createHealth(app as unknown as FastifyInstance);
  expect(await health.check()).toMatchObject({
    status: 'ready',
    stores: [
      { name: 'mongo', role: 'other', up: true },
      { name: 'postgres', role: 'authority', up: true },
    ],
  });
});

test('a store that decides nothing and was down is not waited for again', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  let isBack = false;
  let answer = Promise.withResolvers<void>();
  const app = {
    config: { storeTimeoutMs: 60_000 },
    shutdown: { begun: false },
    stores: [
      { name: 'mongo', ping: () => (isBack ? Promise.resolve() : answer.promise) },
      { name: 'postgres', ping: async () => {} },
    ],
    standing: () => ({
      mode: {},
      epoch: 2,
      instance: 'a',
      authority: 'postgres',
      serves: 'yes',
      problem: null,
    }),
  };
  const health = createHealth(app as unknown as FastifyInstance);
  const told: string[] = [];
  const check = async () => {
    const { status, stores } = await health.check();
    told.push(`${status}, mongo ${stores.some(({ name, up }) => name === 'mongo' && up) ? 'up' : 'down'}`);
  };
  void check();
  await vi.advanceTimersByTimeAsync(499);
  expect(told).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(told).toEqual(['ready, mongo down']);
  // Whether the ping is still under way, or is another one.
  for (const looks of [2, 3]) {
    void check();
    await vi.advanceTimersByTimeAsync(50);
    expect(told).toHaveLength(looks);
    expect(told.at(-1)).toBe('ready, mongo down');
    answer.reject(new Error('down'));
    answer = Promise.withResolvers();
    await vi.advanceTimersByTimeAsync(0);
  }
  isBack = true;
  await check();
  expect(told.at(-1)).toBe('ready, mongo up');
});
