/** Pending records, notes, events and settings for people. */
import type { LogLine, NoteLine, PendingList, PendingResult } from '../../operator/types.ts';
import { duration } from '../../words.ts';
import type { Output } from '../schemas.ts';
import type { Style } from '../style.ts';
import { columns, indented } from '../table.ts';
import { counted, moment, printable } from '../words.ts';
import { backlogWords } from './state.ts';

export function pendingLines(
  result: PendingResult,
  poisoned: readonly NoteLine[],
  limit: number,
  style: Style,
): string[] {
  const { authority, orphans } = result;
  return [
    ...listOf('waiting for the mirror', authority, style),
    ...(orphans === null ? [] : ['', ...listOf('orphans: marks where authority is not', orphans, style)]),
    ...(poisoned.length === 0
      ? []
      : ['', ...noteLines('refused by the mirror (poisoned)', poisoned, limit, style)]),
  ];
}

function listOf(title: string, { store, count, oldestAgeMs, records }: PendingList, style: Style): string[] {
  const rows = records.map(({ entity, id, stamp, ageMs }) => [
    entity,
    printable(id),
    `stamp ${stamp.epoch}.${stamp.version}`,
    `for ${duration(ageMs)}`,
  ]);
  const more = count - records.length;
  return [
    `${style.strong(`${title} (${store})`)}: ${backlogWords({ count, oldestAgeMs })}`,
    ...indented(columns(rows)),
    ...(more > 0 && records.length > 0
      ? [style.dim(`  and ${counted(more, 'more record')}; see --limit`)]
      : []),
  ];
}

/** How many are shown, and that there may be more. */
export const shownOf = (shown: number, limit: number): string =>
  shown < limit ? `${shown}` : `${shown}, and maybe more: see --limit`;

export function noteLines(title: string, notes: readonly NoteLine[], limit: number, style: Style): string[] {
  const rows = notes.map(({ key, body, lastAt, times }) => [
    printable(key),
    bodyWords(body),
    `${counted(times, 'time')}, last ${moment(lastAt.getTime())}`,
  ]);
  return [
    `${style.strong(title)}: ${notes.length === 0 ? 'none' : shownOf(notes.length, limit)}`,
    ...indented(columns(rows)),
  ];
}

/** The fields of a note, or of an event, on one line. */
function bodyWords(body: unknown): string {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return shown(body);
  return Object.entries(body)
    .map(([key, value]) => `${printable(key)}=${shown(value)}`)
    .join(' ');
}

function shown(value: unknown): string {
  if (typeof value === 'number') return String(Math.round(value * 100) / 100);
  const isWord = typeof value === 'string' && value !== '' && !/\s/.test(value);
  return printable(isWord ? value : JSON.stringify(value));
}

export function logLines(lines: readonly LogLine[]): string[] {
  if (lines.length === 0) return ['the log is empty'];
  return columns(
    lines.map(({ at, event }) => [
      moment(at.getTime()),
      event.kind,
      event.mode,
      `epoch ${event.epoch}, revision ${event.revision}`,
      bodyWords(event.details),
    ]),
  );
}

export function settingLines(rows: Output['settings']['settings'], style: Style): string[] {
  return columns([
    ['setting', 'value', 'default', ''].map(style.dim),
    ...rows.map(({ key, value, default: fallback, changed, description }) => [
      key,
      changed ? style.warn(printable(String(value))) : String(value),
      String(fallback),
      style.dim(description),
    ]),
  ]);
}
