import { createHmac, createPrivateKey, createPublicKey, type JsonWebKey, sign } from 'node:crypto';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, test } from 'vitest';
import { inEveryMode, newJwk, SECOND, startApp } from '../support/app.ts';
import { isAlive, login, newPerson } from '../support/users.ts';

type Json = Record<string, unknown>;
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const read = (text: string | undefined): Json =>
  JSON.parse(Buffer.from(text ?? '', 'base64url').toString()) as Json;

function signEdDsa(jwk: object, header: Json, claims: Json): string {
  const text = `${part(header)}.${part(claims)}`;
  const key = createPrivateKey({ key: jwk as JsonWebKey, format: 'jwk' });
  return `${text}.${sign(null, Buffer.from(text), key).toString('base64url')}`;
}

inEveryMode(async (mode) => {
  const key = newJwk('EdDSA');
  const app = await startApp(mode, { env: { JWT_KEYS: JSON.stringify({ keys: [key] }) } });
  const me = async (bearer: string) => (await app.client().get('/auth/me', { bearer })).status;

  async function jwks(of = app) {
    const answer = await of.client().get('/.well-known/jwks.json');
    expect(answer.headers['cache-control']).toMatch(/max-age=\d+/);
    return answer.body as unknown as { keys: JsonWebKey[] };
  }

  test('an access token is a JWT of 15 minutes with kid, iss, aud, sub, sid, that JWKS alone verifies', async () => {
    const ada = await newPerson(app);
    const { payload, protectedHeader } = await jwtVerify(ada.accessToken, createLocalJWKSet(await jwks()), {
      issuer: app.config.jwtIssuer,
      audience: app.config.jwtAudience,
      typ: 'at+jwt',
      algorithms: ['EdDSA'],
      currentDate: app.clock.now(),
    });
    expect(protectedHeader).toEqual({ alg: 'EdDSA', typ: 'at+jwt', kid: key.kid });
    const iat = Math.floor(app.clock.now().getTime() / 1000);
    const sid = ada.refreshToken.split('.')[0];
    expect(payload).toEqual({
      iss: app.config.jwtIssuer,
      aud: app.config.jwtAudience,
      sub: ada.id,
      sid,
      iat,
      exp: iat + 900,
      jti: expect.any(String),
    });
  });

  test('JWKS holds public parts only', async () => {
    for (const each of (await jwks()).keys) {
      expect(Object.keys(each).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x']);
    }
  });

  test('every forgery is refused', async () => {
    const ada = await newPerson(app);
    const [head, body, signature = ''] = ada.accessToken.split('.');
    const header = read(head);
    const claims = read(body);
    const stranger = newJwk('EdDSA');
    const publicKey = createPublicKey({ key: key as JsonWebKey, format: 'jwk' });
    const hmac = (secret: string | Buffer, alg = 'HS256'): string => {
      const text = `${part({ ...header, alg })}.${part(claims)}`;
      return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
    };
    const now = Math.floor(app.clock.now().getTime() / 1000);
    const signed = (changed: Json, changedHeader: Json = {}, by: object = key): string =>
      signEdDsa(by, { ...header, ...changedHeader }, { ...claims, ...changed });
    const forgeries = {
      'alg none': `${part({ ...header, alg: 'none' })}.${body}.`,
      'alg none, signature kept': `${part({ ...header, alg: 'none' })}.${body}.${signature}`,
      'HMAC with the public key as PEM': hmac(publicKey.export({ format: 'pem', type: 'spki' }).toString()),
      'HMAC with the public key as DER': hmac(publicKey.export({ format: 'der', type: 'spki' })),
      'HMAC with the raw public key': hmac(Buffer.from(String(key['x']), 'base64url')),
      'a key of its own by jwk': signed({}, { jwk: { ...stranger, d: undefined } }, stranger),
      'a key of its own by jku': signed({}, { jku: 'https://evil.example/jwks.json' }, stranger),
      'a key of its own by x5u': signed({}, { x5u: 'https://evil.example/cert.pem' }, stranger),
      'jwk beside a good signature': signed({}, { jwk: { ...key, d: undefined } }),
      'an unknown kid': signed({}, { kid: 'unknown' }),
      'a stranger under our kid': signed({}, {}, stranger),
      'no kid': signed({}, { kid: undefined }),
      'an alg that is not of the kid': signed({}, { alg: 'ES256' }),
      'another issuer': signed({ iss: 'https://evil.example' }),
      'another audience': signed({ aud: 'https://evil.example' }),
      'no audience': signed({ aud: undefined }),
      'another type': signed({}, { typ: 'JWT' }),
      'no type': signed({}, { typ: undefined }),
      expired: signed({ iat: now - 1000, exp: now - 6 }),
      'without an end': signed({ exp: undefined }),
      'not yet valid': signed({ nbf: now + 60 }),
      'issued in the future': signed({ iat: now + 60 }),
      'no session': signed({ sid: undefined }),
      'no subject': signed({ sub: undefined }),
      'an operator as session': signed({ sid: { $gt: '' } }),
      'another claim, signature kept': `${head}.${part({ ...claims, sub: 'x' })}.${signature}`,
      'a cut signature': ada.accessToken.slice(0, -4),
    };
    for (const [what, token] of Object.entries(forgeries)) expect(await me(token), what).toBe(401);
    expect(await me(signed({}))).toBe(200);
    expect(await me(signed({ exp: now - 4, iat: now - 900 })), 'a clock that is 4 s off').toBe(200);
  });

  test("a token that names another user's session is refused", async () => {
    const [ada, eve] = [await newPerson(app), await newPerson(app)];
    const claims = read(ada.accessToken.split('.')[1]);
    const header = read(ada.accessToken.split('.')[0]);
    expect(await me(signEdDsa(key, header, { ...claims, sub: eve.id }))).toBe(401);
  });

  /** One instance after another gets a new key and a new secret: first it knows them, then they are first. */
  describe('while a new key and a new secret take over', async () => {
    const next = newJwk('ES256');
    const [old, secret] = [app.env['AUTH_SECRETS'], `v2:${'0123456789abcdefABCDEFghijklmnopqrstuvwxyzZ'}`];
    const knowing = await startApp(mode, {
      beside: app,
      env: { JWT_KEYS: JSON.stringify({ keys: [next, key] }), AUTH_SECRETS: `${old},${secret}` },
    });
    const changed = await startApp(mode, {
      beside: app,
      env: { JWT_KEYS: JSON.stringify({ keys: [next] }), AUTH_SECRETS: `${secret},${old}` },
    });

    test('the new key signs, the older one still verifies, until it is dropped; sessions live on', async () => {
      const ada = await newPerson(app);
      const twin = knowing.client();
      const me = (of: typeof app, bearer: string) => of.client().get('/auth/me', { bearer });
      expect((await me(knowing, ada.accessToken)).status).toBe(200);
      const { accessToken } = await login(knowing, ada.email, ada.password);
      expect(read(accessToken.split('.')[0])).toMatchObject({ kid: next.kid, alg: 'ES256' });
      const published = await jwks(knowing);
      expect(published.keys.map((each) => each['kid'])).toEqual([next.kid, key.kid]);
      await jwtVerify(accessToken, createLocalJWKSet(published), { currentDate: app.clock.now() });
      expect((await me(changed, ada.accessToken)).status).toBe(401);
      expect((await me(changed, accessToken)).status).toBe(200);
      expect((await me(app, accessToken)).status).toBe(401);
      expect((await twin.get('/auth/refresh', { bearer: ada.refreshToken })).status).toBe(200);
      app.clock.advance(SECOND);
    });

    test.each([
      ['where the secret is second', knowing, changed],
      ['where it is first', changed, knowing],
    ])('sessions, passwords and mailed links made %s go on elsewhere', async (_when, one, other) => {
      const ada = await newPerson(one, { password: 'x'.repeat(100) });
      expect((await other.client().get('/auth/refresh', { bearer: ada.refreshToken })).status).toBe(200);
      expect(await isAlive((await login(other, ada.email, ada.password)).client)).toBe(true);
      const token = await app.inbox.token(ada.email, 'verify-email');
      expect((await other.client().post('/auth/verify-email', { token })).status).toBe(200);
    });
  });
});
