import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { inEveryMode, SECOND, startApp, type TestApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { IN_BODY, isAlive, login, newPerson, type Person, signedIn } from '../support/users.ts';

const refresh = (app: TestApp, token: string): Promise<Answer> =>
  app.client().get('/auth/refresh', { bearer: token });

async function rotate(app: TestApp, token: string): Promise<string> {
  return signedIn(await refresh(app, token)).refreshToken;
}

async function expectDead(app: TestApp, person: Person, ...tokens: readonly string[]): Promise<void> {
  expect((await app.client().get('/auth/me', { bearer: person.accessToken })).status).toBe(401);
  for (const token of tokens) expect((await refresh(app, token)).status).toBe(401);
}

inEveryMode(async (mode) => {
  const app = await startApp(mode);
  const other = await startApp(mode, { beside: app });
  const { refreshLeewayMs } = app.config;

  test('TC06 refresh gives a new access JWT and rotates the refresh token, by cookie', async () => {
    const ada = await newPerson(app);
    const answer = await ada.client.get('/auth/refresh');
    const { user, accessToken, refreshToken } = signedIn(answer, 200, ada.client);
    expect(answer.body).toEqual({ user, accessToken, tokenType: 'Bearer', expiresIn: 900 });
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.setCookies.map(({ name }) => name)).toEqual(['access_token', 'refresh_token']);
    expect(user.id).toBe(ada.id);
    expect(accessToken).not.toBe(ada.accessToken);
    expect(refreshToken).not.toBe(ada.refreshToken);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('TC06 a refresh token presented as Bearer comes back in the body, and no cookie is set', async () => {
    const ada = await newPerson(app);
    const answer = await refresh(app, ada.refreshToken);
    expect(signedIn(answer).refreshToken).not.toBe(ada.refreshToken);
    expect(answer.setCookies).toEqual([]);
  });

  test('a refresh token that came by cookie is never returned in a body, whatever the client asks for', async () => {
    const ada = await newPerson(app);
    const answer = await ada.client.get('/auth/refresh', { headers: { 'x-token-transport': 'body' } });
    expect(answer.status).toBe(200);
    expect(answer.text).not.toContain('refreshToken');
    expect(answer.setCookies.map(({ name }) => name)).toContain('refresh_token');
    const both = await ada.client.get('/auth/refresh', {
      bearer: ada.accessToken,
      headers: { 'x-token-transport': 'body' },
    });
    expect(both.status).toBe(200);
    expect(both.text).not.toContain('refreshToken');
  });

  test('inside the leeway the immediate predecessor gets the same successor, again and again', async () => {
    const ada = await newPerson(app);
    const successor = await rotate(app, ada.refreshToken);
    for (let again = 0; again < 3; again += 1) {
      app.clock.advance(refreshLeewayMs / 4);
      expect(await rotate(app, ada.refreshToken)).toBe(successor);
    }
    expect(await rotate(app, successor)).not.toBe(successor);
  });

  test('20 tabs that refresh at once all get the same successor, and the session lives', async () => {
    const ada = await newPerson(app);
    const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(app, ada.refreshToken)));
    const successors = new Set(answers.map((answer) => signedIn(answer).refreshToken));
    expect(successors.size).toBe(1);
    const [successor = ''] = successors;
    expect(await rotate(app, successor)).not.toBe(successor);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('20 tabs of one browser all leave it with the same cookie; a lost race clears none', async () => {
    const ada = await newPerson(app);
    const tabs = await Promise.all(Array.from({ length: 20 }, () => ada.client.get('/auth/refresh')));
    expect(new Set(tabs.map(({ status }) => status))).toEqual(new Set([200]));
    const set = tabs.flatMap(({ setCookies }) => setCookies.filter(({ name }) => name === 'refresh_token'));
    expect(new Set(set.map(({ value }) => value)).size).toBe(1);
    expect((await ada.client.get('/auth/refresh')).status).toBe(200);
  });

  test('two instances give the same successor', async () => {
    const ada = await newPerson(app);
    const [here, there] = await Promise.all([rotate(app, ada.refreshToken), rotate(other, ada.refreshToken)]);
    expect(here).toBe(there);
  });

  test('a replaced token used after the leeway is theft: the whole session is revoked', async () => {
    const ada = await newPerson(app);
    const elsewhere = await login(app, ada.email, ada.password);
    const successor = await rotate(app, ada.refreshToken);
    app.clock.advance(refreshLeewayMs + 1);
    const answer = await refresh(app, ada.refreshToken);
    expect([answer.status, answer.body.code]).toEqual([401, 'refresh_invalid']);
    await expectDead(app, ada, successor, ada.refreshToken);
    expect(await isAlive(elsewhere.client)).toBe(true);
  });

  test('at the very end of the leeway the predecessor still works', async () => {
    const ada = await newPerson(app);
    const successor = await rotate(app, ada.refreshToken);
    app.clock.advance(refreshLeewayMs);
    expect(await rotate(app, ada.refreshToken)).toBe(successor);
  });

  test('an older ancestor is theft even inside the leeway', async () => {
    const ada = await newPerson(app);
    const second = await rotate(app, ada.refreshToken);
    const third = await rotate(app, second);
    expect((await refresh(app, ada.refreshToken)).status).toBe(401);
    await expectDead(app, ada, second, third);
  });

  test('an ancestor far back is recognised too', async () => {
    const ada = await newPerson(app);
    let current = ada.refreshToken;
    for (let generation = 0; generation < 25; generation += 1) current = await rotate(app, current);
    expect((await refresh(app, ada.refreshToken)).status).toBe(401);
    await expectDead(app, ada, current);
  });

  test('theft and rotation at once end in a dead session or a refused thief, never in two living branches', async () => {
    for (let round = 0; round < 5; round += 1) {
      const ada = await newPerson(app);
      const second = await rotate(app, ada.refreshToken);
      app.clock.advance(refreshLeewayMs + 1);
      const [thief, owner] = await Promise.all([refresh(app, ada.refreshToken), refresh(app, second)]);
      expect(thief.status).toBe(401);
      const tokens = owner.status === 200 ? [signedIn(owner).refreshToken, second] : [second];
      await expectDead(app, ada, ...tokens);
    }
  });

  test('garbage with a known session id revokes nothing and clears no cookie', async () => {
    const ada = await newPerson(app);
    const [sessionId = ''] = ada.refreshToken.split('.');
    const secret = (): string => randomBytes(32).toString('base64url');
    for (const token of [
      `${sessionId}.${secret()}`,
      `${sessionId}.`,
      `${sessionId}`,
      `.${secret()}`,
      'x',
      'a.b.c',
    ]) {
      const headers = { cookie: `refresh_token=${token}` };
      const byCookie = await app.client().get('/auth/refresh', { headers });
      expect([byCookie.status, byCookie.body.code, byCookie.setCookies]).toEqual([
        401,
        'refresh_invalid',
        [],
      ]);
      expect((await refresh(app, token)).status).toBe(401);
    }
    expect(await isAlive(ada.client)).toBe(true);
    expect((await ada.client.get('/auth/refresh')).status).toBe(200);
  });

  test.each([
    ['no token', {}],
    ['an empty cookie', { cookie: 'refresh_token=' }],
    ['an empty bearer', { authorization: 'Bearer ' }],
    ['another scheme', { authorization: 'Basic dXNlcjpwYXNz' }],
  ])('%s is 401, and no cookie is cleared', async (_what, headers) => {
    const answer = await app.client().get('/auth/refresh', { headers });
    expect([answer.status, answer.body.code, answer.setCookies]).toEqual([401, 'refresh_invalid', []]);
  });

  test('an access token is not a refresh token, and the other way round', async () => {
    const ada = await newPerson(app);
    expect((await refresh(app, ada.accessToken)).status).toBe(401);
    expect((await app.client().get('/auth/me', { bearer: ada.refreshToken })).status).toBe(401);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('there is no HEAD route, so a link preview rotates nothing', async () => {
    const ada = await newPerson(app);
    const head = await ada.client.request('HEAD', '/auth/refresh');
    expect([head.status, head.setCookies]).toEqual([404, []]);
    for (const method of ['POST', 'PUT', 'DELETE']) {
      expect((await ada.client.request(method, '/auth/refresh')).status).toBe(404);
    }
    app.clock.advance(refreshLeewayMs + 1);
    expect((await ada.client.get('/auth/refresh')).status).toBe(200);
  });

  test('the access token ends after its 15 minutes, and refresh gives one that works', async () => {
    const ada = await newPerson(app);
    app.clock.advance(app.config.accessTokenTtlMs - SECOND);
    expect(await isAlive(ada.client)).toBe(true);
    app.clock.advance(10 * SECOND);
    expect(await isAlive(ada.client)).toBe(false);
    expect((await ada.client.get('/auth/refresh')).status).toBe(200);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('refresh and logout at once: whatever refresh answered, the session is dead afterwards', async () => {
    for (let round = 0; round < 5; round += 1) {
      const ada = await newPerson(app);
      const [next, out] = await Promise.all([
        refresh(app, ada.refreshToken),
        app.client().post('/auth/logout', undefined, { bearer: ada.refreshToken }),
      ]);
      expect(out.status).toBe(204);
      const tokens = next.status === 200 ? [signedIn(next).refreshToken] : [];
      await expectDead(app, ada, ada.refreshToken, ...tokens);
    }
  });

  test('X-Token-Transport with another value means cookies', async () => {
    const body = {
      email: `x-${randomBytes(4).toString('hex')}@example.test`,
      name: 'x',
      password: '12345678',
    };
    const client = app.client();
    const answer = await client.post('/auth/signup', body, { headers: { 'x-token-transport': 'header' } });
    expect(answer.text).not.toContain('refreshToken');
    expect(answer.setCookies).toHaveLength(2);
    const inBody = await app.client().post('/auth/login', body, IN_BODY);
    expect(inBody.body.refreshToken).toBeTruthy();
  });
});
