/** Reads times of any BSON type, and text of the common forms. Pure; none throws. */
import { bsonType, type Doc, isDoc } from '../bson.ts';
import type { Reason } from './findings.ts';
import type { TimeForm } from './mapping.ts';
import { type Read, readNumber } from './scalars.ts';

/** Below this a number can only be seconds: as milliseconds it would lie before 1973-03-04. */
export const MILLISECONDS_FROM = 1e11;
const EARLIEST_MS = Date.parse('0001-01-01T00:00:00Z');
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** In its first hours lies what databases and languages write for no time at all, whatever the time zone. */
const SINCE_MS = Date.UTC(1970, 0, 2);

/** From here on lies what .NET and temporal tables write for the end of time, whatever the time zone. */
const UNTIL_MS = Date.UTC(9999, 11, 30);

/** Whether it says "never" where a time says "since then": Go and .NET write the year 1 or 9999 for that, others 1970. */
export const isNever = (date: Date): boolean => date.getTime() < SINCE_MS || date.getTime() >= UNTIL_MS;

/** The clocks of old services were in any time zone, and not always right. */
const AHEAD_MS = 86_400_000;

/** Whether it lies ahead of now, by more than a clock can be wrong. */
export const isAhead = (date: Date): boolean => date.getTime() > Date.now() + AHEAD_MS;

/**
 * A time of whole milliseconds: date, text with any offset (none means UTC), seconds or milliseconds since 1970; which of
 * them a number is, `as` says where that is how this service writes the field, unless it could not have; else its size.
 */
export function readDate(value: unknown, as: TimeForm = 'date'): Read<Date> {
  if (value instanceof Date) {
    // BSON's dates reach further than JavaScript's, which then have no time at all.
    return Number.isNaN(value.getTime()) ? { unusable: 'out-of-range' } : inRange(value.getTime(), []);
  }
  if (bsonType(value) === 'Timestamp') {
    return inRange((value as { readonly t: number }).t * 1000, ['converted']);
  }
  if (isDoc(value)) {
    const extended = readExtended(value);
    if (extended !== null) return extended;
  }
  const number = readNumber(value);
  if (number !== null) return fromNumber(number, as);
  if (typeof value === 'string') return fromText(value.trim());
  return { unusable: Array.isArray(value) || isDoc(value) ? 'not-a-scalar' : 'unreadable' };
}

/** Extended JSON that was stored as such; null when it is none. A number there is always milliseconds. */
function readExtended(doc: Doc): Read<Date> | null {
  if (Object.hasOwn(doc, '$date')) {
    const date = doc['$date'];
    const ms = readNumber(date);
    return ms === null ? converted(readDate(date)) : inRange(Math.trunc(ms), ['converted']);
  }
  const stamp: unknown = Object.hasOwn(doc, '$timestamp') ? doc['$timestamp'] : null;
  const seconds = isDoc(stamp) && Object.hasOwn(stamp, 't') ? readNumber(stamp['t']) : null;
  return seconds === null ? null : inRange(Math.trunc(seconds) * 1000, ['converted']);
}

function converted(read: Read<Date>): Read<Date> {
  return 'value' in read ? { value: read.value, reasons: ['converted'] } : read;
}

function fromNumber(number: number, as: TimeForm = 'date'): Read<Date> {
  // What lies behind every time as seconds was left as it is, in milliseconds, by a service before this one.
  const isSeconds =
    as === 'seconds'
      ? isInRange(number * 1000)
      : as !== 'milliseconds' && Math.abs(number) < MILLISECONDS_FROM;
  return inRange(isSeconds ? millisecondsOf(number) : Math.trunc(number), ['converted']);
}

/** Seconds with a fraction are what three decimals say, not what binary fractions make of them; more of them are cut off. */
function millisecondsOf(seconds: number): number {
  const nearest = Math.round(seconds * 1e3);
  return nearest / 1e3 === seconds ? nearest : Math.trunc(Math.round(seconds * 1e6) / 1e3);
}

/** Digits that are a number: seconds of 1973 to 5138, or milliseconds of 2001 to 2286. With fewer, a year is as likely. */
const NUMBER = /^-?(?:\d{9,11}|\d{13})(?:\.\d+)?$/;
const ISO =
  /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d(?:[.,]\d{1,9})?))?)?\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?$/i;
const ISO_BASIC =
  /^(\d{4})(\d\d)(\d\d)(?:T?(\d\d)(\d\d)(\d\d(?:[.,]\d{1,9})?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;
/** `Mon, 15 Jan 2024 10:30:00 GMT`, in mails and HTTP; and what JavaScript prints, its offset behind GMT. */
const RFC_1123 = /^(?:[A-Z]{3}, )?(\d{1,2}) ([A-Z]{3}) (\d{4}) (\d\d):(\d\d):(\d\d) (GMT|UTC|Z|[+-]\d{4})$/i;
const PRINTED = /^[A-Z]{3} ([A-Z]{3}) (\d\d) (\d{4}) (\d\d):(\d\d):(\d\d) GMT([+-]\d{4})(?: \([^()]*\))?$/i;
const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');

interface Parts {
  /** As 2024-01-15. */
  readonly day: string;
  readonly hour?: string | undefined;
  readonly minute?: string | undefined;
  readonly second?: string | undefined;
  readonly zone?: string | undefined;
}

function fromText(text: string): Read<Date> {
  const parts = partsOf(text);
  if (parts === null) {
    return NUMBER.test(text) ? fromNumber(Number(text)) : { unusable: 'unreadable' };
  }
  const { day, hour = '00', minute = '00', second = '00', zone = 'Z' } = parts;
  if (!isDay(day)) return { unusable: 'unreadable' };
  const time = `${hour}:${minute}:${second.replace(',', '.')}`;
  return inRange(Date.parse(`${day}T${time}${isoOffset(zone)}`), ['converted']);
}

function partsOf(text: string): Parts | null {
  const iso = ISO.exec(text);
  if (iso !== null) {
    const [, day = '', hour, minute, second, zone] = iso;
    return { day, hour, minute, second, zone };
  }
  const basic = ISO_BASIC.exec(text);
  if (basic !== null && isBasic(text, Number(basic[1]))) {
    const [, year = '', month, day, hour, minute, second, zone] = basic;
    return { day: `${year}-${month}-${day}`, hour, minute, second, zone };
  }
  const mailed = RFC_1123.exec(text);
  if (mailed !== null) {
    const [, day = '', month = '', year, hour, minute, second, zone] = mailed;
    return { day: `${year}-${monthOf(month)}-${day.padStart(2, '0')}`, hour, minute, second, zone };
  }
  const printed = PRINTED.exec(text);
  if (printed === null) return null;
  const [, month = '', day, year, hour, minute, second, zone] = printed;
  return { day: `${year}-${monthOf(month)}-${day}`, hour, minute, second, zone };
}
/** Without a `T` twelve digits could be milliseconds before 2001, and eight of another century are no day. */
const isBasic = (text: string, year: number): boolean =>
  year >= 1900 && year <= 2100 && !/^\d{12}$/.test(text);

const monthOf = (name: string): string => String(MONTHS.indexOf(name.toLowerCase()) + 1).padStart(2, '0');

/** Date would take the 30th of February for a day in March. */
function isDay(day: string): boolean {
  return new Date(`${day}T00:00:00Z`).getUTCDate() === Number(day.slice(-2));
}

/** `+2`-style offsets come as +02, +0200 or +02:00; Date reads the last only. */
function isoOffset(zone: string): string {
  if (/^(?:z|utc|gmt)$/i.test(zone)) return 'Z';
  return `${zone.slice(0, 3)}:${zone.slice(3).replace(':', '') || '00'}`;
}

function inRange(ms: number, reasons: readonly Reason[]): Read<Date> {
  if (Number.isNaN(ms)) return { unusable: 'unreadable' };
  return isInRange(ms) ? { value: new Date(ms), reasons } : { unusable: 'out-of-range' };
}

const isInRange = (ms: number): boolean => ms >= EARLIEST_MS && ms <= LATEST_MS;
