/** Reads single values of any BSON type. Pure leaves: none throws, whatever it is given. */
import { bsonType, type Doc, isDoc } from '../bson.ts';
import type { Reason } from './findings.ts';

/** What a value means and what had to be done for it, or why it means nothing. */
export type Read<T> =
  | { readonly value: T; readonly reasons: readonly Reason[] }
  | { readonly unusable: Reason };

/** Text without NUL and lone surrogates, which PostgreSQL refuses; other scalars as they print. */
export function readText(value: unknown): Read<string> {
  if (typeof value === 'string') return cleanText(value, []);
  const number = readNumber(value);
  if (number !== null) return { value: printNumber(value, number), reasons: ['converted'] };
  if (typeof value === 'boolean') return { value: String(value), reasons: ['converted'] };
  if (bsonType(value) === 'BSONSymbol') return cleanText(String(value), ['converted']);
  return { unusable: Array.isArray(value) || isDoc(value) ? 'not-a-scalar' : 'unreadable' };
}

function cleanText(text: string, before: readonly Reason[]): Read<string> {
  const reasons = [...before];
  if (text.includes('\0')) reasons.push('nul');
  if (!text.isWellFormed()) reasons.push('lone-surrogate');
  if (text.includes('\ufffd')) reasons.push('invalid-utf8');
  return { value: text.replaceAll('\0', '').toWellFormed(), reasons };
}

/** A number of any BSON type, or extended JSON left in a document; null when it is none. */
export function readNumber(value: unknown): number | null {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  switch (bsonType(value)) {
    case 'Int32':
    case 'Double':
    case 'Long':
    case 'Decimal128':
      return Number(String(value));
    default:
      return isDoc(value) ? readExtendedNumber(value) : null;
  }
}

function readExtendedNumber(doc: Doc): number | null {
  for (const key of ['$numberLong', '$numberInt', '$numberDouble', '$numberDecimal']) {
    const text = Object.hasOwn(doc, key) ? doc[key] : undefined;
    if (typeof text === 'number') return text;
    if (typeof text === 'string' && text.trim() !== '') return Number(text);
  }
  return null;
}

function printNumber(value: unknown, number: number): string {
  return bsonType(value) === undefined ? String(number) : String(value);
}

/** A whole number of 0 or more; counters and stamps. */
export function readCount(value: unknown): Read<number> {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : readNumber(value);
  if (number === null || Number.isNaN(number)) return { unusable: 'unreadable' };
  if (!Number.isSafeInteger(number) || number < 0) return { unusable: 'out-of-range' };
  // MongoDB's -0 equals 0, and no counter tells them apart.
  return { value: number + 0, reasons: typeof value === 'string' ? ['converted'] : [] };
}
