import { describe, expect, test } from 'vitest';
import { createMetrics } from '../../plugins/metrics/metrics.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { complaints, type Named } from '../support/metric-names.ts';
import { newPerson } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

const scrape = async (app: TestApp) => (await app.client().get('/metrics')).text;

/** The sample with exactly this name and these labels; 0 when there is none yet. */
function sample(text: string, series: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

describe('the service counts', async () => {
  const app = await startApp('postgres-only');

  test('requests by route template, and unknown paths under one label', async () => {
    const client = app.client();
    await client.get('/livez');
    for (const path of ['/nowhere/1', '/nowhere/2']) await client.get(path);
    const text = await scrape(app);
    const count = (method: string, route: string, status: string) =>
      sample(
        text,
        `http_request_duration_seconds_count{method="${method}",route="${route}",status_class="${status}"}`,
      );
    expect(count('GET', '/livez', '2xx')).toBe(1);
    expect(count('GET', 'unmatched', '4xx')).toBe(2);
    expect(text).not.toContain('/nowhere');
  });

  test('authentication events, mails and waiting hashes', async () => {
    const ada = await newPerson(app);
    await app.client().post('/auth/login', { email: ada.email, password: 'wrong password' });
    await app.inbox.mail(ada.email, 'verify-email');
    await eventually(async () => expect(sample(await scrape(app), 'mails_total{result="sent"}')).toBe(1));
    const text = await scrape(app);
    expect(sample(text, 'auth_events_total{event="signup",outcome="success"}')).toBe(1);
    const failed = 'auth_events_total{event="login",outcome="failure",reason="wrong-password"}';
    expect(sample(text, failed)).toBe(1);
    expect(text).toMatch(/^password_hash_jobs 0$/m);
  });

  test('the reuse of a refresh token apart from garbage', async () => {
    const ada = await newPerson(app);
    const refresh = async (bearer: string) => (await app.client().get('/auth/refresh', { bearer })).body;
    const next = await refresh(ada.refreshToken);
    await refresh(next.refreshToken ?? '');
    await refresh(ada.refreshToken);
    await refresh(`${ada.refreshToken.slice(0, -1)}${ada.refreshToken.endsWith('A') ? 'B' : 'A'}`);
    const text = await scrape(app);
    const count = (reason: string) =>
      sample(text, `auth_events_total{event="refresh",outcome="failure",reason="${reason}"}`);
    expect([count('reuse'), count('not-live')]).toEqual([1, 1]);
  });
});

describe('a limited login', async () => {
  const app = await startApp('postgres-only', { env: { LIMIT_LOGIN_ACCOUNT: '1/1h' } });

  test('is counted by its limit', async () => {
    for (let times = 0; times < 2; times += 1) {
      await app.client().post('/auth/login', { email: 'ada@example.test', password: 'x' });
    }
    expect(sample(await scrape(app), 'rate_limit_refused_total{limit="login-account"}')).toBe(1);
  });
});

test('two apps in one process count apart', async () => {
  const [one, two] = [createMetrics(), createMetrics()];
  one.mail('sent');
  expect(await one.registry.getSingleMetricAsString('mails_total')).toContain('{result="sent"} 1');
  expect(await two.registry.getSingleMetricAsString('mails_total')).not.toContain('sent');
});

test('what is called `_total` is a counter, as Prometheus has it', async () => {
  const types = [...(await createMetrics().registry.metrics()).matchAll(/^# TYPE (\w+_total) (\w+)$/gm)];
  expect(types.length).toBeGreaterThan(0);
  expect(types.filter(([, , type]) => type !== 'counter')).toEqual([]);
});

describe('the check of names', () => {
  const good: Named = {
    name: 'store_wait_duration_seconds',
    help: 'Time waited for a store',
    type: 'histogram',
    labels: ['store', 'outcome'],
  };

  test('has nothing against one that follows the conventions', () => {
    expect(complaints(good)).toEqual([]);
    expect(complaints({ ...good, name: 'process_cpu_seconds_total', type: 'counter' })).toEqual([]);
  });

  test.each<[string, Partial<Named>]>([
    ['snake_case', { name: 'storeWait_duration_seconds' }],
    ['does not end in _total', { name: 'mails', type: 'counter' }],
    ['is no counter', { name: 'mails_total', type: 'gauge' }],
    ['part of a histogram', { name: 'mails_count', type: 'gauge' }],
    ['base unit', { name: 'mirror_wait_ms', type: 'gauge' }],
    ['base unit', { name: 'pool_used_percent', type: 'gauge' }],
    ['does not end in _seconds', { name: 'mirror_oldest', type: 'gauge' }],
    ['without a unit', { name: 'mirror_batches' }],
    ['names its type', { name: 'mirror_gauge', type: 'gauge' }],
    ['names a label', { name: 'mails_by_store_total', type: 'counter' }],
    ['no help', { help: ' ' }],
    ['not in snake_case: statusClass', { labels: ['statusClass'] }],
    ['own: le', { labels: ['le'] }],
    ['one of many: user_id', { labels: ['store', 'user_id'] }],
    ['one of many: email', { labels: ['email'] }],
    ['one of many: address', { labels: ['address'] }],
  ])('objects: %s', (what, changed) => {
    expect(complaints({ ...good, ...changed })).toEqual([expect.stringContaining(what)]);
  });
});
