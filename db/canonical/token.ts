import { createHash } from 'node:crypto';
import type { Doc } from '../bson.ts';
import type { MailedToken, ResetTokenRecord, VerificationTokenRecord } from '../records.ts';
import type { TokenFields } from './compile.ts';
import { type Canonical, clean, conclude, type Notes, newNotes } from './findings.ts';
import { isUsed } from './flags.ts';
import { count, createdAt, date, idOf, isStamped, need, reference, stamp, text } from './read.ts';
import { type Read, readText } from './scalars.ts';

/** Marks a stored token as hashed; without it the document is a legacy one and holds the clear text. */
export const HASHED = 'sha256:';

/** A verification token's document of any shape as the canonical record. Pure; never throws. */
export function canonicalVerificationToken(doc: Doc, F: TokenFields): Canonical<VerificationTokenRecord> {
  const notes = newNotes();
  return conclude(notes, mailedToken(doc, F, notes));
}

/** A reset token's document of any shape as the canonical record. Pure; never throws. */
export function canonicalResetToken(doc: Doc, F: TokenFields): Canonical<ResetTokenRecord> {
  const notes = newNotes();
  return conclude(notes, { ...mailedToken(doc, F, notes), generation: count(doc, F.generation, notes) });
}

function mailedToken(doc: Doc, F: TokenFields, notes: Notes): MailedToken {
  const end = date(doc, F.expiresAt, notes);
  // Of its own tokens this service keeps the use elsewhere.
  const used = !isStamped(doc) && isUsed(doc, F.used, notes);
  const created = createdAt(doc, F.createdAt, notes, used ? null : end);
  const expires = used ? created : end;
  // Without a known end it ends at once: a link that never expires must not come to life here.
  if (expires === null) clean(notes, F.expiresAt.name, 'derived');
  return {
    id: idOf(doc, notes),
    userId: reference(doc, F.userId, notes),
    tokenHash: need(doc, F.token, notes, readToken, ''),
    nonce: text(doc, F.nonce, notes),
    createdAt: created,
    expiresAt: expires ?? created,
    mailDueAt: date(doc, F.mailDueAt, notes),
    stamp: stamp(doc, notes),
  };
}

function readToken(value: unknown): Read<string> {
  if (typeof value !== 'string') {
    const text = readText(value);
    if ('unusable' in text) return text;
    const token = readToken(text.value);
    return 'unusable' in token ? token : { value: token.value, reasons: ['converted'] };
  }
  if (value === '') return { unusable: 'empty' };
  const hashed = /^sha256:([0-9a-f]{64})$/.exec(value)?.[1];
  // Hashed as it was mailed: a token is compared, never shown, so nothing in it is cleaned. What nobody can have mailed like
  // this is counted.
  const text = readText(value);
  return {
    value: hashed ?? createHash('sha256').update(value).digest('hex'),
    reasons: 'value' in text ? text.reasons : [],
  };
}
