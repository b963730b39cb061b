import { isKeyVersion } from '../../db/password-hash.ts';

/** One version of the master secret from which all keyed functions are derived. */
export interface AuthSecret {
  /** Such as `v1` or `2026-11`: stored beside everything that was derived from it. */
  readonly version: string;
  readonly secret: Buffer;
}

const SECRET_BYTES_MIN = 32;

/** Fewer different bytes than this never happen by chance in 32 random ones. */
const DISTINCT_BYTES_MIN = 16;

/**
 * Reads `v2:SECRET,v1:SECRET`, newest first: each secret is base64, base64url or hex of 32 random bytes or more.
 * Throws an Error that names the entry by its place, never by its text.
 */
export function parseAuthSecrets(text: string): AuthSecret[] {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '');
  if (entries.length === 0) throw new Error('holds no secret; wanted v1:SECRET');
  const secrets = entries.map((entry, index) => parseEntry(entry, index + 1));
  if (new Set(secrets.map(({ version }) => version)).size < secrets.length) {
    throw new Error('names a version twice; every secret has a version of its own');
  }
  if (new Set(secrets.map(({ secret }) => secret.toString('hex'))).size < secrets.length) {
    throw new Error('holds one secret under two versions');
  }
  return secrets;
}

function parseEntry(entry: string, place: number): AuthSecret {
  const [version = '', encoded = '', ...rest] = entry.split(':');
  if (!isKeyVersion(version) || rest.length > 0) {
    throw new Error(`entry ${place} does not look like v1:SECRET`);
  }
  const secret = decode(encoded);
  if (secret === null) throw new Error(`the secret of entry ${place} is neither base64 nor hex`);
  const problem = secretWeakness(secret);
  if (problem !== null) throw new Error(`the secret of entry ${place} ${problem}`);
  return { version, secret };
}

function decode(encoded: string): Buffer | null {
  if (/^([0-9a-f]{2})+$/i.test(encoded)) return Buffer.from(encoded, 'hex');
  return /^[\w+/-]+={0,2}$/.test(encoded) ? Buffer.from(encoded, 'base64') : null;
}

/** What is wrong with a secret, as the rest of a sentence; null when it will do. */
export function secretWeakness(secret: Buffer): string | null {
  if (secret.length < SECRET_BYTES_MIN) return `is shorter than ${SECRET_BYTES_MIN} bytes; use random ones`;
  if (new Set(secret).size < DISTINCT_BYTES_MIN) return 'repeats too few bytes; use random ones';
  return null;
}
