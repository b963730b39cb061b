import { createHash } from 'node:crypto';
import { newId } from '../../../db/ids.ts';
import type { MailPurpose, PresentedToken } from '../../../db/port.ts';
import type { MailedToken, New } from '../../../db/records.ts';
import type { Config } from '../../../plugins/config.ts';
import type { Keyring } from '../../../plugins/keys/keyring.ts';

/** How long another instance waits before it takes over a mail that was not settled, ms. */
export const MAIL_TAKEOVER_MS = 20_000;

const PURPOSES = { verificationToken: 'verification', resetToken: 'reset' } as const;

const sha256Hex = (text: string) => createHash('sha256').update(text).digest('hex');

/** A token as a client presents it, with the hash it is looked up by. */
export function presentedToken(clear: string): PresentedToken {
  return { clear, hash: sha256Hex(clear) };
}

/** The token to be mailed for a record; null for legacy records and when the key of its nonce is gone. */
export function deriveToken(keyring: Keyring, purpose: MailPurpose, nonce: string | null): string | null {
  return nonce === null ? null : keyring.mailedToken(PURPOSES[purpose], nonce);
}

/**
 * The record of a token to be mailed. Nothing clear is kept: any instance derives the token from the nonce. Without a
 * user it is a decoy, which is never mailed and names itself, so that it can never come to name a user.
 */
export function makeMailedToken(
  deps: { readonly keyring: Keyring; readonly config: Config },
  purpose: MailPurpose,
  userId: string | null,
  now: Date,
): New<MailedToken> {
  const id = newId(now);
  const nonce = deps.keyring.newNonce();
  const token = deriveToken(deps.keyring, purpose, nonce);
  if (token === null) throw new Error('the current key is missing');
  const ttlMs = purpose === 'verificationToken' ? deps.config.verificationTtlMs : deps.config.resetTtlMs;
  return {
    id,
    userId: userId ?? id,
    tokenHash: sha256Hex(token),
    nonce,
    createdAt: now,
    expiresAt: new Date(now.getTime() + ttlMs),
    mailDueAt: userId === null ? null : new Date(now.getTime() + MAIL_TAKEOVER_MS),
  };
}
