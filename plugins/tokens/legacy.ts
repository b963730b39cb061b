import { createHmac, timingSafeEqual } from 'node:crypto';
import { encodeId } from '../../db/ids.ts';

export interface LegacyClaims {
  /** Whom the old service issued the token to. */
  readonly userId: string;
  /** From then on it is refused for its time alone. */
  readonly endsAt: Date;
}

export interface LegacyVerifier {
  /** Null when it is not one of the old service's tokens, or no longer good. Never throws. */
  verify(token: string, now: Date): LegacyClaims | null;
}

export interface LegacyOptions {
  /** The old service's HS256 secret. */
  readonly secret: string;
  /** When the exchange ends. */
  readonly until: Date;
  /** Claims that may hold the user id; the first present one counts. */
  readonly subjectClaims: readonly string[];
}

const TOKEN_LENGTH_MAX = 8192;
const SHAPE = /^([\w-]+)\.([\w-]+)\.([\w-]{43})$/;

/**
 * Verifies tokens of the old service: HS256 and nothing else, with an expiry that has not passed, until the end date.
 * Written out rather than a second instance of the access tokens' verifier, so that neither can ever be configured
 * to take the other's keys.
 */
export function createLegacyVerifier(options: LegacyOptions): LegacyVerifier {
  const { secret, until, subjectClaims } = options;
  if (secret === '') throw new Error('the legacy secret is empty');

  function verify(token: string, now: Date): ReturnType<LegacyVerifier['verify']> {
    if (now >= until || token.length > TOKEN_LENGTH_MAX) return null;
    const [, header = '', payload = '', signature = ''] = SHAPE.exec(token) ?? [];
    if (signature === '' || !isPlainHs256(parse(header))) return null;
    const expected = createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url');
    // As text: four texts have the same bytes, and each would count as a token that was never used.
    if (!timingSafeEqual(Buffer.from(expected), Buffer.from(signature))) return null;
    const claims = parse(payload);
    if (claims === null || !isTimely(claims, now)) return null;
    const userId = subjectOf(claims, subjectClaims);
    if (userId === null) return null;
    return { userId, endsAt: new Date(Math.min(Number(claims['exp']) * 1000, until.getTime())) };
  }

  return { verify };
}

/** A `crit` header would ask for rules that we do not know. */
const isPlainHs256 = (header: Record<string, unknown> | null): boolean =>
  header !== null && header['alg'] === 'HS256' && !('crit' in header);

function parse(segment: string): Record<string, unknown> | null {
  try {
    const json: unknown = JSON.parse(Buffer.from(segment, 'base64url').toString());
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? { ...json } : null;
  } catch {
    return null;
  }
}

/** Without an expiry a token would stay good until the end date, whenever it leaked. */
function isTimely({ exp, nbf }: Record<string, unknown>, now: Date): boolean {
  const nowMs = now.getTime();
  if (!isSeconds(exp) || nowMs >= exp * 1000) return false;
  return nbf === undefined || (isSeconds(nbf) && nowMs >= nbf * 1000);
}

/** Far outside what a Date can hold is no time. */
const isSeconds = (value: unknown): value is number => typeof value === 'number' && Math.abs(value) < 8e12;

/**
 * The first of the claims that is there decides: a token whose `sub` and `id` differ names nobody else. JSON shows an
 * ObjectId as its hex digits, which are the user's id already; other values become ids as a document's `_id` does.
 */
function subjectOf(claims: Record<string, unknown>, names: readonly string[]): string | null {
  const name = names.find((candidate) => Object.hasOwn(claims, candidate));
  const subject = name === undefined ? undefined : claims[name];
  if (typeof subject === 'string' && subject !== '')
    return /^[0-9a-f]{24}$/.test(subject) ? subject : encodeId(subject);
  return typeof subject === 'number' ? encodeId(subject) : null;
}
