/** Numbers as an operator reads them. */
import type { Backlog } from './types.ts';

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const;

/** `340 ms`, `5 s`, `24 h`, `3 d`: the largest unit that gives at least 2, with one decimal place at most. */
export function inWords(ms: number): string {
  const unit = UNITS.find(([size]) => ms >= 2 * size) ?? UNITS.find(([size]) => ms === size);
  if (unit === undefined) return `${Math.round(ms)} ms`;
  return `${Math.round((ms / unit[0]) * 10) / 10} ${unit[1]}`;
}

export function backlogInWords({ count, oldestAgeMs }: Backlog): string {
  if (count === null) return 'not known';
  return oldestAgeMs === null ? `${count}` : `${count}, the oldest for ${inWords(oldestAgeMs)}`;
}

export const STORE_NAMES = { mongo: 'MongoDB', postgres: 'PostgreSQL' } as const;
