import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { ERRORS } from '../../src/errors.ts';
import { inEveryMode, startApp } from '../support/app.ts';
import { newPerson } from '../support/users.ts';

const ROUTES = [
  ['post', '/auth/signup', 201],
  ['post', '/auth/login', 200],
  ['post', '/auth/logout', 204],
  ['post', '/auth/verify-email', 200],
  ['post', '/auth/forgot-password', 202],
  ['post', '/auth/reset-password', 200],
  ['get', '/auth/refresh', 200],
  ['get', '/auth/me', 200],
  ['delete', '/auth/me', 204],
  ['get', '/auth/sessions', 200],
  ['delete', '/auth/sessions/{id}', 204],
  ['post', '/auth/change-password', 200],
  ['post', '/auth/resend-verification', 202],
  ['get', '/.well-known/jwks.json', 200],
] as const;

inEveryMode(async (mode) => {
  const app = await startApp(mode);

  describe('the OpenAPI document', () => {
    test('is 3.1 and describes every route and its success', () => {
      expect(app.document.openapi).toMatch(/^3\.1\./);
      for (const [verb, path, status] of ROUTES) {
        expect(Object.keys(app.document.paths[path]?.[verb]?.responses ?? {}), path).toContain(
          String(status),
        );
      }
      for (const [path, operations] of Object.entries(app.document.paths)) {
        expect(operations['head'], path).toBeUndefined();
      }
    });

    test('has a schema for every answer of every status but 204', () => {
      for (const [path, operations] of Object.entries(app.document.paths)) {
        for (const [verb, { responses }] of Object.entries(operations)) {
          for (const [status, { content }] of Object.entries(responses)) {
            const [schema] = Object.values(content ?? {}).map((each) => each.schema);
            if (status === '204') expect(content, `${verb} ${path}`).toBeUndefined();
            else expect(Object.keys(schema ?? {}).length, `${verb} ${path} ${status}`).toBeGreaterThan(0);
          }
        }
      }
    });

    test('is served with pages to read it', async () => {
      const page = await app.client().get('/docs/');
      expect([page.status, page.headers['content-type']]).toEqual([
        200,
        expect.stringContaining('text/html'),
      ]);
    });
  });

  test('an unknown route or method is a problem with a stable code', async () => {
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/auth'],
      ['GET', '/auth/login'],
      ['PUT', '/auth/me'],
      ['POST', '/auth/login/'],
      ['GET', '/AUTH/ME'],
      ['GET', '/auth/me/../../etc/passwd'],
    ] as const) {
      const answer = await app.client().request(method, path);
      expect([answer.status, answer.body.code], `${method} ${path}`).toEqual([404, 'not_found']);
      expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    }
  });

  test.each(['/%', '/auth/sessions/%', '/auth/sessions/%c0%ae'])(
    'the malformed path %s is 400',
    async (path) => {
      const answer = await app.client().request('DELETE', path);
      expect([400, 404]).toContain(answer.status);
      expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    },
  );

  test('what is no HTTP at all gets 400 and no stack', async () => {
    const { port } = new URL(app.url);
    const text = await new Promise<string>((resolve, reject) => {
      let received = '';
      const socket = connect(Number(port), '127.0.0.1', () => socket.end('NONSENSE\r\n\r\n'));
      socket.on('data', (chunk) => {
        received += chunk;
      });
      socket.on('close', () => resolve(received));
      socket.on('error', reject);
    });
    expect(text).toMatch(/^HTTP\/1\.1 400/);
    expect(text).not.toMatch(/\bat .*\.(js|ts)|node_modules/);
  });

  test('a problem has exactly its members, with the request id of the answer', async () => {
    const headers = { 'x-request-id': 'asked-by-the-client-1' };
    const plain = await app.client().get('/auth/me', { headers });
    expect(Object.keys(plain.body).sort()).toEqual(['code', 'requestId', 'status', 'title', 'type']);
    expect(plain.body.title).toBe(ERRORS.unauthenticated.title);
    expect(plain.headers['x-request-id']).toBe(plain.body.requestId);
    const wrong = await app.client().post('/auth/login', {});
    expect(Object.keys(wrong.body)).toContain('issues');
    expect(wrong.body.issues?.map(({ path }) => path)).toEqual([['email'], ['password']]);
  });

  test('request ids that could forge a log line are not taken over', async () => {
    for (const id of ['a b', 'x'.repeat(500), '"},{"level":60']) {
      const { body } = await app.client().get('/auth/me', { headers: { 'x-request-id': id } });
      expect(body.requestId).not.toBe(id);
    }
  });

  test('/livez and /readyz answer 200 while all is well', async () => {
    for (const path of ['/livez', '/readyz']) expect((await app.client().get(path)).status).toBe(200);
  });

  test('/metrics is Prometheus text that names no person', async () => {
    const ada = await newPerson(app);
    await app.client().get(`/nowhere/${ada.id}`);
    const answer = await app.client().get('/metrics');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toMatch(/^text\/plain/);
    expect(answer.text).toMatch(/^# TYPE \w+ (counter|histogram|gauge)$/m);
    expect(answer.text).toContain('/auth/signup');
    for (const secret of [ada.email, ada.id, ada.accessToken]) expect(answer.text).not.toContain(secret);
  });
});
