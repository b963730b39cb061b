/** Reads what is a yes or no, and what counts as deleted. */
import { type Doc, isDoc } from '../bson.ts';
import { isYesOrNo, readBoolean } from './booleans.ts';
import type { ConditionAt, Conditions, FlagField, StateAt, UserFields } from './compile.ts';
import { clean, type Notes, newNotes, type Reason } from './findings.ts';
import type { Scalar } from './mapping.ts';
import { at } from './paths.ts';
import { firstAmong, isBlank, isStamped } from './read.ts';
import { type Read, readNumber } from './scalars.ts';

/** By the first of its sources that is there; no when none is. */
export function readFlag(doc: Doc, field: FlagField, notes: Notes): boolean {
  const found = firstAmong(doc, field.sources, ({ path }) => path);
  if (found === null) {
    if (!isStamped(doc)) clean(notes, field.name, 'missing');
    return false;
  }
  const { at: source, value } = found;
  const read: Read<boolean> =
    source.yes === null ? readBoolean(value) : { value: isOneOf(value, source.yes), reasons: [] };
  if (source !== field.sources[0]) clean(notes, field.name, 'other-field');
  if ('unusable' in read) {
    clean(notes, field.name, read.unusable);
    return false;
  }
  clean(notes, field.name, ...read.reasons);
  return read.value !== source.not;
}

type Met =
  | { readonly value: boolean }
  | { readonly unusable: Reason /** Where that is. */; readonly field: string };

/** Whether one of the conditions holds; where none does, the first that cannot be told. */
export function isAnyMet(doc: Doc, conditions: readonly ConditionAt[]): Met {
  let unclear: Met | null = null;
  for (const condition of conditions) {
    const met = isMet(doc, condition);
    if ('unusable' in met) unclear ??= { unusable: met.unusable, field: condition.path.text };
    else if (met.value) return met;
  }
  return unclear ?? { value: false };
}

/** Whether what it asks for holds; not where nothing is. */
function isMet(doc: Doc, { path, is, values }: ConditionAt): Read<boolean> {
  const value = at(doc, path);
  if (value === undefined || value === null) return { value: false, reasons: [] };
  if (is === 'in') {
    const all: readonly unknown[] = Array.isArray(value) ? value : [value];
    return { value: all.some((each) => isOneOf(each, values)), reasons: [] };
  }
  const read = readBoolean(value);
  return 'unusable' in read ? read : { ...read, value: read.value === (is === 'truthy') };
}

/**
 * Where a document says that its user was locked out; what cannot be told counts as that. But for a list where only a guess
 * has a flag, such as of users whom this one has blocked, and a document in a place of a state: they are something else.
 */
export function standsApart(
  doc: Doc,
  { lockedOut, isVerified }: UserFields,
  notes: Notes,
): readonly string[] {
  if (!isAnyThere(doc, lockedOut)) return [];
  const present = lockedOut.all.filter(({ path }) => at(doc, path) !== undefined);
  const places = new Set(lockedOut.all.map(({ path }) => path.text));
  // Where nothing else tells, these say whether the address was confirmed.
  const isElsewhere = () =>
    readFlag(
      doc,
      { ...isVerified, sources: isVerified.sources.filter(({ path }) => !places.has(path.text)) },
      newNotes(),
    );
  const others = new Set(present.filter((each) => isSomethingElse(doc, each)).map(({ path }) => path.text));
  for (const field of others) clean(notes, field, 'not-a-scalar');
  return present
    .filter((condition) => {
      if (others.has(condition.path.text) || condition.unless.some((path) => isPlainNo(at(doc, path))))
        return false;
      const met = isMet(doc, condition);
      return ('unusable' in met || met.value) && (!condition.ifVerified || isElsewhere());
    })
    .map(({ path }) => path.text);
}

/** Counts the words for how an account stands that nobody knows: what they mean is not done. */
export function noteUnknownStates(doc: Doc, states: readonly StateAt[], notes: Notes): void {
  for (const { path, known, takesYesOrNo } of states) {
    const value = at(doc, path);
    const words: readonly unknown[] = Array.isArray(value) ? value : [value];
    const isUnknown = words.some((word) => {
      if (word === undefined || word === null || isDocument(word)) return false;
      // A number would be one of a list of states.
      return !isOneOf(word, known) && !(takesYesOrNo && readNumber(word) === null && isYesOrNo(word));
    });
    if (isUnknown) clean(notes, path.text, 'unreadable');
  }
}

/** A document, which is no word. */
const isDocument = (value: unknown): boolean => isDoc(value) && readNumber(value) === null;

/** Whether the old service had marked a token as used or taken back; what cannot be told counts as that. */
export function isUsed(doc: Doc, conditions: Conditions, notes: Notes): boolean {
  if (!isAnyThere(doc, conditions)) return false;
  const used = conditions.all.find((condition) => {
    const met = isMet(doc, condition);
    return 'unusable' in met || met.value;
  });
  if (used !== undefined) clean(notes, used.path.text, 'used');
  return used !== undefined;
}

function isPlainNo(value: unknown): boolean {
  if (value === undefined || value === null || isBlank(value)) return false;
  const read = readBoolean(value);
  return 'value' in read && !read.value;
}

/** Mostly there is none of these fields. */
const isAnyThere = (doc: Doc, { tops }: Conditions): boolean =>
  Object.keys(doc).some((field) => tops.has(field));

function isSomethingElse(doc: Doc, { is, path, isGuess }: ConditionAt): boolean {
  const value = at(doc, path);
  if (is === 'in') return isDocument(value);
  return is === 'truthy' && Array.isArray(value) && (isGuess || value.length === 0);
}

/** Letter case and white space around text do not count. */
export const comparable = (value: Scalar): Scalar =>
  typeof value === 'string' ? value.trim().toLowerCase() : value;

function isOneOf(value: unknown, values: ReadonlySet<Scalar>): boolean {
  const isPlain = typeof value === 'string' || typeof value === 'boolean';
  const scalar = isPlain ? value : readNumber(value);
  return scalar !== null && values.has(comparable(scalar));
}
