import { describe, expect, test } from 'vitest';
import { inEveryMode, startApp, type TestApp } from '../support/app.ts';
import type { SetCookie } from '../support/client.ts';
import { newPerson, type Person } from '../support/users.ts';

/** Name and attributes of each cookie an answer set or cleared, without what tells set from clear. */
function scopes(cookies: readonly SetCookie[]): readonly object[] {
  return cookies.map(({ name, attributes }) => {
    const { 'max-age': _maxAge, expires: _expires, ...scope } = attributes;
    return { name, ...scope };
  });
}

/** Every way to get and to lose the cookies. */
async function setAndCleared(app: TestApp): Promise<{ set: SetCookie[][]; cleared: SetCookie[][] }> {
  const ada = await newPerson(app);
  const { email, password } = ada;
  const credentials = { email, password };
  const signup = await app.client().post('/auth/signup', { ...credentials, email: `x${email}`, name: 'x' });
  const login = await ada.client.post('/auth/login', credentials);
  const refresh = await ada.client.get('/auth/refresh');
  const logout = await ada.client.copy().post('/auth/logout');
  await ada.client.post('/auth/login', credentials);
  const own = (await ada.client.get('/auth/sessions')).body.sessions?.find(({ current }) => current)?.id;
  const ended = await ada.client.delete(`/auth/sessions/${own}`);
  await ada.client.post('/auth/login', credentials);
  const erased = await ada.client.delete('/auth/me', { password });
  const cookies = (answers: readonly { setCookies: readonly SetCookie[] }[]): SetCookie[][] =>
    answers.map(({ setCookies }) => [...setCookies]);
  return { set: cookies([signup, login, refresh]), cleared: cookies([logout, ended, erased]) };
}

inEveryMode(async (mode) => {
  const plain = await startApp(mode);

  describe('over http in development', () => {
    const app = plain;

    test('names, path and flags; set and clear use the same options', async () => {
      const { set, cleared } = await setAndCleared(app);
      const expected = [
        { name: 'access_token', path: '/', httponly: '', samesite: 'Lax' },
        { name: 'refresh_token', path: '/auth', httponly: '', samesite: 'Strict' },
      ];
      for (const cookies of [...set, ...cleared]) expect(scopes(cookies)).toEqual(expected);
      for (const [access, refresh] of set) {
        expect(access?.attributes['max-age']).toBe('900');
        expect(refresh?.attributes['max-age']).toBe(String(app.config.sessionIdleMs / 1000));
      }
      for (const cookies of cleared) {
        for (const { value, attributes } of cookies) {
          expect(value).toBe('');
          expect(attributes['max-age'] === '0' || Date.parse(attributes['expires'] ?? '') === 0).toBe(true);
        }
      }
    });
  });

  describe('over https', async () => {
    const app = await startApp(mode, { beside: plain, env: { PUBLIC_URL: 'https://auth.example.test' } });

    test('__Host- and __Secure- names, Secure, no Domain; set and clear use the same options', async () => {
      const { set, cleared } = await setAndCleared(app);
      for (const cookies of [...set, ...cleared]) {
        expect(scopes(cookies)).toEqual([
          { name: '__Host-access_token', path: '/', httponly: '', secure: '', samesite: 'Lax' },
          { name: '__Secure-refresh_token', path: '/auth', httponly: '', secure: '', samesite: 'Strict' },
        ]);
      }
    });

    test('the unprefixed names count for nothing there', async () => {
      const ada: Person = await newPerson(app);
      const cookie = `access_token=${ada.accessToken}; refresh_token=${ada.refreshToken}`;
      const client = app.client();
      expect((await client.get('/auth/me', { headers: { cookie } })).status).toBe(401);
      expect((await client.get('/auth/refresh', { headers: { cookie } })).status).toBe(401);
    });

    test('HSTS is on', async () => {
      const { headers } = await app.client().get('/auth/me');
      expect(headers['strict-transport-security']).toMatch(/^max-age=\d{8}/);
    });
  });

  describe('with SameSite configured', async () => {
    const app = await startApp(mode, {
      beside: plain,
      env: {
        PUBLIC_URL: 'https://auth.example.test',
        COOKIE_SAMESITE_ACCESS: 'None',
        COOKIE_SAMESITE_REFRESH: 'None',
      },
    });

    test('both cookies carry it, set and cleared', async () => {
      const { set, cleared } = await setAndCleared(app);
      for (const cookies of [...set, ...cleared]) {
        expect(cookies.map(({ attributes }) => attributes['samesite'])).toEqual(['None', 'None']);
      }
    });
  });
});
