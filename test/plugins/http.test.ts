import Fastify, { LogController } from 'fastify';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import configPlugin, { loadConfig } from '../../plugins/config.ts';
import { connectionsMax, ownLimits } from '../../plugins/http/connections.ts';
import http from '../../plugins/http.ts';
import { loggerOptions } from '../../plugins/logger.ts';

async function startWith(env: NodeJS.ProcessEnv) {
  const config = loadConfig(env, { production: false });
  const lines: string[] = [];
  const loggerInstance = pino(loggerOptions({ logLevel: 'info', logPretty: false }), {
    write: (line: string) => void lines.push(line),
  });
  const app = Fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: config.trustProxy,
  });
  onTestFinished(() => app.close());
  await app.register(configPlugin, { config });
  await app.register(http);
  app.get('/', (request) => request.clientAddress);
  const addressOf = async (remoteAddress: string, forwarded?: string): Promise<string> => {
    const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
    return (await app.inject({ url: '/', remoteAddress, headers })).body;
  };
  return { app, lines, addressOf };
}

test.each(['off', '192.0.2.10'])(
  'with TRUST_PROXY=%s a proxy that nobody named is told of, once, and not believed',
  async (trustProxy) => {
    const { lines, addressOf } = await startWith({ TRUST_PROXY: trustProxy });
    expect(await addressOf('192.0.2.11')).toBe('192.0.2.11');
    expect(lines).toEqual([]);
    for (const client of ['198.51.100.1', '198.51.100.2'])
      expect(await addressOf('192.0.2.11', client)).toBe('192.0.2.11');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 40,
      msg: expect.stringContaining('TRUST_PROXY'),
    });
    expect(lines[0]).not.toMatch(/192\.0\.2|198\.51/);
  },
);

test('a proxy that was named is believed without a word', async () => {
  const { lines, addressOf } = await startWith({ TRUST_PROXY: '192.0.2.10' });
  expect(await addressOf('192.0.2.10', '198.51.100.1')).toBe('198.51.100.1');
  expect(await addressOf('192.0.2.10', '203.0.113.1, 198.51.100.1')).toBe('198.51.100.1');
  expect(await addressOf('192.0.2.10', '198.51.100.1:50123')).toBe('198.51.100.1');
  expect(await addressOf('192.0.2.10', '[2001:db8::1]:50123')).toBe('2001:db8::1');
  expect(await addressOf('192.0.2.10', 'not-an-address')).toBe('unknown');
  expect(await addressOf('192.0.2.10')).toBe('192.0.2.10');
  expect(lines).toEqual([]);
});

const LEGACY = {
  LEGACY_JWT_SECRET: 'not a real secret but long enough for the test',
  LEGACY_JWT_UNTIL: new Date(Date.now() + 86_400_000).toISOString(),
};

test.each([
  ['in its header, while it is exchanged', LEGACY, true],
  ['in none, where it is not', {}, false],
])('pages of other origins may send a token of the old service %s', async (_, env, isAllowed) => {
  const origin = 'https://app.example.test';
  const { app } = await startWith({
    CORS_ORIGINS: origin,
    LEGACY_JWT_HEADER: 'X-Auth-Token',
    ...env,
  });
  const headers = {
    origin,
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'x-auth-token',
  };
  const answer = await app.inject({ method: 'OPTIONS', url: '/', headers });
  const allowed = String(answer.headers['access-control-allow-headers']).toLowerCase().split(', ');
  expect(allowed).toContain('x-token-transport');
  expect(allowed.includes('x-auth-token')).toBe(isAllowed);
});

test.each([
  ['65536', 49_077],
  ['1024', 693],
  ['64', 16],
  ['unlimited', null],
])('of %s descriptors clients get no more than %s', (descriptors, most) => {
  const limits = `Limit                     Soft Limit           Hard Limit           Units
Max processes             95888                95888                processes
Max open files            ${descriptors.padEnd(20)} 1048576              files
`;
  expect(connectionsMax(limits)).toBe(most);
  expect(connectionsMax(null)).toBeNull();
});

test('the server takes no more connections than that', async () => {
  const { app } = await startWith({});
  expect(app.server.maxConnections ?? null).toBe(connectionsMax(ownLimits()));
});
