/** Why a field was cleaned, or could not be. docs/cleaning.md says what is done about each. */
export const REASONS = [
  /** Nothing there, or null, where the old service wrote something. */
  'missing',
  'empty',
  /** Only `_id`: an insert that never got its fields. */
  'stub',
  /** Read from another field than the old service's own. */
  'other-field',
  /** A readable value of another type, such as a date as text or a number. */
  'converted',
  /** An array or a document where a single value belongs. */
  'not-a-scalar',
  'unreadable',
  'out-of-range',
  /** An e-mail that is looked up by another spelling than its own: by lower case, or by NFC. */
  'letter-case',
  'unicode-form',
  'white-space',
  /** An e-mail that no mail can be sent to, such as a name for logging in. */
  'not-an-address',
  'html-escaped',
  'nul',
  'lone-surrogate',
  /** U+FFFD, which is what reading makes of bytes that are no UTF-8. */
  'invalid-utf8',
  'too-long',
  /** A time that was made up: from the ObjectId, or from a neighbouring time. */
  'derived',
  'created-after-updated',
  /** `epoch`, `version` or `pendingAt` of another program: not what this service writes there. */
  'foreign-stamp',
  /** An id reference as text instead of an ObjectId. */
  'reference-as-text',
  /** An `_id` that is text of an ObjectId's digits, which references to it do not tell from the ObjectId. */
  'digits-as-id',
  /** Not a bcrypt hash: another scheme, or clear text. Never copied. */
  'not-a-bcrypt-hash',
  /** A soft-deleted user of the old service. */
  'soft-deleted',
  /** A user whom the old service had locked out, a state this service does not have. */
  'switched-off',
  /** A token that the old service kept after its use, or took back: it ends at once. */
  'used',
] as const;
export type Reason = (typeof REASONS)[number];

/** What was found in one field. Never holds the value. */
export interface Finding {
  readonly field: string;
  readonly reason: Reason;
}

/** The record and what had to be cleaned for it, or what made that impossible. */
export type Canonical<T> =
  | { readonly record: T; readonly cleaned: readonly Finding[] }
  | { readonly bad: readonly Finding[] };

/** Collects while one document is read. */
export interface Notes {
  readonly cleaned: Finding[];
  readonly bad: Finding[];
}

export function newNotes(): Notes {
  return { cleaned: [], bad: [] };
}

export function clean(notes: Notes, field: string, ...reasons: readonly Reason[]): void {
  for (const reason of reasons) notes.cleaned.push({ field, reason });
}

/** The document cannot be used; what it returns only stands in until the reader has seen the other fields. */
export function reject<T>(notes: Notes, field: string, reason: Reason, standIn: T): T {
  notes.bad.push({ field, reason });
  return standIn;
}

export function conclude<T>(notes: Notes, record: T): Canonical<T> {
  return notes.bad.length > 0 ? { bad: notes.bad } : { record, cleaned: notes.cleaned };
}
