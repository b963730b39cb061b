import type { Doc } from '../bson.ts';
import { emailKey } from '../email.ts';
import type { UserRecord } from '../records.ts';
import { USER_FIELDS as F } from './fields.ts';
import { type Canonical, clean, conclude, type Notes, newNotes, reject } from './findings.ts';
import { count, createdAt, date, flag, idOf, isStamped, read, text } from './read.ts';
import { at, firstOf, type Read, readBoolean, readDate, readText } from './scalars.ts';

const BCRYPT = /^(\{sha384:v\d+\})?\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/;

/** A user document of any shape as the canonical record. Pure; never throws. */
export function canonicalUser(doc: Doc): Canonical<UserRecord> {
  const notes = newNotes();
  const id = idOf(doc, notes);
  if (Object.keys(doc).every((field) => field === '_id' || field === '__v'))
    reject(notes, '_id', 'stub', null);
  const updated = date(doc, F.updatedAt, notes);
  const created = createdAt(doc, F.createdAt, notes, updated);
  const updatedAt = updated === null ? derivedUpdate(notes, created) : inOrder(doc, notes, created, updated);
  const deletedAt = readDeletedAt(doc, notes, updatedAt);
  const isVerified = flag(doc, F.isVerified, notes);
  const common = {
    id,
    isVerified,
    verifiedWith: isVerified ? text(doc, F.verifiedWith, notes) : null,
    sessionGeneration: count(doc, F.sessionGeneration, notes),
    resetGeneration: count(doc, F.resetGeneration, notes),
    createdAt: created,
    updatedAt,
    deletedAt,
    stamp: { epoch: count(doc, ['epoch'], notes), version: count(doc, ['version'], notes) },
  };
  if (deletedAt !== null) {
    return conclude(notes, { ...common, email: null, emailKey: null, name: '', passwordHash: null });
  }
  const email = readEmail(doc, notes);
  const name = readName(doc, notes);
  return conclude(notes, {
    ...common,
    email,
    emailKey: emailKey(email),
    name,
    passwordHash: readHash(doc, notes),
  });
}

function derivedUpdate(notes: Notes, created: Date): Date {
  clean(notes, F.updatedAt[0], 'derived');
  return created;
}

/** Between instances whose clocks differ this service may itself write such times: only legacy ones are put right. */
function inOrder(doc: Doc, notes: Notes, created: Date, updated: Date): Date {
  if (updated >= created || isStamped(doc)) return updated;
  clean(notes, F.updatedAt[0], 'created-after-updated');
  return created;
}

/** A time, or a mere yes, which then counts since the last update. */
function readDeletedAt(doc: Doc, notes: Notes, updatedAt: Date): Date | null {
  const found = firstOf(doc, F.deletedAt);
  if (found === null) return null;
  const since = typeof found.value === 'number' && found.value <= 1 ? null : readDate(found.value);
  if (since !== null && 'value' in since) {
    if (!isStamped(doc)) clean(notes, F.deletedAt[0], 'soft-deleted', ...since.reasons);
    return since.value;
  }
  const yes = readBoolean(found.value);
  if ('unusable' in yes) return reject(notes, F.deletedAt[0], yes.unusable, null);
  if (!yes.value) return null;
  clean(notes, F.deletedAt[0], 'soft-deleted', 'derived');
  return updatedAt;
}

function readEmail(doc: Doc, notes: Notes): string {
  const found = firstOf(doc, F.email);
  if (found === null) return reject(notes, F.email[0], 'missing', '');
  const result = cleanEmail(readText(found.value));
  if ('unusable' in result) return reject(notes, F.email[0], result.unusable, '');
  if (found.path !== F.email[0]) clean(notes, F.email[0], 'other-field');
  clean(notes, F.email[0], ...result.reasons);
  return result.value;
}

/** An address holds neither white space nor `&…;`, so what does was pasted or escaped on its way in. */
function cleanEmail(read: Read<string>): Read<string> {
  if ('unusable' in read) return read;
  const reasons = [...read.reasons];
  let email = read.value;
  for (let before = ''; before !== email; ) {
    before = email;
    const unescaped = unescapeHtml(email);
    if (unescaped !== email) reasons.push('html-escaped');
    const compact = unescaped.replace(/[\s\u200b\u2060\ufeff]+/g, '');
    if (compact !== unescaped) reasons.push('white-space');
    email = compact.replaceAll('\0', '').toWellFormed();
  }
  return email === '' ? { unusable: 'empty' } : { value: email, reasons: [...new Set(reasons)] };
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescapeHtml(value: string): string {
  return value.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(amp|lt|gt|quot|apos));/gi,
    (all, decimal, hex, named) => {
      if (named !== undefined) return ENTITIES[String(named).toLowerCase()] ?? all;
      const point = Number.parseInt(decimal ?? hex, decimal === undefined ? 16 : 10);
      return point <= 0x10ffff ? String.fromCodePoint(point) : all;
    },
  );
}

/** A name that cannot be read is no reason to lose the account. */
function readName(doc: Doc, notes: Notes): string {
  const name = text(doc, F.name, notes);
  if (name === null && firstOf(doc, F.name) === null) clean(notes, F.name[0], 'missing');
  if (name === '') clean(notes, F.name[0], 'empty');
  return name ?? '';
}

/** Only a bcrypt hash is ever copied; with anything else the user can but reset the password. */
function readHash(doc: Doc, notes: Notes): string | null {
  const hash = read<string | null>(doc, F.passwordHash, notes, (value) => {
    if (typeof value !== 'string') return { unusable: 'not-a-scalar' };
    if (BCRYPT.test(value)) return { value, reasons: [] };
    return { value: null, reasons: [value === '' ? 'empty' : 'not-a-bcrypt-hash'] };
  });
  if (firstOf(doc, F.passwordHash) === null) clean(notes, F.passwordHash[0], 'missing');
  return hash;
}

/** How the e-mail stands in the document, for looking it up; null when it is not text. */
export function rawEmail(doc: Doc): string | null {
  const value = at(doc, F.email[0]);
  return typeof value === 'string' ? value : null;
}
