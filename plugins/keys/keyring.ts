import { createHmac, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { isKeyVersion } from '../../db/password-hash.ts';
import { type AuthSecret, secretWeakness } from './auth-secrets.ts';

/** What a derived key is for; no two purposes share one. */
export type KeyPurpose =
  | 'refresh-successor'
  | 'mailed-token'
  | 'pre-hash'
  | 'address-digest'
  | 'diff-digest'
  | 'limit-key';

export type MailPurpose = 'verification' | 'reset';

export interface Keyring {
  /** Version of the newest secret: everything new is made with it. */
  readonly current: string;
  /** 32 bytes for this purpose alone; null when the version is no longer (or not yet) configured. */
  key(purpose: KeyPurpose, version: string): Buffer | null;
  /**
   * The refresh token that replaces `token`, derived with the session's key: 43 base64url characters, without the
   * session id. Null when that key is gone; the session then cannot be refreshed any more.
   */
  successor(token: string, keyId: string): string | null;
  /** A fresh random nonce for a mailed token; it names the key version. */
  newNonce(): string;
  /** The token to be mailed for a nonce, 43 base64url characters, the same on every instance; null when its key is gone. */
  mailedToken(purpose: MailPurpose, nonce: string): string | null;
  /** A short keyed digest (22 base64url characters) under the current version: stable until the keys rotate. */
  digest(purpose: KeyPurpose, text: string): string;
}

// Changing it would orphan every derived token.
const HKDF_SALT = 'auth-cutover keyring 1';
const KEY_BYTES = 32;

/** Derives all keys by HKDF-SHA-256 from versioned master secrets, newest first. Throws on none, weak or repeated ones. */
export function createKeyring(secrets: readonly AuthSecret[]): Keyring {
  const masters = new Map(secrets.map(({ version, secret }) => [version, secret]));
  const current = secrets[0]?.version;
  if (current === undefined) throw new Error('a keyring needs a secret');
  if (masters.size < secrets.length) throw new Error('a keyring needs a version of its own for each secret');
  for (const { version, secret } of secrets) {
    if (!isKeyVersion(version)) throw new Error('a key version is 1 to 16 of A-Z a-z 0-9 _ -');
    const problem = secretWeakness(secret);
    if (problem !== null) throw new Error(`secret ${version} ${problem}`);
  }

  const derived = new Map<string, Buffer>();

  function key(purpose: KeyPurpose, version: string): Buffer | null {
    const name = `${purpose} ${version}`;
    const known = derived.get(name);
    if (known !== undefined) return known;
    const master = masters.get(version);
    if (master === undefined) return null;
    const fresh = Buffer.from(hkdfSync('sha256', master, HKDF_SALT, purpose, KEY_BYTES));
    derived.set(name, fresh);
    return fresh;
  }

  // Node takes six times as long to make an HMAC from bytes as from a key object.
  const macKeys = new Map<string, KeyObject>();

  function macKey(purpose: KeyPurpose, version: string): KeyObject | null {
    const name = `${purpose} ${version}`;
    const known = macKeys.get(name);
    if (known !== undefined) return known;
    const secret = key(purpose, version);
    if (secret === null) return null;
    const fresh = createSecretKey(secret);
    macKeys.set(name, fresh);
    return fresh;
  }

  function mac(purpose: KeyPurpose, version: string, text: string): Buffer | null {
    const secret = macKey(purpose, version);
    return secret === null ? null : createHmac('sha256', secret).update(text).digest();
  }

  return {
    current,
    key,
    successor: (token, keyId) => mac('refresh-successor', keyId, token)?.toString('base64url') ?? null,
    newNonce: () => `${current}.${randomBytes(KEY_BYTES).toString('base64url')}`,
    mailedToken(purpose, nonce) {
      const version = nonce.slice(0, Math.max(0, nonce.indexOf('.')));
      return mac('mailed-token', version, `${purpose} ${nonce}`)?.toString('base64url') ?? null;
    },
    digest(purpose, text) {
      const whole = mac(purpose, current, text);
      // The current version is one of the masters, so it always has a key.
      if (whole === null) throw new Error('the current key is missing');
      return whole.subarray(0, 16).toString('base64url');
    },
  };
}
