import { createHmac, randomBytes } from 'node:crypto';
import { encodeBase64, truncates } from 'bcryptjs';
import type { StoredHash } from '../../db/password-hash.ts';

/**
 * bcrypt reads 72 bytes at most, and takes NUL for the end of the password, where it starts over. One of exactly 72
 * bytes is pre-hashed too: its plain hash would let every longer one that begins with it in.
 */
export const needsPreHash = (password: string): boolean =>
  truncates(`${password}\0`) || password.includes('\0');

const BCRYPT_BYTES = 72;

/** Whether bcrypt takes it for a password without NUL, which it only repeats: `ab\0ab` for `ab`. */
export function repeatsAnother(password: string): boolean {
  const end = password.indexOf('\0');
  const read = (text: string) => Buffer.alloc(BCRYPT_BYTES, `${text}\0`);
  return end >= 0 && read(password).equals(read(password.slice(0, end)));
}

/**
 * HMAC-SHA-384 as 64 base64 characters: nothing that bcrypt would cut. Over UTF-16, because that, unlike UTF-8, has
 * different bytes for any two strings, lone surrogates included.
 */
export function preHash(password: string, key: Buffer): string {
  return createHmac('sha384', key).update(Buffer.from(password, 'utf16le')).digest('base64');
}

/** A hash of this cost that no password has: random bytes in place of a result. */
export function dummyHash(cost: number): StoredHash {
  const salt = encodeBase64([...randomBytes(16)], 16);
  const result = encodeBase64([...randomBytes(23)], 23);
  return { bcrypt: `$2b$${String(cost).padStart(2, '0')}$${salt}${result}`, cost, keyVersion: null };
}
