import { describe, expect, test } from 'vitest';
import { inEveryMode, startApp } from '../support/app.ts';
import { isAlive, newEmail, newPassword, newPerson, resetBody } from '../support/users.ts';

const FOREIGN: readonly (readonly [string, Record<string, string>])[] = [
  ['a foreign Origin', { origin: 'https://evil.example' }],
  ['Origin: null', { origin: 'null' }],
  ['cross-site fetch metadata', { 'sec-fetch-site': 'cross-site' }],
  ['an Origin that only begins like ours', { origin: 'http://auth.example.test.evil.example' }],
  ['our host on another port', { origin: 'http://auth.example.test:8080' }],
];

const OWN: readonly (readonly [string, Record<string, string>])[] = [
  ['no Origin', {}],
  ['our own Origin', { origin: 'http://auth.example.test', 'sec-fetch-site': 'same-origin' }],
  ["the app's Origin", { origin: 'https://app.example.test', 'sec-fetch-site': 'same-site' }],
  ['a user who typed the address', { 'sec-fetch-site': 'none' }],
  [
    'a page whose proxy passes its requests on',
    { origin: 'http://localhost:5173', 'sec-fetch-site': 'same-origin' },
  ],
];

inEveryMode(async (mode) => {
  const app = await startApp(mode);

  test.each(FOREIGN)(
    '%s is refused wherever a cookie authorises, and nothing happens',
    async (_what, headers) => {
      const ada = await newPerson(app);
      const change = { currentPassword: ada.password, newPassword: newPassword() };
      const requests = [
        () => ada.client.get('/auth/refresh', { headers }),
        () => ada.client.post('/auth/logout', undefined, { headers }),
        () => ada.client.get('/auth/me', { headers }),
        () => ada.client.get('/auth/sessions', { headers }),
        () => ada.client.delete('/auth/sessions/0123456789abcdef01234567', undefined, { headers }),
        () => ada.client.post('/auth/change-password', change, { headers }),
        () => ada.client.post('/auth/resend-verification', undefined, { headers }),
        () => ada.client.delete('/auth/me', { password: ada.password }, { headers }),
      ];
      for (const request of requests) {
        const answer = await request();
        expect([answer.status, answer.body.code, answer.setCookies]).toEqual([403, 'cross_site', []]);
      }
      expect(await isAlive(ada.client)).toBe(true);
      app.clock.advance(app.config.refreshLeewayMs + 1);
      expect((await ada.client.get('/auth/refresh')).status).toBe(200);
    },
  );

  test.each(FOREIGN)(
    '%s is refused at logout without cookies, too: the answer would clear those the browser held back',
    async (_what, headers) => {
      const answer = await app.client().post('/auth/logout', undefined, { headers });
      expect([answer.status, answer.body.code, answer.setCookies]).toEqual([403, 'cross_site', []]);
    },
  );

  test.each(FOREIGN)(
    '%s does not matter to a Bearer token, which no other site can send',
    async (_what, headers) => {
      const ada = await newPerson(app);
      const bearer = ada.accessToken;
      const client = app.client();
      expect((await client.get('/auth/me', { bearer, headers: { ...headers } })).status).toBe(200);
      expect((await client.get('/auth/refresh', { bearer: ada.refreshToken, headers })).status).toBe(200);
      expect((await client.post('/auth/logout', undefined, { bearer, headers })).status).toBe(204);
    },
  );

  test.each(OWN)('%s passes', async (_what, headers) => {
    const ada = await newPerson(app);
    expect((await ada.client.get('/auth/me', { headers })).status).toBe(200);
    expect((await ada.client.get('/auth/refresh', { headers })).status).toBe(200);
    expect((await ada.client.post('/auth/logout', undefined, { headers })).status).toBe(204);
  });

  test('a page on the very host that was asked passes, such as the API docs', async () => {
    const ada = await newPerson(app);
    expect((await ada.client.get('/auth/me', { headers: { origin: app.url } })).status).toBe(200);
  });

  test.each(FOREIGN)(
    'login and signup by %s are refused, whether or not the browser is signed in',
    async (_what, headers) => {
      const [ada, eve] = [await newPerson(app), await newPerson(app)];
      const login = { email: eve.email, password: eve.password };
      const signup = { ...login, name: 'Eve', email: newEmail() };
      for (const client of [ada.client, app.client()]) {
        for (const [path, body] of [
          ['/auth/login', login],
          ['/auth/signup', signup],
        ] as const) {
          const answer = await client.post(path, body, { headers });
          expect([answer.status, answer.body.code, answer.setCookies]).toEqual([403, 'cross_site', []]);
          // What a foreign form can send without a preflight is not JSON.
          const form = { raw: JSON.stringify(body), headers: { ...headers, 'content-type': 'text/plain' } };
          expect((await client.request('POST', path, form)).status).toBe(415);
        }
      }
      expect(await isAlive(ada.client)).toBe(true);
      expect((await app.client().post('/auth/signup', signup)).status).toBe(201);
    },
  );

  test.each(FOREIGN)(
    '%s does not matter to who signs in without cookies, which no other site can ask for',
    async (_what, headers) => {
      const [email, password] = [newEmail(), newPassword()];
      const options = { headers: { ...headers, 'x-token-transport': 'body' } };
      const client = app.client();
      expect((await client.post('/auth/signup', { email, name: 'Ada', password }, options)).status).toBe(201);
      expect((await client.post('/auth/login', { email, password }, options)).status).toBe(200);
      const ada = await newPerson(app);
      expect((await ada.client.post('/auth/login', { email, password }, options)).status).toBe(403);
    },
  );

  test.each(OWN)('login and signup by %s pass', async (_what, headers) => {
    const [email, password] = [newEmail(), newPassword()];
    const client = app.client();
    expect((await client.post('/auth/signup', { email, name: 'Ada', password }, { headers })).status).toBe(
      201,
    );
    expect((await client.post('/auth/login', { email, password }, { headers })).status).toBe(200);
  });

  test('CORS is closed by default: no origin is reflected, on any method', async () => {
    const ada = await newPerson(app);
    for (const origin of ['https://evil.example', 'https://app.example.test', 'null']) {
      const headers = { origin, 'access-control-request-method': 'POST' };
      for (const [method, path] of [
        ['GET', '/auth/me'],
        ['OPTIONS', '/auth/login'],
      ] as const) {
        const answer = await ada.client.request(method, path, { headers });
        expect(answer.headers['access-control-allow-origin']).toBeUndefined();
        expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
      }
    }
  });

  describe('with CORS_ORIGINS', async () => {
    const listed = 'https://spa.example.test';
    const open = await startApp(mode, {
      beside: app,
      env: { CORS_ORIGINS: `${listed},https://other.example.test:8443` },
    });

    test('exactly the listed origins are allowed, with credentials', async () => {
      const ada = await newPerson(open);
      const preflight = {
        origin: listed,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,x-token-transport',
      };
      const allowed = await open.client().request('OPTIONS', '/auth/login', { headers: preflight });
      expect(allowed.status).toBe(204);
      expect(allowed.headers).toMatchObject({
        'access-control-allow-origin': listed,
        'access-control-allow-credentials': 'true',
      });
      expect(allowed.headers['access-control-allow-headers']?.toLowerCase()).toContain('x-token-transport');
      const me = await ada.client.get('/auth/me', { headers: { origin: listed } });
      expect([me.status, me.headers['access-control-allow-origin']]).toEqual([200, listed]);
      expect(me.headers.vary).toMatch(/origin/i);
      const exposed = String(me.headers['access-control-expose-headers']).toLowerCase();
      expect(exposed).toContain('retry-after');
    });

    test.each([
      'https://spa.example.test.evil.example',
      'https://spa.example.test:8443',
      'http://spa.example.test',
      'https://SPA.example.test',
      'https://xspa.example.test',
      'null',
    ])('%s is none of them', async (origin) => {
      const ada = await newPerson(open);
      const answer = await ada.client.get('/auth/me', { headers: { origin } });
      expect(answer.status).toBe(403);
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    });
  });

  test('every answer carries the security headers, errors and unknown routes too', async () => {
    const client = app.client();
    const answers = [
      await client.get('/auth/me'),
      await client.get('/nowhere'),
      await client.post('/auth/login', {}),
      await client.get('/.well-known/jwks.json'),
      await client.get('/livez'),
      await client.post('/auth/reset-password', resetBody('x', 'long enough')),
    ];
    for (const { headers } of answers) {
      expect(headers).toMatchObject({
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'x-frame-options': expect.stringMatching(/^(DENY|SAMEORIGIN)$/),
      });
      expect(headers['content-security-policy']).toContain("default-src 'none'");
      expect(headers['x-powered-by']).toBeUndefined();
      expect(headers['server']).toBeUndefined();
    }
  });
});

describe('where cookies are Secure', async () => {
  const app = await startApp('postgres-only', { env: { PUBLIC_URL: 'https://auth.example.test' } });
  const page = (url: string) => ({ headers: { origin: url, host: new URL(url).host } });

  test('a page on our own host is none of ours without TLS: anybody on the way could have written it', async () => {
    const ada = await newPerson(app);
    for (const host of ['auth.example.test', 'another.example.test:8443']) {
      const clear = await ada.client.get('/auth/me', page(`http://${host}`));
      expect([clear.status, clear.body.code]).toEqual([403, 'cross_site']);
      expect((await ada.client.get('/auth/me', page(`https://${host}`))).status).toBe(200);
    }
  });

  test('on the same machine there is nobody on the way', async () => {
    const ada = await newPerson(app);
    for (const host of ['localhost:3000', '127.0.0.1:3000', '[::1]:3000']) {
      expect((await ada.client.get('/auth/me', page(`http://${host}`))).status).toBe(200);
    }
  });
});
