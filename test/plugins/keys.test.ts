import { createHash } from 'node:crypto';
import Fastify from 'fastify';
import fp from 'fastify-plugin';
import { describe, expect, it } from 'vitest';
import { parseAuthSecrets, secretWeakness } from '../../plugins/keys/auth-secrets.ts';
import { createKeyring } from '../../plugins/keys/keyring.ts';
import keys from '../../plugins/keys.ts';

/** Bytes that pass for random but are the same in every run. */
const bytes = (label: string) => createHash('sha256').update(label).digest();
const V1 = { version: 'v1', secret: bytes('one') };
const V2 = { version: 'v2', secret: bytes('two') };

describe('parseAuthSecrets', () => {
  it('reads base64, base64url and hex, newest first', () => {
    const text = `v3:${bytes('a').toString('base64')},v2:${bytes('b').toString('base64url')}\nv1:${bytes('c').toString('hex')}`;
    const parsed = parseAuthSecrets(text);
    expect(parsed.map(({ version }) => version)).toEqual(['v3', 'v2', 'v1']);
    expect(parsed.map(({ secret }) => secret.toString('hex'))).toEqual(
      ['a', 'b', 'c'].map((label) => bytes(label).toString('hex')),
    );
  });

  it.each([
    ['nothing', '', /holds no secret/],
    ['no version', bytes('x').toString('base64url'), /entry 1 does not look like/],
    ['a version with a separator', `v.1:${bytes('x').toString('base64url')}`, /entry 1/],
    ['a part too many', `v1:${bytes('x').toString('base64url')}:a`, /entry 1 does not look like/],
    ['31 bytes', `v1:${bytes('x').subarray(1).toString('base64url')}`, /entry 1 is shorter than 32 bytes/],
    ['the same byte again and again', `v1:${'ab'.repeat(40)}`, /repeats too few bytes/],
    ['other characters', `v1:${'ä'.repeat(60)}`, /neither base64 nor hex/],
    ['a version twice', `v1:${bytes('x').toString('hex')},v1:${bytes('y').toString('hex')}`, /version twice/],
    ['a secret twice', `v2:${bytes('x').toString('hex')},v1:${bytes('x').toString('base64')}`, /one secret/],
  ])('refuses %s', (_, text, message) => {
    expect(() => parseAuthSecrets(text)).toThrow(message);
  });

  it('never repeats the text in its messages', () => {
    const short = bytes('x').toString('base64url').slice(0, 30);
    expect(() => parseAuthSecrets(`v2:${bytes('y').toString('hex')},v1:${short}`)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(short) }),
    );
  });
});

describe('createKeyring', () => {
  it('derives a key of its own for each purpose and version, the same ones again for the same secrets', () => {
    const keyring = createKeyring([V2, V1]);
    const all = (['refresh-successor', 'mailed-token', 'pre-hash', 'address-digest', 'limit-key'] as const)
      .flatMap((purpose) => [keyring.key(purpose, 'v1'), keyring.key(purpose, 'v2')])
      .map((key) => key?.toString('hex'));
    expect(new Set(all).size).toBe(10);
    expect(all.every((key) => key?.length === 64)).toBe(true);
    expect(createKeyring([V1, V2]).key('pre-hash', 'v1')).toEqual(keyring.key('pre-hash', 'v1'));
  });

  it('has no key of an unknown version', () => {
    const keyring = createKeyring([V1]);
    expect(keyring.key('pre-hash', 'v2')).toBeNull();
    expect(keyring.successor('any', 'v2')).toBeNull();
    expect(keyring.mailedToken('reset', `v2.${'a'.repeat(43)}`)).toBeNull();
    for (const nonce of ['', '.', 'v1', '.v1', 'v1.']) {
      expect(keyring.mailedToken('reset', nonce) === null).toBe(nonce !== 'v1.');
    }
  });

  it('refuses no secret, a weak one, a version twice', () => {
    expect(() => createKeyring([])).toThrow(/needs a secret/);
    expect(() => createKeyring([{ version: 'v1', secret: Buffer.alloc(32, 7) }])).toThrow(/repeats/);
    expect(() => createKeyring([V1, { ...V2, version: 'v1' }])).toThrow(/version of its own/);
    expect(secretWeakness(bytes('x'))).toBeNull();
  });

  it('derives the same mailed token on every instance, and after the keys rotate', () => {
    const old = createKeyring([V1]);
    const nonce = old.newNonce();
    const token = old.mailedToken('reset', nonce);
    expect(nonce).toMatch(/^v1\.[\w-]{43}$/);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(createKeyring([V2, V1]).mailedToken('reset', nonce)).toBe(token);
    expect(createKeyring([V2, V1]).newNonce()).toMatch(/^v2\./);
    expect(old.mailedToken('verification', nonce)).not.toBe(token);
    expect(old.mailedToken('reset', old.newNonce())).not.toBe(token);
  });

  it('digests under the newest key, and differently for each purpose', () => {
    const keyring = createKeyring([V2, V1]);
    expect(keyring.digest('address-digest', '192.0.2.1')).toMatch(/^[\w-]{22}$/);
    expect(keyring.digest('address-digest', '192.0.2.1')).toBe(
      createKeyring([V2]).digest('address-digest', '192.0.2.1'),
    );
    expect(keyring.digest('address-digest', '192.0.2.1')).not.toBe(keyring.digest('limit-key', '192.0.2.1'));
    expect(keyring.digest('address-digest', '192.0.2.1')).not.toBe(
      keyring.digest('address-digest', '192.0.2.2'),
    );
  });
});

it('the plugin decorates the app with the keyring of its configuration', async () => {
  const app = Fastify();
  app.register(
    fp(async (instance) => void instance.decorate('config', { authSecrets: [V2, V1] } as never), {
      name: 'config',
    }),
  );
  app.register(keys);
  await app.ready();
  expect(app.keyring.current).toBe('v2');
  await app.close();
});
