import Fastify, { type FastifyBaseLogger } from 'fastify';
import pino from 'pino';
import { describe, expect, test } from 'vitest';
import type { Config } from '../../plugins/config.ts';
import { type AuditEvent, createAudit } from '../../plugins/logger/audit.ts';
import { describeError, onOneLine, scrub } from '../../plugins/logger/scrub.ts';
import { logController, loggerOptions, requestIdOptions } from '../../plugins/logger.ts';

function record(logLevel: Config['logLevel'] = 'info') {
  const lines: string[] = [];
  const log = pino(loggerOptions({ logLevel, logPretty: false }), {
    write: (line: string) => void lines.push(line),
  });
  return { log, lines };
}

describe('errors', () => {
  test('a long word is scrubbed in no more time than its length takes', () => {
    const word = 'x'.repeat(2_000_000);
    expect(scrub(word)).toBe(word);
  });

  test('are logged without what hangs on them, and without what their message quotes', () => {
    const { log, lines } = record();
    const error = Object.assign(new Error('550 <ada@example.test> unknown at postgres://u:pw@host/db'), {
      code: 'X1',
      detail: 'Key (email)=(ada@example.test)',
      rejected: ['ada@example.test'],
    });
    log.error({ err: error }, 'failed');
    expect(JSON.parse(lines[0] ?? '').err).toMatchObject({
      type: 'Error',
      code: 'X1',
      message: '550 <[e-mail]> unknown at postgres://[credentials]@host/db',
    });
    expect(lines[0]).not.toMatch(/ada|detail|rejected|pw@/);
  });

  test('keep their stack readable', () => {
    const { stack } = describeError(new Error('x'));
    expect(stack).toContain('logger.test.ts');
    expect(scrub('at f (/a/node_modules/@fastify/jwt/jwt.js:1:2)')).toBe(
      'at f (/a/node_modules/@fastify/jwt/jwt.js:1:2)',
    );
  });

  test.each([
    ['$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde', '[hash]'],
    ['aB3'.repeat(15), '[secret]'],
    ["a.b+c@exämple.test's", "[e-mail]'s"],
  ])('%s becomes %s', (text, scrubbed) => {
    expect(scrub(text)).toBe(scrubbed);
  });
});

test('times are ISO 8601 in UTC', () => {
  const { log, lines } = record();
  log.info('x');
  expect(JSON.parse(lines[0] ?? '').time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('no text forges a line', () => {
  const { log, lines } = record();
  log.info('a\nb\u2028c\u001b[31m');
  expect(JSON.parse(lines[0] ?? '').msg).toBe('a\\u000ab\\u2028c\\u001b[31m');
  expect(onOneLine('plain')).toBe('plain');
});

test('each request is one line, but for what probes ask every few seconds and find well', async () => {
  const { log, lines } = record();
  const app = Fastify({ loggerInstance: log as FastifyBaseLogger, logController });
  for (const url of ['/livez', '/readyz', '/metrics', '/auth/me']) app.get(url, async () => ({}));
  for (const url of ['/livez', '/readyz', '/metrics', '/auth/me', '/readyz']) await app.inject(url);
  await app.close();
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { req: { method: 'GET', route: '/auth/me' }, res: { statusCode: 200 }, msg: 'request completed' },
  ]);
});

test('a sane request id is taken over, another never', () => {
  const idFor = (id?: string) =>
    requestIdOptions.genReqId({ headers: id === undefined ? {} : { 'x-request-id': id } });
  expect(idFor('0123-abc_X')).toBe('0123-abc_X');
  for (const id of [
    undefined,
    '',
    'short',
    'a@example.test',
    'x'.repeat(65),
    'line\nbreak',
    '{"a":1,"b":2}',
  ]) {
    expect(idFor(id)).toMatch(/^[0-9a-f]{8}-/);
  }
});

test('an audit event is one line with a digest in place of the address', () => {
  const { log, lines } = record();
  const counted: AuditEvent[] = [];
  const audit = createAudit(
    log,
    (address) => `digest of ${address.length}`,
    '192.0.2.1',
    (event) => counted.push(event),
  );
  audit({ event: 'login', outcome: 'failure', reason: 'wrong-password', userId: 'u1' });
  expect(JSON.parse(lines[0] ?? '').audit).toEqual({
    event: 'login',
    outcome: 'failure',
    reason: 'wrong-password',
    userId: 'u1',
    addressDigest: 'digest of 9',
  });
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toContain('192.0.2.1');
  expect(counted).toHaveLength(1);
});

test.each(['warn', 'error', 'fatal'] as const)('audit events are logged at LOG_LEVEL=%s too', (level) => {
  const { log, lines } = record(level);
  log.info('swallowed');
  createAudit(log, () => 'digest', '192.0.2.1')({ event: 'login', outcome: 'success', userId: 'u1' });
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['audit: login success']);
});

test('LOG_LEVEL=silent is silent', () => {
  const { log, lines } = record('silent');
  createAudit(log, () => 'digest', '192.0.2.1')({ event: 'login', outcome: 'success' });
  expect(lines).toEqual([]);
});
