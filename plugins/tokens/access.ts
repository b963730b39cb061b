import { randomUUID } from 'node:crypto';
import type { JwtAlgorithm, JwtKey, PublicJwk } from '../keys/jwt-keys.ts';
import { publicJwk } from '../keys/jwt-keys.ts';

export interface AccessClaims {
  readonly userId: string;
  readonly sessionId: string;
}

export interface AccessTokens {
  /** Signs with the newest key: `typ: at+jwt`, `iss`, `aud`, `sub`, `sid`, `iat`, `exp`, `jti`. */
  sign(claims: AccessClaims): string;
  /** Null unless this service, in this configuration, issued the token and it is of now. Never throws. */
  verify(token: string): AccessClaims | null;
  /** The public keys, newest first, as `/.well-known/jwks.json` publishes them. */
  jwks(): { readonly keys: readonly PublicJwk[] };
}

export interface AccessTokenOptions {
  /** Newest first. */
  readonly keys: readonly JwtKey[];
  readonly issuer: string;
  readonly audience: string;
  readonly ttlMs: number;
  readonly now: () => Date;
}

/** Signs and verifies for one key, and only with that key's algorithm, type, issuer and audience; leaves times alone. */
export interface JwtCodec {
  sign(payload: Record<string, string | number>): string;
  /** The payload; throws on any fault. */
  verify(token: string): Record<string, unknown>;
}

export const ACCESS_TOKEN_TYPE = 'at+jwt';

/** How far the clock of another instance may be ahead of or behind ours. */
const CLOCK_TOLERANCE_MS = 5000;
/** Ours have under 500 characters; the bound keeps parsers off long garbage. */
const TOKEN_LENGTH_MAX = 2048;
/** Verified tokens that are remembered: a signature check costs a tenth of a millisecond, a look-up nothing. */
const REMEMBERED_MAX = 5000;

interface Verified extends AccessClaims {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Access tokens over one codec for each key. */
export function createAccessTokens(
  options: AccessTokenOptions,
  codecFor: (key: JwtKey) => JwtCodec,
): AccessTokens {
  const keys = new Map(options.keys.map((key) => [key.kid, { alg: key.alg, codec: codecFor(key) }]));
  const signer = options.keys[0] && keys.get(options.keys[0].kid)?.codec;
  if (signer === undefined) throw new Error('access tokens need a key');
  const jwks = { keys: options.keys.map(publicJwk) };
  const remembered = new Map<string, Verified>();

  function check(token: string): Verified | null {
    const header = readHeader(token);
    const key = header && keys.get(header.kid);
    if (!key || header.alg !== key.alg) return null;
    try {
      return toVerified(key.codec.verify(token));
    } catch {
      return null;
    }
  }

  return {
    sign({ userId, sessionId }) {
      const iat = Math.floor(options.now().getTime() / 1000);
      const exp = iat + Math.ceil(options.ttlMs / 1000);
      // Two tokens of one session and second differ in nothing else, and a refresh promises a new one.
      return signer.sign({ sub: userId, sid: sessionId, iat, exp, jti: randomUUID() });
    },
    verify(token) {
      if (token.length > TOKEN_LENGTH_MAX) return null;
      const known = remembered.get(token);
      const verified = known ?? check(token);
      if (verified === null) return null;
      const nowMs = options.now().getTime();
      if (nowMs < verified.fromMs - CLOCK_TOLERANCE_MS || nowMs >= verified.untilMs + CLOCK_TOLERANCE_MS) {
        remembered.delete(token);
        return null;
      }
      if (known === undefined) remember(remembered, token, verified);
      return { userId: verified.userId, sessionId: verified.sessionId };
    },
    jwks: () => jwks,
  };
}

/** Forgets the oldest: a token is only worth a place after its signature has held, so garbage pushes nothing out. */
function remember(remembered: Map<string, Verified>, token: string, verified: Verified): void {
  if (remembered.size >= REMEMBERED_MAX) {
    for (const oldest of remembered.keys()) {
      remembered.delete(oldest);
      break;
    }
  }
  remembered.set(token, verified);
}

/** Only `alg`, `typ` and `kid` are known here: a header that brings its own key (`jwk`, `jku`, `x5u`) is refused unread. */
function readHeader(token: string): { readonly kid: string; readonly alg: JwtAlgorithm } | null {
  const encoded = token.slice(0, Math.max(0, token.indexOf('.')));
  let header: unknown;
  try {
    header = JSON.parse(Buffer.from(encoded, 'base64url').toString());
  } catch {
    return null;
  }
  if (typeof header !== 'object' || header === null) return null;
  const { alg, typ, kid, ...rest } = header as Record<string, unknown>;
  if (Object.keys(rest).length > 0 || typ !== ACCESS_TOKEN_TYPE || typeof kid !== 'string') return null;
  return alg === 'EdDSA' || alg === 'ES256' ? { kid, alg } : null;
}

function toVerified(payload: Record<string, unknown>): Verified | null {
  const { sub, sid, iat, exp, nbf = iat } = payload;
  if (typeof sub !== 'string' || typeof sid !== 'string' || sub === '' || sid === '') return null;
  if (!isTime(iat) || !isTime(exp) || !isTime(nbf)) return null;
  return { userId: sub, sessionId: sid, fromMs: Math.max(iat, nbf) * 1000, untilMs: exp * 1000 };
}

const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
