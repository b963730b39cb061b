/** Numbers in words that people read. */

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** `340 ms`, `5 s`, `1.5 s`, `2 min 5 s`, `24 h`, `3 d 2 h`: the two largest units. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return 'unknown';
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${Math.round(ms / 100) / 10} s`;
  const seconds = Math.round(ms / 1_000) * 1_000;
  const at = UNITS.findIndex(([, unit]) => seconds >= unit);
  const parts: string[] = [];
  let rest = seconds;
  for (const [name, unit] of UNITS.slice(at, at + 2)) {
    const count = Math.floor(rest / unit);
    rest -= count * unit;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(' ');
}

/** `1,234` in every locale, so that output can be compared. */
export const count = (value: number): string => value.toLocaleString('en-US');

/** `1 record`, `3 records`. */
export const counted = (value: number, noun: string): string =>
  `${count(value)} ${noun}${value === 1 ? '' : 's'}`;

/** `2026-11-23 15:55:03`, UTC. */
export const moment = (atMs: number): string =>
  `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')}Z`;

/** User text and names from stores may hold anything: what would steer a terminal or forge a line is replaced. */
export const printable = (text: string): string => text.replace(/\p{C}/gu, '\uFFFD');
