import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { Keyring } from '../keys/keyring.ts';

/** Names its session, so that one look-up by id finds both the current and a replaced one. */
export interface RefreshToken {
  /** `<sessionId>.<secret>`, as the client holds it. */
  readonly text: string;
  readonly sessionId: string;
  /** 43 base64url characters: 256 bits. */
  readonly secret: string;
  /** SHA-256 of `text`, hex: all that is stored. */
  readonly hash: string;
}

/** Nobody refreshes more often than this within a session's life; it bounds the work that garbage can cause. */
const ANCESTOR_STEPS_MAX = 10_000;
/** About a millisecond of work between two turns of the event loop. */
const STEPS_PER_TURN = 50;

const SHAPE = /^([0-9a-f]{24})\.([\w-]{43})$/;

/** The first refresh token of a session, from the system's random generator. */
export function newRefreshToken(sessionId: string): RefreshToken {
  return refreshToken(sessionId, randomBytes(32).toString('base64url'));
}

/** Null for anything that this service never issues. */
export function parseRefreshToken(text: string): RefreshToken | null {
  // The longest valid one has 68 characters; the bound keeps the pattern off long garbage.
  const [, sessionId, secret] = (text.length === 68 && SHAPE.exec(text)) || [];
  return sessionId !== undefined && secret !== undefined ? refreshToken(sessionId, secret) : null;
}

/** The one token that replaces `token`, the same however often it is asked; null when the session's key is gone. */
export function successorOf(keyring: Keyring, token: RefreshToken, keyId: string): RefreshToken | null {
  const secret = keyring.successor(token.text, keyId);
  return secret === null ? null : refreshToken(token.sessionId, secret);
}

/**
 * Tells a token that was once issued and since replaced (its reuse is theft) from garbage with a known session id, by
 * deriving forward from it, at most `rotation` steps. False for the current token itself.
 */
export async function isAncestor(
  keyring: Keyring,
  session: { readonly tokenHash: string; readonly rotation: number; readonly keyId: string },
  presented: RefreshToken,
): Promise<boolean> {
  const currentHash = Buffer.from(session.tokenHash, 'hex');
  let token: RefreshToken | null = presented;
  for (let step = 1; step <= Math.min(session.rotation, ANCESTOR_STEPS_MAX); step++) {
    token = successorOf(keyring, token, session.keyId);
    if (token === null) return false;
    const hash = Buffer.from(token.hash, 'hex');
    if (hash.length === currentHash.length && timingSafeEqual(hash, currentHash)) return true;
    if (step % STEPS_PER_TURN === 0) await setImmediate();
  }
  return false;
}

function refreshToken(sessionId: string, secret: string): RefreshToken {
  const text = `${sessionId}.${secret}`;
  return { text, sessionId, secret, hash: createHash('sha256').update(text).digest('hex') };
}
