import { generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { describe, expect, it } from 'vitest';
import { parseJwtKeys, publicJwk } from '../../plugins/keys/jwt-keys.ts';

const ed = generateKeyPairSync('ed25519');
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = (pair: { privateKey: typeof ed.privateKey }) =>
  String(pair.privateKey.export({ format: 'pem', type: 'pkcs8' }));
const publicPem = (pair: { publicKey: typeof ed.publicKey }) =>
  String(pair.publicKey.export({ format: 'pem', type: 'spki' }));
const jwk = (pair: { privateKey: typeof ed.privateKey }) => pair.privateKey.export({ format: 'jwk' });

describe('parseJwtKeys', () => {
  it('reads PEM blocks, newest first, named by their thumbprints', async () => {
    const keys = parseJwtKeys(`${pem(ed)}\nsome comment\n${publicPem(p256)}`);
    expect(keys.map(({ alg, privateKeyPem }) => [alg, privateKeyPem !== null])).toEqual([
      ['EdDSA', true],
      ['ES256', false],
    ]);
    expect(keys[0]?.kid).toBe(await calculateJwkThumbprint(publicJwk(keys[0] as never), 'sha256'));
    expect(keys[1]?.kid).toBe(await calculateJwkThumbprint(publicJwk(keys[1] as never), 'sha256'));
  });

  it('reads PEM on one line, as environment files hold it', () => {
    expect(parseJwtKeys(pem(p256).replaceAll('\n', '\\n'))).toEqual(parseJwtKeys(pem(p256)));
  });

  it('reads a JWK, an array and a set', () => {
    const [a, b] = [
      { ...jwk(ed), kid: 'b' },
      { ...jwk(p256), kid: 'a', alg: 'ES256' },
    ];
    expect(parseJwtKeys(JSON.stringify(a)).map(({ kid }) => kid)).toEqual(['b']);
    expect(parseJwtKeys(JSON.stringify([a, b])).map(({ kid }) => kid)).toEqual(['b', 'a']);
    expect(parseJwtKeys(JSON.stringify({ keys: [a, b] }))).toEqual(parseJwtKeys(JSON.stringify([a, b])));
  });

  it('reads public JWKs of keys that only verify', () => {
    const text = JSON.stringify([jwk(ed), p256.publicKey.export({ format: 'jwk' })]);
    expect(parseJwtKeys(text)).toEqual(parseJwtKeys(`${pem(ed)}${publicPem(p256)}`));
  });

  it('publishes nothing private', () => {
    for (const pair of [ed, p256]) {
      const [key] = parseJwtKeys(pem(pair));
      const published = publicJwk(key as never);
      expect(published).toEqual({
        ...pair.publicKey.export({ format: 'jwk' }),
        kid: key?.kid,
        alg: key?.alg,
        use: 'sig',
      });
      expect(published).not.toHaveProperty('d');
    }
  });

  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
  it.each([
    ['nothing', '', /holds no key/],
    ['no key at all', 'hello', /holds no key/],
    ['RSA', pem(rsa), /key 1 is neither/],
    ['P-384', pem(p384), /key 1 is neither/],
    ['secp256k1', pem(k1), /key 1 is neither/],
    ['X25519', pem(generateKeyPairSync('x25519')), /key 1 is neither/],
    ['a symmetric key', JSON.stringify({ kty: 'oct', k: 'a'.repeat(43), kid: 'a' }), /key 1 can't be read/],
    ['a public key that is to sign', publicPem(ed), /begins with a public key/],
    ['one key twice', `${pem(ed)}${pem(ed)}`, /twice/],
    [
      'one kid twice',
      JSON.stringify([
        { ...jwk(ed), kid: 'a' },
        { ...jwk(p256), kid: 'a' },
      ]),
      /twice/,
    ],
    ['an alg of another family', JSON.stringify({ ...jwk(ed), alg: 'HS256' }), /not of the alg/],
    ['an odd kid', JSON.stringify({ ...jwk(ed), kid: 'a\nb' }), /kid/],
    ['half a PEM', pem(ed).replace('MC4', 'MMM'), /key 1 can't be read/],
    ['null', '[null]', /key 1 can't be read/],
  ])('refuses %s', (_, text, message) => {
    expect(() => parseJwtKeys(text)).toThrow(message);
  });

  it('never repeats the text in its messages', () => {
    const text = JSON.stringify(jwk(ed)).slice(0, -1);
    expect(() => parseJwtKeys(text)).toThrow(
      expect.objectContaining({ message: 'looks like JSON but is none' }),
    );
  });
});
