import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { ERRORS } from '../../src/errors.ts';
import { inEveryMode, startApp } from '../support/app.ts';
import { expectReady, newPerson } from '../support/users.ts';

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

    const operations = Object.entries(app.document.paths).flatMap(([path, verbs]) =>
      Object.entries(verbs).map(([verb, operation]) => ({ name: `${verb} ${path}`, verb, ...operation })),
    );

    test('says what signs a request in, wherever one may be refused for it, and how to get tokens in the body', () => {
      for (const { name, security, responses } of operations) {
        const described = JSON.stringify(responses['401'] ?? {});
        const guarded = /`(unauthenticated|refresh_invalid)`/.test(described);
        if (guarded)
          expect(
            security?.map((each) => Object.keys(each)[0]),
            name,
          ).toContain('bearer');
        for (const scheme of (security ?? []).flatMap((each) => Object.keys(each)))
          expect(app.document.components.securitySchemes, name).toHaveProperty(scheme);
      }
      for (const path of ['/auth/signup', '/auth/login', '/auth/refresh']) {
        const [operation] = Object.values(app.document.paths[path] ?? {});
        expect(operation?.parameters).toEqual([
          expect.objectContaining({ in: 'header', name: 'x-token-transport', required: false }),
        ]);
      }
    });

    test('asks for a body where one is needed, and where none is read no answer is about bodies', () => {
      const bodies = operations.filter(({ requestBody }) => requestBody !== undefined);
      const optional = bodies.filter(({ requestBody }) => requestBody?.required !== true);
      expect(optional.map(({ name }) => name)).toEqual(['post /auth/resend-verification']);
      const unread = operations.filter(({ name, verb }) => verb === 'get' || name === 'post /auth/logout');
      expect(unread.length).toBeGreaterThan(5);
      for (const { name, responses } of unread) {
        expect(Object.keys(responses), name).not.toContain('413');
        expect(Object.keys(responses), name).not.toContain('415');
      }
    });

    test('names the headers that a client acts on', () => {
      const headersOf = (verb: string, path: string, status: number) =>
        Object.keys(app.document.paths[path]?.[verb]?.responses[status]?.headers ?? {});
      expect(headersOf('post', '/auth/login', 200)).toEqual([
        'X-Request-Id',
        'Set-Cookie',
        'RateLimit',
        'RateLimit-Policy',
      ]);
      expect(headersOf('post', '/auth/login', 401)).toContain('WWW-Authenticate');
      expect(headersOf('post', '/auth/login', 429)).toContain('Retry-After');
      expect(headersOf('get', '/auth/me', 503)).toContain('Retry-After');
      expect(headersOf('post', '/auth/logout', 204)).toContain('Set-Cookie');
      expect(headersOf('get', '/auth/me', 200)).toEqual(['X-Request-Id']);
    });

    test('is served, with pages to read it', async () => {
      expect(JSON.parse((await app.client().get('/docs/json')).text)).toEqual(app.document);
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
      expect(answer.headers['x-request-id']).toBe(answer.body.requestId);
      expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    },
  );

  test.each([
    ['what is no HTTP at all', 'NONSENSE\r\n\r\n', 400, 'bad_request'],
    [
      'headers without end',
      `GET / HTTP/1.1\r\nHost: auth\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    ['a request without Host', 'GET /auth/me HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'bad_request'],
    [
      'what expects more than can be done',
      'GET /auth/me HTTP/1.1\r\nHost: auth\r\nExpect: miracles\r\nConnection: close\r\n\r\n',
      401,
      'unauthenticated',
    ],
  ])('%s is a problem, too', async (_what, request, status, code) => {
    const [head = '', body = ''] = (await exchange(request)).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    const answer = JSON.parse(body);
    expect(answer).toMatchObject({ type: `urn:problem:auth:${code}`, status, code });
    const headers = head.toLowerCase().split('\r\n');
    expect(headers).toContainEqual(expect.stringMatching(/^content-type: application\/problem\+json/));
    expect(headers).toEqual(
      expect.arrayContaining([
        'cache-control: no-store',
        'referrer-policy: no-referrer',
        'x-content-type-options: nosniff',
        `x-request-id: ${answer.requestId}`,
      ]),
    );
  });

  /** All that the service sends until it closes the connection. */
  function exchange(request: string): Promise<string> {
    const { port } = new URL(app.url);
    return new Promise((resolve, reject) => {
      let received = '';
      const socket = connect(Number(port), '127.0.0.1', () => socket.write(request));
      socket.on('data', (chunk) => {
        received += chunk;
      });
      socket.on('close', () => resolve(received));
      socket.on('error', reject);
    });
  }

  test('a preflight that is none gets an answer without headers for other origins', async () => {
    const answer = await app.client().request('OPTIONS', '/auth/login');
    expect(answer.status).toBeLessThan(500);
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
    if (answer.status >= 400) expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  });

  test('401 names the scheme to come back with', async () => {
    expect((await app.client().get('/auth/me')).headers['www-authenticate']).toBe('Bearer');
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
    expect((await app.client().get('/livez')).status).toBe(200);
    await expectReady(app);
  });

  test('HEAD works wherever a monitor or a cache may send it', async () => {
    await expectReady(app);
    for (const path of ['/livez', '/readyz', '/.well-known/jwks.json']) {
      const [get, head] = [await app.client().get(path), await app.client().request('HEAD', path)];
      expect([head.status, head.text], path).toEqual([200, '']);
      expect(head.headers['cache-control'], path).toBe(get.headers['cache-control']);
    }
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
