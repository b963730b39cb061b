import { describe, expect, test } from 'vitest';
import { inEveryMode, startApp, type TestApp } from '../support/app.ts';
import type { RequestOptions } from '../support/client.ts';
import { IN_BODY, isAlive, login, newPerson, signedIn } from '../support/users.ts';

const BODIES: readonly (readonly [string, RequestOptions])[] = [
  ['no body and no content type', {}],
  ['no body, declared as JSON', { headers: { 'content-type': 'application/json' } }],
  ['an empty body, declared as JSON', { raw: '', headers: { 'content-type': 'application/json' } }],
  ['an empty body of no type', { raw: '' }],
  ['{}', { json: {} }],
  ['{} of no type', { raw: '{}' }],
  ['{} as text', { raw: '{}', headers: { 'content-type': 'text/plain' } }],
  ['JSON that is none', { raw: '{"', headers: { 'content-type': 'application/json' } }],
  ['a form', { raw: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
  ['a content type that is none', { raw: 'x', headers: { 'content-type': 'nonsense' } }],
  ['more than any other route takes', { json: { x: 'x'.repeat(20_000) } }],
  ['something of an unknown type', { raw: 'x', headers: { 'content-type': 'application/x-unknown' } }],
];

inEveryMode(async (mode) => {
  const app = await startApp(mode);

  test('logout answers 204, revokes the session and clears both cookies; it can be repeated', async () => {
    const ada = await newPerson(app);
    const before = ada.client.copy();
    const answer = await ada.client.post('/auth/logout');
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(answer.setCookies.map(({ name, value }) => [name, value])).toEqual([
      ['access_token', ''],
      ['refresh_token', ''],
    ]);
    expect(ada.client.cookies.size).toBe(0);
    expect(await isAlive(before)).toBe(false);
    expect((await before.copy().post('/auth/logout')).status).toBe(204);
    expect((await ada.client.post('/auth/logout')).status).toBe(204);
  });

  test.each(BODIES)('logout takes %s', async (_what, options) => {
    const ada = await newPerson(app);
    const answer = await ada.client.copy().request('POST', '/auth/logout', options);
    expect(answer.status).toBe(204);
    expect(await isAlive(ada.client)).toBe(false);
    expect((await app.client().request('POST', '/auth/logout', options)).status).toBe(204);
  });

  test('logout ends the session of this client and no other', async () => {
    const ada = await newPerson(app);
    const elsewhere = await login(app, ada.email, ada.password);
    await ada.client.post('/auth/logout');
    expect(await isAlive(elsewhere.client)).toBe(true);
  });

  test.each(['access', 'refresh'] as const)('logout takes the %s token as Bearer', async (which) => {
    const ada = await newPerson(app);
    const { body } = await app
      .client()
      .post('/auth/login', { email: ada.email, password: ada.password }, IN_BODY);
    const bearer = which === 'access' ? body.accessToken : body.refreshToken;
    expect((await app.client().post('/auth/logout', undefined, { bearer })).status).toBe(204);
    expect((await app.client().get('/auth/me', { bearer: body.accessToken })).status).toBe(401);
    expect((await app.client().get('/auth/refresh', { bearer: body.refreshToken })).status).toBe(401);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test.each(['access_token', 'refresh_token'])('logout needs no other cookie than the %s', async (kept) => {
    const ada = await newPerson(app);
    const half = ada.client.copy();
    for (const name of half.cookies.keys()) if (name !== kept) half.cookies.delete(name);
    expect((await half.post('/auth/logout')).status).toBe(204);
    expect(await isAlive(ada.client)).toBe(false);
  });

  test('logout with a refresh token that was replaced long ago still ends the session', async () => {
    const ada = await newPerson(app);
    const second = signedIn(await app.client().get('/auth/refresh', { bearer: ada.refreshToken }));
    signedIn(await app.client().get('/auth/refresh', { bearer: second.refreshToken }));
    await app.client().post('/auth/logout', undefined, { bearer: ada.refreshToken });
    expect((await app.client().get('/auth/me', { bearer: second.accessToken })).status).toBe(401);
  });

  test('logout with garbage answers 204 and ends nothing', async () => {
    const ada = await newPerson(app);
    const [sessionId = ''] = ada.refreshToken.split('.');
    for (const bearer of ['garbage', `${sessionId}.${'A'.repeat(43)}`, sessionId, `${ada.accessToken}x`]) {
      expect((await app.client().post('/auth/logout', undefined, { bearer })).status).toBe(204);
    }
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('a session that one instance ended is refused by every endpoint of another at once', async () => {
    const ada = await newPerson(app);
    await ada.client.copy().post('/auth/logout');
    await expectRefusedEverywhere(other, ada.accessToken, ada.refreshToken, ada.password);
  });

  test('20 logouts at once all answer 204', async () => {
    const ada = await newPerson(app);
    const twins = Array.from({ length: 20 }, () => ada.client.copy());
    const answers = await Promise.all(twins.map((twin) => twin.post('/auth/logout')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
    expect(await isAlive(ada.client)).toBe(false);
  });

  const other = await startApp(mode, { beside: app });

  describe('however a session ended, every endpoint refuses it at once', () => {
    test('by reuse of a refresh token', async () => {
      const ada = await newPerson(app);
      const next = signedIn(await app.client().get('/auth/refresh', { bearer: ada.refreshToken }));
      app.clock.advance(app.config.refreshLeewayMs + 1);
      expect((await app.client().get('/auth/refresh', { bearer: ada.refreshToken })).status).toBe(401);
      await expectRefusedEverywhere(other, next.accessToken, next.refreshToken, ada.password);
    });

    test('by its owner from another session', async () => {
      const ada = await newPerson(app);
      const elsewhere = await login(app, ada.email, ada.password);
      const { body } = await ada.client.get('/auth/sessions');
      const target = body.sessions?.find(({ current }) => !current);
      expect((await ada.client.delete(`/auth/sessions/${target?.id}`)).status).toBe(204);
      await expectRefusedEverywhere(other, elsewhere.accessToken, elsewhere.refreshToken, ada.password);
    });
  });
});

async function expectRefusedEverywhere(
  app: TestApp,
  accessToken: string,
  refreshToken: string,
  password: string,
): Promise<void> {
  const bearer = accessToken;
  const client = app.client();
  const answers = await Promise.all([
    client.get('/auth/me', { bearer }),
    client.get('/auth/sessions', { bearer }),
    client.delete(`/auth/sessions/${refreshToken.split('.')[0]}`, undefined, { bearer }),
    client.post(
      '/auth/change-password',
      { currentPassword: password, newPassword: 'another one' },
      { bearer },
    ),
    client.post('/auth/resend-verification', undefined, { bearer }),
    client.delete('/auth/me', { password }, { bearer }),
    client.get('/auth/refresh', { bearer: refreshToken }),
    client.get('/auth/me', { noJar: true, headers: { cookie: `access_token=${accessToken}` } }),
    client.get('/auth/refresh', { noJar: true, headers: { cookie: `refresh_token=${refreshToken}` } }),
  ]);
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 401));
  expect((await client.post('/auth/logout', undefined, { bearer })).status).toBe(204);
}
