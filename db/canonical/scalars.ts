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

const YES = /^(true|t|yes|y|on|1|verified|confirmed|active)$/i;
const NO = /^(false|f|no|n|off|0|unverified|unconfirmed|inactive|pending|null|)$/i;

/** Yes or no, in any of the ways it gets written down; a time means "since then". */
export function readBoolean(value: unknown): Read<boolean> {
  if (typeof value === 'boolean') return { value, reasons: [] };
  const number = readNumber(value);
  if (number !== null && !Number.isNaN(number)) return { value: number > 0, reasons: ['converted'] };
  if (typeof value === 'string') {
    const text = value.trim();
    if (YES.test(text)) return { value: true, reasons: ['converted'] };
    if (NO.test(text)) return { value: false, reasons: ['converted'] };
    if (!Number.isNaN(Number(text))) return { value: Number(text) > 0, reasons: ['converted'] };
  }
  const date = readDate(value);
  if ('value' in date) return { value: true, reasons: ['converted'] };
  return { unusable: Array.isArray(value) || isDoc(value) ? 'not-a-scalar' : 'unreadable' };
}

/** Whether it says yes or no rather than when: as a time, 0 and 1 would lie in 1970. */
export function isYesOrNo(value: unknown): boolean {
  if (typeof value === 'string') {
    const text = value.trim();
    return YES.test(text) || NO.test(text) || Number(text) <= 1;
  }
  const number = readNumber(value);
  return typeof value === 'boolean' || (number !== null && number <= 1);
}

/** Below this a number can only be seconds: as milliseconds it would lie before 1973-03-04. */
const MILLISECONDS_FROM = 1e11;
const EARLIEST_MS = Date.parse('0001-01-01T00:00:00Z');
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** A time of whole milliseconds: date, ISO text with any offset (none means UTC), seconds or milliseconds since 1970. */
export function readDate(value: unknown): Read<Date> {
  if (value instanceof Date) return inRange(value.getTime(), []);
  if (bsonType(value) === 'Timestamp') {
    return inRange((value as { readonly t: number }).t * 1000, ['converted']);
  }
  if (isDoc(value) && Object.hasOwn(value, '$date')) return converted(readDate(value['$date']));
  const number = readNumber(value);
  if (number !== null) return fromNumber(number);
  if (typeof value === 'string') return fromText(value.trim());
  return { unusable: Array.isArray(value) || isDoc(value) ? 'not-a-scalar' : 'unreadable' };
}

function converted(read: Read<Date>): Read<Date> {
  return 'value' in read ? { value: read.value, reasons: ['converted'] } : read;
}

function fromNumber(number: number): Read<Date> {
  // Seconds with a fraction are what three decimals say, not what binary fractions make of them.
  const ms = Math.abs(number) < MILLISECONDS_FROM ? Math.round(number * 1e6) / 1e3 : number;
  return inRange(Math.trunc(ms), ['converted']);
}

const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:[.,]\d{1,9})?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

function fromText(text: string): Read<Date> {
  if (/^-?\d+(\.\d+)?$/.test(text)) return fromNumber(Number(text));
  const [, day, minutes = '00:00', seconds = ':00', zone = 'Z'] = ISO.exec(text) ?? [];
  if (day === undefined || !isDay(day)) return { unusable: 'unreadable' };
  return inRange(Date.parse(`${day}T${minutes}${seconds.replace(',', '.')}${isoOffset(zone)}`), [
    'converted',
  ]);
}

/** Date would take the 30th of February for a day in March. */
function isDay(day: string): boolean {
  return new Date(`${day}T00:00:00Z`).getUTCDate() === Number(day.slice(-2));
}

/** `+2`-style offsets come as +02, +0200 or +02:00; Date reads the last only. */
function isoOffset(zone: string): string {
  if (/^z$/i.test(zone)) return 'Z';
  return `${zone.slice(0, 3)}:${zone.slice(3).replace(':', '') || '00'}`;
}

function inRange(ms: number, reasons: readonly Reason[]): Read<Date> {
  if (Number.isNaN(ms)) return { unusable: 'unreadable' };
  if (ms < EARLIEST_MS || ms > LATEST_MS) return { unusable: 'out-of-range' };
  return { value: new Date(ms), reasons };
}
