/** Numbers in words that people read. */

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
