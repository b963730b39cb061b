import { type Doc, isDoc } from '../bson.ts';
import { emailKey, erasedAddress, isMailbox, UNSEEN } from '../email.ts';
import { parseStored } from '../password-hash.ts';
import type { UserRecord } from '../records.ts';
import { isYesOrNo, readBoolean } from './booleans.ts';
import type { UserFields } from './compile.ts';
import { isAhead, isNever, readDate } from './dates.ts';
import { type Canonical, clean, conclude, type Notes, newNotes, type Reason, reject } from './findings.ts';
import { isAnyMet, noteUnknownStates, readFlag, standsApart } from './flags.ts';
import { UNESCAPED_MAX, unescapeHtml, unescapeOnce } from './html.ts';
import { at, type Path } from './paths.ts';
import { count, createdAt, date, firstOf, idOf, isBlank, isStamped, read, stamp, text } from './read.ts';
import { type Read, readText } from './scalars.ts';

/** A user document of any shape as the canonical record. Pure, but for a deletion that is ahead of today; never throws. */
export function canonicalUser(doc: Doc, F: UserFields): Canonical<UserRecord> {
  const notes = newNotes();
  const id = idOf(doc, notes);
  const updated = date(doc, F.updatedAt, notes);
  const created = createdAt(doc, F.createdAt, notes, updated);
  const updatedAt =
    updated === null ? derivedUpdate(F, notes, created) : inOrder(doc, F, notes, created, updated);
  const deletedAt = readDeletedAt(doc, F, notes, updatedAt);
  const isVerified = readFlag(doc, F.isVerified, notes);
  if (deletedAt === null) readStanding(doc, F, notes);
  const common = {
    id,
    isVerified,
    verifiedWith: isVerified ? text(doc, F.verifiedWith, notes) : null,
    sessionGeneration: count(doc, F.sessionGeneration, notes),
    resetGeneration: count(doc, F.resetGeneration, notes),
    createdAt: created,
    updatedAt,
    deletedAt,
    stamp: stamp(doc, notes),
  };
  if (deletedAt !== null) {
    return conclude(notes, { ...common, email: null, emailKey: null, name: '', passwordHash: null });
  }
  const email = readEmail(doc, F, notes);
  const name = readName(doc, F, notes);
  return conclude(notes, {
    ...common,
    email,
    emailKey: emailKey(email),
    name,
    passwordHash: readHash(doc, F, notes),
  });
}

function derivedUpdate(F: UserFields, notes: Notes, created: Date): Date {
  clean(notes, F.updatedAt.name, 'derived');
  return created;
}

/** Between instances whose clocks differ this service may itself write such times: only legacy ones are put right. */
function inOrder(doc: Doc, F: UserFields, notes: Notes, created: Date, updated: Date): Date {
  if (updated >= created || isStamped(doc)) return updated;
  clean(notes, F.updatedAt.name, 'created-after-updated');
  return created;
}

/** The first time that any of its places tells; or a mere yes in any, which then counts since the last update. */
function readDeletedAt(doc: Doc, F: UserFields, notes: Notes, updatedAt: Date): Date | null {
  let isGone = false;
  let isConverted = false;
  let unusable: Reason | null = null;
  for (const path of F.deletedAt.paths) {
    const value = at(doc, path);
    if (value === undefined || value === null) continue;
    const isOurs = isTombstoneAt(doc, F, path);
    const since = isYesOrNo(value) && !isOurs ? null : readDate(value, isOurs ? F.deletedAt.as : 'date');
    if (since !== null && 'value' in since) {
      if (isNever(since.value) && !isOurs) {
        isConverted = true;
        continue;
      }
      // Whoever is to be deleted some day is neither: a tombstone would lose the user, and a living one that day.
      if (!isOurs && isAhead(since.value)) {
        unusable ??= 'out-of-range';
        continue;
      }
      if (!isStamped(doc)) clean(notes, F.deletedAt.name, 'soft-deleted', ...since.reasons);
      return since.value;
    }
    const yes = readBoolean(value);
    if ('unusable' in yes) unusable ??= yes.unusable;
    else if (yes.value) isGone = true;
    else isConverted ||= yes.reasons.length > 0;
  }
  const met = isGone ? { value: true } : isAnyMet(doc, F.deleted);
  if ('value' in met && met.value) {
    clean(notes, F.deletedAt.name, 'soft-deleted', 'derived');
    return updatedAt;
  }
  if (unusable !== null) return reject(notes, F.deletedAt.name, unusable, null);
  if ('unusable' in met) return reject(notes, met.field, met.unusable, null);
  if (isConverted && !isStamped(doc)) clean(notes, F.deletedAt.name, 'converted');
  return null;
}

/** Whether it is where, and in what, this service itself says since when a user is erased: whatever time that is. */
function isTombstoneAt(doc: Doc, F: UserFields, path: Path): boolean {
  const [email] = F.email.paths;
  if (path !== F.deletedAt.paths[0] || email === undefined || !isStamped(doc)) return false;
  return at(doc, email) === erasedAddress(idOf(doc, newNotes()));
}

/** An account that the old service had locked out would be let in here, so somebody has to say what is to become of it. */
function readStanding(doc: Doc, F: UserFields, notes: Notes): void {
  if (isStamped(doc)) return;
  noteUnknownStates(doc, F.states, notes);
  for (const field of standsApart(doc, F, notes)) reject(notes, field, 'switched-off', null);
}

function readEmail(doc: Doc, F: UserFields, notes: Notes): string {
  const found = firstOf(doc, F.email.paths);
  if (found === null) return reject(notes, F.email.name, 'missing', '');
  // Of ours the spelling is the user's own, and the key was there from the start.
  const isOurs = isStamped(doc);
  const result = cleanEmail(readText(found.value), isOurs);
  if ('unusable' in result) return reject(notes, F.email.name, result.unusable, '');
  if (found.path !== F.email.paths[0]) clean(notes, F.email.name, 'other-field');
  clean(notes, F.email.name, ...result.reasons);
  if (!isOurs) clean(notes, F.email.name, ...spelling(result.value));
  return result.value;
}

/** In what the address as spelled differs from its key, or from one that mail can be sent to. */
function spelling(email: string): readonly Reason[] {
  const composed = email.normalize('NFC');
  return [
    ...(composed === email ? [] : ['unicode-form' as const]),
    ...(composed === composed.toLowerCase() ? [] : ['letter-case' as const]),
    ...(isMailbox(composed) ? [] : ['not-an-address' as const]),
  ];
}

/** An address holds neither white space nor `&…;`, so what does was pasted or escaped on its way in. */
function cleanEmail(read: Read<string>, isOurs: boolean): Read<string> {
  if ('unusable' in read) return read;
  const reasons = [...read.reasons];
  let email = read.value;
  for (let before = '', pass = 0; before !== email; pass += 1) {
    if (pass === UNESCAPED_MAX) return { unusable: 'unreadable' };
    before = email;
    const unescaped = unescapeOnce(email);
    if (unescaped !== email) reasons.push('html-escaped');
    if (!isOurs && isSeveral(unescaped)) return { unusable: 'unreadable' };
    const bare = isOurs ? unescaped : unwrapped(unescaped);
    if (bare !== unescaped) reasons.push('converted');
    if (!isOurs && isAmongWords(bare)) return { unusable: 'unreadable' };
    const compact = bare.replace(UNSEEN, '');
    if (compact !== bare) reasons.push('white-space');
    email = compact.replaceAll('\0', '').toWellFormed();
  }
  return email === '' ? { unusable: 'empty' } : { value: email, reasons: [...new Set(reasons)] };
}

/** Whose account would it be? Put together, they would be the address of a third. */
function isSeveral(text: string): boolean {
  const [first, last] = [text.indexOf('@'), text.lastIndexOf('@')];
  return first < last && /[\s\p{Default_Ignorable_Code_Point},;<>]/u.test(text.slice(first, last));
}

const INVISIBLE = /\p{Default_Ignorable_Code_Point}+/gu;
/** Whole already, with a domain that ends in one. */
const WHOLE = /^[^@]+@[^@]+\.\p{L}{2,}$/u;

/**
 * Whether an address stands among other words, as in `Ann Lee ann@example.org`: put together they would be an address that
 * nobody wrote, perhaps somebody else's. White space at a sign or a stop is in the one address, and so is a single word
 * before it that is not a name.
 */
function isAmongWords(text: string): boolean {
  const words = text.replace(INVISIBLE, '').trim().split(/\s+/u);
  if (words.length === 1 || !isMailbox(words.join(''))) return false;
  const place = words.findIndex((word) => WHOLE.test(word));
  if (place < 0) return false;
  const [before, address, after] = [words.slice(0, place), words[place] ?? '', words[place + 1]];
  if (after !== undefined && !after.startsWith('.')) return true;
  const [last] = before.slice(-1);
  if (last === undefined || last.endsWith('.')) return false;
  return before.length > 1 || isNameOf(last, address);
}

/** `Ann ann@example.org`, but not `an n@example.org`. */
function isNameOf(word: string, address: string): boolean {
  const isCapital = /^\p{Lu}/u.test(word) && !/^\p{Lu}/u.test(address);
  return isCapital || address.toLowerCase().startsWith(word.toLowerCase());
}

/** What is meant by `Ann Lee <ann@example.org>` and `mailto:ann@example.org`. */
function unwrapped(text: string): string {
  const inner = /^[^<>@]*<([^<>]*)>\s*$/.exec(text)?.[1];
  return (inner?.includes('@') ? inner : text).replace(/^\s*mailto:/i, '');
}

/** A name that cannot be read is no reason to lose the account. */
function readName(doc: Doc, F: UserFields, notes: Notes): string {
  const isOurs = isStamped(doc);
  const found = firstOf(doc, F.name.paths);
  const isNone = found === null || (!isOurs && isBlank(found.value));
  const joined = isNone ? joinedName(doc, F, notes) : null;
  const name = joined ?? read(doc, F.name, notes, (value) => readNameText(value, isOurs));
  if (name === null && found === null) clean(notes, F.name.name, 'missing');
  if (name === '') clean(notes, F.name.name, 'empty');
  return name ?? '';
}

/** Of its parts, where the old service kept those only. */
function joinedName(doc: Doc, F: UserFields, notes: Notes): string | null {
  const parts = F.nameParts.paths.map((path) => readNameText(at(doc, path), false));
  const joined = parts
    .flatMap((part) => ('value' in part && part.value !== '' ? [part.value] : []))
    .join(' ');
  if (joined === '') return null;
  clean(notes, F.name.name, 'other-field');
  return joined;
}

/** Users of this service may call themselves `&amp;`; the old one escaped what it was given. */
function readNameText(value: unknown, isOurs: boolean): Read<string> {
  const read = readText(value);
  if ('unusable' in read || isOurs) return read;
  const name = unescapeHtml(read.value);
  if (name === read.value) return read;
  const again = readText(name);
  return 'unusable' in again
    ? again
    : { value: again.value, reasons: [...read.reasons, 'html-escaped', ...again.reasons] };
}

/** Only a bcrypt hash is ever copied: of an old document the first there is. Without one the user can but reset the password. */
function readHash(doc: Doc, F: UserFields, notes: Notes): string | null {
  const { name, paths } = F.passwordHash;
  const first = firstOf(doc, paths);
  if (first === null) {
    clean(notes, name, 'missing');
    return null;
  }
  const places = isStamped(doc) ? [first.path] : paths;
  const path = places.find((each) => isHash(at(doc, each)));
  if ((path ?? first.path) !== paths[0]) clean(notes, name, 'other-field');
  if (path !== first.path) clean(notes, name, refusalOf(first.value));
  return path === undefined ? null : String(at(doc, path));
}

const isHash = (value: unknown): boolean => typeof value === 'string' && parseStored(value) !== null;

function refusalOf(value: unknown): Reason {
  if (value === '') return 'empty';
  return Array.isArray(value) || isDoc(value) ? 'not-a-scalar' : 'not-a-bcrypt-hash';
}
