/** Reads yes and no in any of the ways it gets written down. Pure; none throws. */
import { isDoc } from '../bson.ts';
import { isNever, readDate } from './dates.ts';
import { type Read, readNumber } from './scalars.ts';

const YES = /^(true|t|yes|y|on|1|verified|confirmed|active)$/i;
const NO = /^(false|f|no|n|off|0|unverified|unconfirmed|inactive|pending|null|)$/i;

/** Yes or no, in any of the ways it gets written down; a time means "since then", unless it stands for none. */
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
  if ('value' in date) return { value: !isNever(date.value), reasons: ['converted'] };
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
