/** Aligned columns. */
import { stripVTControlCharacters } from 'node:util';

/** What the text takes on a terminal; colours take nothing. */
const width = (text: string): number => [...stripVTControlCharacters(text)].length;

const padded = (text: string, to: number): string => text + ' '.repeat(Math.max(0, to - width(text)));

/** Rows as lines, each cell as wide as the widest of its column; the last one is left ragged. */
export function columns(rows: readonly (readonly string[])[], gap = '  '): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, width(cell));
  }
  return rows.map((row) =>
    row
      .map((cell, at) => (at === row.length - 1 ? cell : padded(cell, widths[at] ?? 0)))
      .join(gap)
      .trimEnd(),
  );
}

export const indented = (lines: readonly string[], by = 2): string[] =>
  lines.map((line) => (line === '' ? '' : ' '.repeat(by) + line));

const ESCAPE = '\u001b';
const CHARACTER = new RegExp(`(${ESCAPE}\\[[\\d;]*m)|.`, 'gsu');

/** At most so many characters of a line; colours take nothing, and end with it. */
export function cut(line: string, max: number): string {
  if (width(line) <= max) return line;
  let [text, left] = ['', Math.max(0, max - 1)];
  for (const [part, code] of line.matchAll(CHARACTER)) {
    if (code === undefined && left === 0) continue;
    if (code === undefined) left -= 1;
    text += part;
    if (code === undefined && left === 0) text += '…';
  }
  return text;
}

/** Breaks at spaces, so that a line stays within `max` characters where words allow it. */
export function wrapped(text: string, max = 90): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= max)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
