import { describe, expect, test } from 'vitest';
import { DAY, HOUR, HTTP_MODES, inEveryMode, SECOND, startApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { legacyJwt } from '../support/legacy-jwt.ts';
import {
  isAlive,
  login,
  newPassword,
  newPerson,
  type Person,
  resetBody,
  resetToken,
  signedIn,
} from '../support/users.ts';

const SECRET = 'not a real secret but long enough for the test';

/** The same bytes in base64url: the last character of 43 has two bits to spare, and an encoder leaves them zero. */
function respelled(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1) ?? '') + 1];
}

inEveryMode(async (mode) => {
  const until = new Date(Date.now() + 10 * DAY);
  const app = await startApp(mode, {
    env: { LEGACY_JWT_SECRET: SECRET, LEGACY_JWT_UNTIL: until.toISOString(), LEGACY_JWT_COOKIE: 'old_jwt' },
  });
  const seconds = (): number => Math.floor(app.clock.now().getTime() / 1000);
  let serial = 0;
  const claimsFor = (person: Pick<Person, 'id'>) => {
    serial += 1;
    return { sub: person.id, iat: seconds() - 3600, exp: seconds() + 30 * 86_400, jti: `t${serial}` };
  };
  const tokenFor = (person: Pick<Person, 'id'>): string => legacyJwt(SECRET, claimsFor(person));
  const byHeader = (token: string): Promise<Answer> => app.client().get('/auth/refresh', { bearer: token });
  const byCookie = (token: string): Promise<Answer> =>
    app.client().get('/auth/refresh', { headers: { cookie: `old_jwt=${token}` } });

  test('a token of the old service is exchanged from its header, into cookies or the body', async () => {
    const ada = await newPerson(app);
    const client = app.client();
    const inCookies = signedIn(await client.get('/auth/refresh', { bearer: tokenFor(ada) }), 200, client);
    expect(inCookies.user.id).toBe(ada.id);
    expect(inCookies.answer.text).not.toContain('refreshToken');
    expect(await isAlive(client)).toBe(true);
    expect((await client.get('/auth/refresh')).status).toBe(200);

    const headers = { 'x-token-transport': 'body' };
    const answer = await app.client().get('/auth/refresh', { bearer: tokenFor(ada), headers });
    expect(answer.setCookies).toEqual([]);
    const { accessToken, refreshToken } = signedIn(answer);
    expect((await app.client().get('/auth/me', { bearer: accessToken })).status).toBe(200);
    expect((await app.client().get('/auth/refresh', { bearer: refreshToken })).status).toBe(200);
  });

  test('a token of the old service is exchanged from its cookie, into cookies only', async () => {
    const ada = await newPerson(app);
    const client = app.client();
    const headers = { cookie: `old_jwt=${tokenFor(ada)}`, 'x-token-transport': 'body' };
    const answer = await client.get('/auth/refresh', { headers });
    expect(answer.status).toBe(200);
    expect(answer.text).not.toContain('refreshToken');
    expect(await isAlive(client)).toBe(true);
  });

  test('the cookie is refused from another site', async () => {
    const ada = await newPerson(app);
    const headers = { cookie: `old_jwt=${tokenFor(ada)}`, origin: 'https://evil.example' };
    expect((await app.client().get('/auth/refresh', { headers })).status).toBe(403);
  });

  test('a lost answer: inside the leeway the same session comes back, also to 10 tabs at once', async () => {
    const ada = await newPerson(app);
    const token = tokenFor(ada);
    const headers = { 'x-token-transport': 'body' };
    const tabs = await Promise.all(
      Array.from({ length: 10 }, () => app.client().get('/auth/refresh', { bearer: token, headers })),
    );
    expect(new Set(tabs.map((answer) => signedIn(answer).refreshToken)).size).toBe(1);
    const [first] = tabs;
    const { body } = await app.client().get('/auth/sessions', { bearer: first?.body.accessToken });
    expect(body.sessions).toHaveLength(2);
  });

  test('after the leeway an exchanged token is refused, and the session it opened lives on', async () => {
    const ada = await newPerson(app);
    const token = tokenFor(ada);
    const client = app.client();
    signedIn(await client.get('/auth/refresh', { bearer: token }), 200, client);
    app.clock.advance(app.config.refreshLeewayMs + 1);
    expect((await byHeader(token)).status).toBe(401);
    expect(await isAlive(client)).toBe(true);
  });

  test('only HS256 with its secret, unexpired, of a living user, is exchanged', async () => {
    const ada = await newPerson(app);
    const claims = claimsFor(ada);
    const { exp: _exp, ...endless } = claims;
    const refused = {
      'alg none': `${legacyJwt(SECRET, claims, { alg: 'none', typ: 'JWT' }).split('.').slice(0, 2).join('.')}.`,
      'alg HS512': legacyJwt(SECRET, claims, { alg: 'HS512', typ: 'JWT' }),
      'alg hs256': legacyJwt(SECRET, claims, { alg: 'hs256', typ: 'JWT' }),
      'alg EdDSA': legacyJwt(SECRET, claims, { alg: 'EdDSA', typ: 'JWT' }),
      'no alg': legacyJwt(SECRET, claims, { typ: 'JWT' }),
      'another secret': legacyJwt(`${SECRET}x`, claims),
      expired: legacyJwt(SECRET, { ...claims, exp: seconds() - 1 }),
      'without an end': legacyJwt(SECRET, endless),
      'not yet valid': legacyJwt(SECRET, { ...claims, nbf: seconds() + 60 }),
      'an unknown user': legacyJwt(SECRET, { ...claims, sub: 'f'.repeat(24) }),
      'an operator as user': legacyJwt(SECRET, { ...claims, sub: { $gt: '' } }),
      'no user': legacyJwt(SECRET, { exp: claims.exp }),
      'cut off': legacyJwt(SECRET, claims).slice(0, -2),
      'its signature spelled otherwise': respelled(legacyJwt(SECRET, claims)),
    };
    for (const [what, token] of Object.entries(refused)) {
      for (const answer of [await byHeader(token), await byCookie(token)]) {
        expect([answer.status, answer.body.code, answer.setCookies], what).toEqual([
          401,
          'refresh_invalid',
          [],
        ]);
      }
    }
    expect((await byHeader(legacyJwt(SECRET, claims))).status).toBe(200);
  });

  test('the service takes it nowhere but at /auth/refresh', async () => {
    const ada = await newPerson(app);
    const bearer = tokenFor(ada);
    for (const headers of [{}, { cookie: `access_token=${bearer}` }, { cookie: `old_jwt=${bearer}` }]) {
      expect((await app.client().get('/auth/me', { headers })).status).toBe(401);
      expect((await app.client().get('/auth/me', { bearer, headers })).status).toBe(401);
    }
  });

  test('our own access token, signed anew with the old secret, opens nothing', async () => {
    const ada = await newPerson(app);
    const [header = '', payload = ''] = ada.accessToken.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const kid = (JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string }).kid;
    const forged = legacyJwt(SECRET, claims, { alg: 'HS256', typ: 'at+jwt', kid });
    expect((await app.client().get('/auth/me', { bearer: forged })).status).toBe(401);
  });

  test('refused after a password change, a reset and a deletion', async () => {
    const [changed, reset, erased] = [await newPerson(app), await newPerson(app), await newPerson(app)];
    const tokens = [changed, reset, erased].map(tokenFor);
    const body = { currentPassword: changed.password, newPassword: newPassword() };
    expect((await changed.client.post('/auth/change-password', body)).status).toBe(200);
    const link = await resetToken(app, reset.email);
    await app.client().post('/auth/reset-password', resetBody(link, newPassword()));
    expect((await erased.client.delete('/auth/me', { password: erased.password })).status).toBe(204);
    for (const token of tokens) expect((await byHeader(token)).status).toBe(401);
  });

  test.each([
    ['after Bearer', (token: string) => ({ authorization: `Bearer ${token}` })],
    ['in its header, bare', (token: string) => ({ authorization: token })],
    ['in its cookie', (token: string) => ({ cookie: `old_jwt=${token}` })],
  ])('burnt by a logout with it (%s), before or after an exchange', async (_place, headersWith) => {
    const ada = await newPerson(app);
    const logout = (token: string): Promise<Answer> =>
      app.client().post('/auth/logout', undefined, { headers: headersWith(token) });

    const unused = tokenFor(ada);
    expect((await logout(unused)).status).toBe(204);
    expect((await byHeader(unused)).status).toBe(401);
    expect((await logout(unused)).status).toBe(204);

    const used = tokenFor(ada);
    const client = app.client();
    signedIn(await client.get('/auth/refresh', { bearer: used }), 200, client);
    expect((await logout(used)).status).toBe(204);
    expect(await isAlive(client)).toBe(false);
    expect((await byHeader(used)).status).toBe(401);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('a logout with it ends the session it opened, though the password was changed there since', async () => {
    const ada = await newPerson(app);
    const token = tokenFor(ada);
    const client = app.client();
    signedIn(await client.get('/auth/refresh', { bearer: token }), 200, client);
    const body = { currentPassword: ada.password, newPassword: newPassword() };
    expect((await client.post('/auth/change-password', body)).status).toBe(200);
    expect(await isAlive(client)).toBe(true);
    expect((await app.client().post('/auth/logout', undefined, { bearer: token })).status).toBe(204);
    expect(await isAlive(client)).toBe(false);
  });

  test('logout and exchange at once leave no living session', async () => {
    for (let round = 0; round < 5; round += 1) {
      const ada = await newPerson(app);
      const token = tokenFor(ada);
      const headers = { 'x-token-transport': 'body' };
      const [answer] = await Promise.all([
        app.client().get('/auth/refresh', { bearer: token, headers }),
        app.client().post('/auth/logout', undefined, { bearer: token }),
      ]);
      const bearer = answer.body.accessToken ?? 'none';
      expect((await app.client().get('/auth/me', { bearer })).status).toBe(401);
      expect((await byHeader(token)).status).toBe(401);
    }
  });

  test('a browser that has a session of this service keeps it, whatever old cookie lies beside', async () => {
    const ada = await newPerson(app);
    const bob = await newPerson(app);
    const elsewhere = await login(app, ada.email, ada.password);
    elsewhere.client.cookies.set('old_jwt', { value: tokenFor(bob), path: '/' });
    const answer = signedIn(await elsewhere.client.get('/auth/refresh'), 200, elsewhere.client);
    expect(answer.user.id).toBe(ada.id);
    await elsewhere.client.post('/auth/logout');
    expect(elsewhere.client.cookies.size).toBe(0);
  });

  describe('with its own header and claim', async () => {
    const other = await startApp(mode, {
      beside: app,
      env: { LEGACY_JWT_HEADER: 'X-Auth-Token', LEGACY_JWT_SUBJECT: 'userId,id' },
    });

    test('the token is taken from that header, bare, and that claim', async () => {
      const ada = await newPerson(other);
      const { sub, ...claims } = claimsFor(ada);
      const token = legacyJwt(SECRET, { ...claims, userId: sub });
      const headers = { 'x-auth-token': token };
      expect((await other.client().get('/auth/refresh', { headers })).status).toBe(200);
      expect((await other.client().get('/auth/refresh', { bearer: tokenFor(ada) })).status).toBe(401);
    });

    test('a logout takes it from there, too: it burns the token and ends the session that it opened', async () => {
      const ada = await newPerson(other);
      const tokenOf = (person: Person): string => {
        const { sub, ...claims } = claimsFor(person);
        return legacyJwt(SECRET, { ...claims, userId: sub });
      };
      const using = (token: string) => ({ headers: { 'x-auth-token': token } });
      const unused = tokenOf(ada);
      expect((await other.client().post('/auth/logout', undefined, using(unused))).status).toBe(204);
      expect((await other.client().get('/auth/refresh', using(unused))).status).toBe(401);

      const used = tokenOf(ada);
      const client = other.client();
      signedIn(await client.get('/auth/refresh', using(used)), 200, client);
      expect((await other.client().post('/auth/logout', undefined, using(used))).status).toBe(204);
      expect(await isAlive(client)).toBe(false);
    });
  });

  describe('unless configured', async () => {
    const off = await startApp(mode, { beside: app, env: { LEGACY_JWT_SECRET: '', LEGACY_JWT_UNTIL: '' } });

    test('no old token is taken', async () => {
      const ada = await newPerson(off);
      const answer = await off.client().get('/auth/refresh', { bearer: tokenFor(ada) });
      expect(answer.status).toBe(401);
    });
  });

  test('none is exchanged after the end date, though it has not expired', async () => {
    const ada = await newPerson(app);
    const [early, late] = [tokenFor(ada), tokenFor(ada)];
    app.clock.advance(until.getTime() - app.clock.now().getTime() - SECOND);
    expect((await byHeader(early)).status).toBe(200);
    app.clock.advance(HOUR);
    expect((await byHeader(late)).status).toBe(401);
    expect((await byCookie(late)).status).toBe(401);
  });
});

const ALONE = HTTP_MODES.filter((mode) => mode.endsWith('-only'));

describe.each(ALONE)('with REQUIRE_VERIFIED_EMAIL, in %s', async (mode) => {
  const app = await startApp(mode, {
    env: {
      REQUIRE_VERIFIED_EMAIL: 'true',
      LEGACY_JWT_SECRET: SECRET,
      LEGACY_JWT_UNTIL: new Date(Date.now() + DAY).toISOString(),
    },
  });

  test('a token is exchanged once the e-mail is verified', async () => {
    const ada = await newPerson(app);
    const exp = Math.floor(app.clock.now().getTime() / 1000) + 3_600;
    const bearer = legacyJwt(SECRET, { sub: ada.id, exp, jti: 'a' });
    const refused = await app.client().get('/auth/refresh', { bearer });
    expect([refused.status, refused.body.code]).toEqual([403, 'email_not_verified']);
    const token = await app.inbox.token(ada.email, 'verify-email');
    expect((await app.client().post('/auth/verify-email', { token })).status).toBe(200);
    expect((await app.client().get('/auth/refresh', { bearer })).status).toBe(200);
  });
});

describe.each(ALONE)('once the session is forgotten, in %s', async (mode) => {
  const app = await startApp(mode, {
    env: {
      SESSION_ABSOLUTE: '1d',
      SESSION_IDLE: '12h',
      RETENTION: '7d',
      LEGACY_JWT_SECRET: SECRET,
      LEGACY_JWT_UNTIL: new Date(Date.now() + 60 * DAY).toISOString(),
    },
  });
  const exchange = (bearer: string): Promise<Answer> => app.client().get('/auth/refresh', { bearer });

  test('a token that was used or burnt stays so for as long as it would be good', async () => {
    const ada = await newPerson(app);
    const exp = Math.floor(app.clock.now().getTime() / 1000) + 30 * 86_400;
    const [burnt = '', used = '', fresh = ''] = ['a', 'b', 'c'].map((jti) =>
      legacyJwt(SECRET, { sub: ada.id, exp, jti }),
    );
    expect((await app.client().post('/auth/logout', undefined, { bearer: burnt })).status).toBe(204);
    const client = app.client();
    signedIn(await client.get('/auth/refresh', { bearer: used }), 200, client);
    for (let rotation = 0; rotation < 2; rotation += 1) {
      app.clock.advance(11 * HOUR);
      expect((await client.get('/auth/refresh')).status).toBe(200);
    }
    // The session itself ends with the others.
    app.clock.advance(2 * HOUR + SECOND);
    expect((await client.get('/auth/refresh')).status).toBe(401);

    app.clock.advance(8 * DAY);
    const expiredBefore = new Date(app.clock.now().getTime() - app.config.retentionMs);
    const purged = await app.app.repository.purge({ expiredBefore, limit: 1_000 });
    // The one of the signup.
    expect(purged.sessions).toBe(1);
    expect((await exchange(burnt)).status).toBe(401);
    expect((await exchange(used)).status).toBe(401);
    expect((await exchange(fresh)).status).toBe(200);
  });
});
