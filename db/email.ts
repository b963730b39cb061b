import { createHash } from 'node:crypto';

/** No index of PostgreSQL takes keys of more than some 2,700 bytes; real addresses have at most 254 characters. */
const KEY_LENGTH_MAX = 320;
const HEAD_LENGTH = 200;

/** White space, and what Unicode has no font show: nobody types them into an address knowingly. */
export const UNSEEN = /[\s\p{Default_Ignorable_Code_Point}]+/gu;

/** Exactly one mailbox: nothing that an SMTP command or a header could take for more. */
const ONE_MAILBOX = /^[^\s\p{C}<>()[\]\\,;:"@]+@[^\s\p{C}<>()\\,;:"@]+$/u;

/** Whether mail may be sent there. */
export const isMailbox = (email: string): boolean => ONE_MAILBOX.test(email);

/** Made up for a tombstone: a unique index of the old service on the address lets a single document go without one. */
export const erasedAddress = (userId: string): string => `erased-${userId}@invalid`;

/**
 * The form of an e-mail that is unique among living users: without white space and what is not seen, NFC, lower case; an
 * absurdly long one is cut and told from others by its SHA-256. Idempotent.
 */
export function emailKey(email: string): string {
  // Lower case can undo NFC, hence once more afterwards.
  const key = email.replace(UNSEEN, '').normalize('NFC').toLowerCase().normalize('NFC');
  if (key.length <= KEY_LENGTH_MAX) return key;
  const digest = createHash('sha256').update(key).digest('hex');
  return `${key.slice(0, HEAD_LENGTH).toWellFormed()}~${digest}`;
}
