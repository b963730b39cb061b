import { createHash, createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

export type JwtAlgorithm = 'EdDSA' | 'ES256';

export interface JwtKey {
  readonly kid: string;
  readonly alg: JwtAlgorithm;
  /** PKCS#8; null for a key that only verifies. */
  readonly privateKeyPem: string | null;
  /** SPKI. */
  readonly publicKeyPem: string;
}

/** A public key as RFC 7517 publishes it. */
export interface PublicJwk extends JsonWebKey {
  readonly kid: string;
  readonly alg: JwtAlgorithm;
  readonly use: 'sig';
}

/**
 * Reads signing keys, newest first: PEM blocks one after another (`PRIVATE KEY`, or `PUBLIC KEY` for one that only
 * verifies; `\n` may stand for a line end), or a JSON array or set of JWKs. A key without a `kid` is named by its
 * RFC 7638 thumbprint. Only Ed25519 and P-256. Throws an Error that names a key by its place, never by its text.
 */
export function parseJwtKeys(text: string): JwtKey[] {
  const trimmed = text.trim();
  const keys = /^[[{]/.test(trimmed) ? parseJson(trimmed) : parsePem(trimmed.replaceAll('\\n', '\n'));
  if (keys.length === 0) throw new Error('holds no key; wanted PEM or JWK');
  if (keys[0]?.privateKeyPem === null)
    throw new Error('begins with a public key; the newest key has to sign');
  if (new Set(keys.map(({ kid }) => kid)).size < keys.length) throw new Error('holds one kid or key twice');
  return keys;
}

/** The public part, with `kid`, `alg` and `use`. */
export function publicJwk(key: Pick<JwtKey, 'kid' | 'alg' | 'publicKeyPem'>): PublicJwk {
  return { ...publicMembers(createPublicKey(key.publicKeyPem)), kid: key.kid, alg: key.alg, use: 'sig' };
}

/** The members that make up the key, in alphabetical order as its thumbprint wants them. */
function publicMembers(publicKey: KeyObject): Pick<JsonWebKey, 'crv' | 'kty' | 'x' | 'y'> {
  const { crv = '', kty = '', x = '', y } = publicKey.export({ format: 'jwk' });
  return y === undefined ? { crv, kty, x } : { crv, kty, x, y };
}

function parsePem(text: string): JwtKey[] {
  const blocks = text.match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g) ?? [];
  return blocks.map((block, index) => {
    const isPublic = block.startsWith('-----BEGIN PUBLIC KEY-----');
    return toJwtKey(
      importing(index + 1, () => (isPublic ? createPublicKey(block) : createPrivateKey(block))),
      index + 1,
    );
  });
}

function parseJson(text: string): JwtKey[] {
  return listOf(text).map((jwk, index) => {
    const place = index + 1;
    const key = importing(place, () => {
      if (typeof jwk !== 'object' || jwk === null) throw new TypeError();
      const input = { key: jwk as JsonWebKey, format: 'jwk' as const };
      return 'd' in jwk ? createPrivateKey(input) : createPublicKey(input);
    });
    return toJwtKey(key, place, jwk as { kid?: unknown; alg?: unknown });
  });
}

function listOf(text: string): unknown[] {
  try {
    const json: unknown = JSON.parse(text);
    if (Array.isArray(json)) return json;
    if (typeof json === 'object' && json !== null && 'keys' in json && Array.isArray(json.keys))
      return json.keys;
    return [json];
  } catch {
    // The parser's message would repeat part of a private key.
    throw new Error('looks like JSON but is none');
  }
}

function importing(place: number, read: () => KeyObject): KeyObject {
  try {
    return read();
  } catch {
    throw new Error(`key ${place} can't be read`);
  }
}

function toJwtKey(key: KeyObject, place: number, declared: { kid?: unknown; alg?: unknown } = {}): JwtKey {
  const alg = algorithmOf(key);
  if (alg === null) throw new Error(`key ${place} is neither Ed25519 nor P-256`);
  if (declared.alg !== undefined && declared.alg !== alg)
    throw new Error(`key ${place} is not of the alg it names`);
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const kid = declared.kid ?? thumbprint(publicKey);
  if (typeof kid !== 'string' || !/^[\w.~-]{1,100}$/.test(kid))
    throw new Error(`key ${place} has a kid of other characters than A-Z a-z 0-9 _ . ~ -`);
  return {
    kid,
    alg,
    privateKeyPem: key.type === 'private' ? String(key.export({ format: 'pem', type: 'pkcs8' })) : null,
    publicKeyPem: String(publicKey.export({ format: 'pem', type: 'spki' })),
  };
}

function algorithmOf(key: KeyObject): JwtAlgorithm | null {
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA';
  const isP256 = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
  return isP256 ? 'ES256' : null;
}

/** As RFC 7638 defines it. */
function thumbprint(publicKey: KeyObject): string {
  const members = publicMembers(publicKey);
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}
