import { createHash, createHmac, generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto';
import Fastify from 'fastify';
import fp from 'fastify-plugin';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { afterAll, describe, expect, it } from 'vitest';
import clock from '../../plugins/clock.ts';
import { type JwtKey, parseJwtKeys } from '../../plugins/keys/jwt-keys.ts';
import tokens from '../../plugins/tokens.ts';

const ISSUER = 'https://auth.example.org';
const AUDIENCE = 'https://api.example.org';
const claims = { userId: '65f0c0ffee65f0c0ffee65f0', sessionId: '65f0c0ffee65f0c0ffee65f1' };

interface Pair {
  readonly key: JwtKey;
  readonly privateKey: KeyObject;
}
function pair(alg: JwtKey['alg']): Pair {
  const privateKey =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519').privateKey
      : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  return {
    key: parseJwtKeys(String(privateKey.export({ format: 'pem', type: 'pkcs8' })))[0] as JwtKey,
    privateKey,
  };
}
const ed = pair('EdDSA');
const older = pair('EdDSA');
const ec = pair('ES256');

const opened: { close(): Promise<unknown> }[] = [];
afterAll(() => Promise.all(opened.map((app) => app.close())));

async function open(keys: readonly JwtKey[], config: Record<string, unknown> = {}) {
  const time = { ms: Date.parse('2026-05-01T12:00:00Z') };
  const defaults = {
    jwtKeys: keys,
    jwtIssuer: ISSUER,
    jwtAudience: AUDIENCE,
    accessTokenTtlMs: 900_000,
    legacyJwt: null,
  };
  const app = Fastify();
  app.register(
    fp(async (instance) => void instance.decorate('config', { ...defaults, ...config } as never), {
      name: 'config',
    }),
  );
  app.register(clock, { now: () => new Date(time.ms) });
  app.register(tokens);
  await app.ready();
  opened.push(app);
  return { app, time, access: app.accessTokens };
}

const encode = (json: unknown) => Buffer.from(JSON.stringify(json)).toString('base64url');
const decode = (segment: string | undefined) =>
  JSON.parse(Buffer.from(segment ?? '', 'base64url').toString());

/** Signs anything, so that each fault can be made on its own. */
function forge(
  { key, privateKey }: Pair,
  payload: Record<string, unknown>,
  header: Record<string, unknown> = {},
): string {
  const input = `${encode({ alg: key.alg, typ: 'at+jwt', kid: key.kid, ...header })}.${encode(payload)}`;
  const bytes = Buffer.from(input);
  const signature =
    key.alg === 'EdDSA'
      ? signBytes(null, bytes, privateKey)
      : signBytes('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

const { access, time } = await open([ed.key, older.key, ec.key]);
const seconds = time.ms / 1000;
const good = {
  iss: ISSUER,
  aud: AUDIENCE,
  sub: claims.userId,
  sid: claims.sessionId,
  iat: seconds,
  exp: seconds + 900,
};

describe('access tokens', () => {
  it.each([ed, ec])('are signed by the newest key, as at+jwt, for 15 minutes ($key.alg)', async (newest) => {
    const { access, time } = await open([newest.key, older.key]);
    const [header, payload] = access
      .sign(claims)
      .split('.')
      .map((segment, index) => (index < 2 ? decode(segment) : null));
    expect(header).toEqual({ alg: newest.key.alg, typ: 'at+jwt', kid: newest.key.kid });
    expect(payload).toEqual({
      ...good,
      iat: time.ms / 1000,
      exp: time.ms / 1000 + 900,
      jti: expect.any(String),
    });
    expect(access.sign(claims), 'of the same second').not.toBe(access.sign(claims));
    expect(access.verify(access.sign(claims))).toEqual(claims);
  });

  it('are verified by anybody who has the JWK set', async () => {
    const { app, access } = await open([ec.key, ed.key]);
    const keys = createLocalJWKSet(JSON.parse(JSON.stringify(access.jwks())));
    const options = { issuer: ISSUER, audience: AUDIENCE, typ: 'at+jwt', currentDate: app.now() };
    const { payload } = await jwtVerify(access.sign(claims), keys, options);
    expect(payload).toMatchObject({ sub: claims.userId, sid: claims.sessionId });
  });

  it('publish public keys only, newest first', () => {
    const { keys } = access.jwks();
    expect(keys.map(({ kid, alg, use }) => ({ kid, alg, use }))).toEqual(
      [ed, older, ec].map(({ key }) => ({ kid: key.kid, alg: key.alg, use: 'sig' })),
    );
    expect(JSON.stringify(keys)).not.toContain('"d"');
  });

  it('of an older key still verify, until it is dropped', async () => {
    const token = (await open([older.key])).access.sign(claims);
    const publicOnly = { ...older.key, privateKeyPem: null };
    expect((await open([ed.key, older.key])).access.verify(token)).toEqual(claims);
    expect((await open([ec.key, publicOnly])).access.verify(token)).toEqual(claims);
    expect((await open([ed.key])).access.verify(token)).toBeNull();
  });

  it('last as long as configured', async () => {
    const { access, time } = await open([ed.key], { accessTokenTtlMs: 2000 });
    const token = access.sign(claims);
    time.ms += 6999;
    expect(access.verify(token)).toEqual(claims);
    time.ms += 1;
    expect(access.verify(token)).toBeNull();
    time.ms -= 1000;
    expect(access.verify(token)).toEqual(claims);
  });

  it('of a clock that is up to 5 s ahead are good', () => {
    expect(access.verify(forge(ed, { ...good, iat: seconds + 5 }))).toEqual(claims);
    expect(access.verify(forge(ed, { ...good, nbf: seconds + 5 }))).toEqual(claims);
    expect(access.verify(forge(ed, { ...good, aud: [AUDIENCE, 'https://other.example.org'] }))).toEqual(
      claims,
    );
  });
});

const publicJwk = access.jwks().keys[0];
const without = (claim: keyof typeof good) =>
  Object.fromEntries(Object.entries(good).filter(([name]) => name !== claim));
const unsigned = (header: Record<string, unknown>) =>
  `${encode({ typ: 'at+jwt', kid: ed.key.kid, ...header })}.${encode(good)}`;
function hmacWith(secret: string | Buffer, alg = 'HS256'): string {
  const input = unsigned({ alg });
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

describe('an access token is refused', () => {
  it('is forged well enough to be accepted without the fault', () => {
    for (const signer of [ed, older, ec]) expect(access.verify(forge(signer, good))).toEqual(claims);
  });

  it.each<[string, string]>([
    ['with alg none and no signature', `${unsigned({ alg: 'none' })}.`],
    ['with alg none and a good signature', forge(ed, good, { alg: 'none' })],
    ['without a signature', `${unsigned({ alg: 'EdDSA' })}.`],
    ['with HS256 under the public key as PEM', hmacWith(ed.key.publicKeyPem)],
    ['with HS256 under the raw public key', hmacWith(Buffer.from(publicJwk?.x ?? '', 'base64url'))],
    ['with HS256 under the public key, named EdDSA', hmacWith(ed.key.publicKeyPem, 'EdDSA')],
    ['with jwk', forge(ed, good, { jwk: publicJwk })],
    ['with jku', forge(ed, good, { jku: `${ISSUER}/.well-known/jwks.json` })],
    ['with x5u', forge(ed, good, { x5u: ISSUER })],
    ['with x5c', forge(ed, good, { x5c: [] })],
    ['with crit', forge(ed, good, { crit: ['exp'] })],
    ['with b64', forge(ed, good, { b64: false })],
    ['with an unknown kid', forge(ed, good, { kid: 'unknown' })],
    ['without kid', forge(ed, good, { kid: undefined })],
    ['with a kid that objects have by nature', forge(ed, good, { kid: '__proto__' })],
    ['with the kid of another key', forge(ed, good, { kid: older.key.kid })],
    ['with the kid of another algorithm', forge(ed, good, { kid: ec.key.kid })],
    ['with kid and alg of another algorithm', forge(ed, good, { kid: ec.key.kid, alg: 'ES256' })],
    ['with an alg of another family', forge(ed, good, { alg: 'ES256' })],
    ['with typ JWT', forge(ed, good, { typ: 'JWT' })],
    ['with typ in other letters', forge(ed, good, { typ: 'AT+JWT' })],
    ['without typ', forge(ed, good, { typ: undefined })],
    ['of another issuer', forge(ed, { ...good, iss: 'https://evil.example.org' })],
    ['without issuer', forge(ed, without('iss'))],
    ['for another audience', forge(ed, { ...good, aud: 'https://other.example.org' })],
    ['without audience', forge(ed, without('aud'))],
    ['without subject', forge(ed, without('sub'))],
    ['with an empty subject', forge(ed, { ...good, sub: '' })],
    ['with a subject that is an object', forge(ed, { ...good, sub: { $gt: '' } })],
    ['without session', forge(ed, without('sid'))],
    ['without issue time', forge(ed, without('iat'))],
    ['without expiry', forge(ed, without('exp'))],
    ['with an expiry in words', forge(ed, { ...good, exp: '9999999999' })],
    ['expired', forge(ed, { ...good, exp: seconds - 5 })],
    ['not yet valid', forge(ed, { ...good, nbf: seconds + 6 })],
    ['issued in the future', forge(ed, { ...good, iat: seconds + 6 })],
    ['with another payload', forge(ed, good).replace(/\.[\w-]+\./, `.${encode({ ...good, sub: 'eve' })}.`)],
    ['in four parts', `${forge(ed, good)}.a`],
    ['padded', `${forge(ed, good)}=`],
    ['of more than 2 KiB', forge(ed, { ...good, more: 'a'.repeat(2048) })],
    ['that is empty', ''],
    ['that is no token', 'hello'],
    ['whose header is null', `${encode(null)}.${encode(good)}.a`],
  ])('%s', (_, token) => {
    expect(access.verify(token)).toBeNull();
    expect(access.verify(token)).toBeNull();
  });
});

it('a token that was accepted once is refused once it expires, and by instances with other keys', async () => {
  const { access, time } = await open([ed.key]);
  const token = access.sign(claims);
  expect(access.verify(token)).toEqual(claims);
  time.ms += 904_999;
  expect(access.verify(token)).toEqual(claims);
  time.ms += 1;
  expect(access.verify(token)).toBeNull();
});

it('remembers a bounded number of tokens, and verifies the forgotten ones again', async () => {
  const { access } = await open([ed.key]);
  const many = Array.from({ length: 5100 }, (_, index) =>
    access.sign({ ...claims, sessionId: String(index) }),
  );
  for (let round = 0; round < 2; round++) {
    many.forEach((token, index) => void expect(access.verify(token)?.sessionId).toBe(String(index)));
  }
});

it('the verifier for old tokens is there only when configured', async () => {
  expect((await open([ed.key])).app.legacyTokens).toBeNull();
  const secret = createHash('sha256').update('the old service').digest('hex');
  const legacyJwt = {
    secret,
    until: new Date('2030-01-01'),
    subjectClaims: ['sub'],
    cookie: 'token',
    header: 'authorization',
  };
  const { app, access, time } = await open([ed.key], { legacyJwt });
  const input = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: claims.userId, exp: time.ms / 1000 + 60 })}`;
  const token = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  expect(app.legacyTokens?.verify(token, app.now())?.userId).toBe(claims.userId);
  expect(access.verify(token)).toBeNull();
  expect(app.legacyTokens?.verify(access.sign(claims), app.now())).toBeNull();
});
