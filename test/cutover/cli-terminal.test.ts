/** What the command line does with the width of a terminal. */
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { helpOf, overview } from '../../cutover/cli/help.ts';
import { quarantineLines } from '../../cutover/cli/print/copy.ts';
import { noteLines } from '../../cutover/cli/print/lists.ts';
import { PLAIN, styleFor } from '../../cutover/cli/style.ts';
import { cut } from '../../cutover/cli/table.ts';
import { createProgress, type Size } from '../../cutover/cli/terminal.ts';
import { VERB_NAMES } from '../../cutover/cli/verbs.ts';

const COLOURED = styleFor({ isTTY: true }, {});

function progressOn(size: Size | null) {
  const written: string[] = [];
  const progress = createProgress({
    out: () => {},
    err: (text) => written.push(text),
    outIsTty: size !== null,
    errIsTty: size !== null,
    outSize: () => size,
    errSize: () => size,
    outStyle: COLOURED,
    errStyle: COLOURED,
    ask: null,
  });
  return { progress, written };
}

const COPY = {
  run: 'r',
  phase: 'verifying',
  documents: 4_234_567,
  total: 12_345_678,
  perSecond: 23_456,
  leftMs: 473_000,
  held: null,
} as const;

describe('progress', () => {
  it('of a copy tells rate and time left, on one line of a terminal of 80 columns', () => {
    const { progress, written } = progressOn({ columns: 80, rows: 24 });
    progress.tell(COPY);
    const line = stripVTControlCharacters(written.join('')).replace('\r', '');
    expect(line).toMatch(
      /^verifying {2}\[#+·+\] {2}34 % {2}4,234,567 of 12,345,678 {2}23,456\/s {2}7\.9 min left$/,
    );
    expect(line.length).toBeLessThan(80);
  });

  it.each([40, 80])('never wraps on %i columns, where it could not be written over', (columns) => {
    const { progress, written } = progressOn({ columns, rows: 24 });
    progress.tell(COPY);
    progress.report({ step: 'gates', message: 'x'.repeat(200), elapsedMs: 1_500 });
    const lines = written.map((text) => stripVTControlCharacters(text).replace('\r', ''));
    expect(lines.every((line) => line.length < columns)).toBe(true);
    expect(lines.at(-1)).toMatch(/^1\.5 s {2}x+…$/);
  });

  it('of a copy is one JSON object a line where there is no terminal', () => {
    const { progress, written } = progressOn(null);
    progress.tell(COPY);
    expect(written.map((line) => JSON.parse(line))).toEqual([COPY]);
    expect(written.join('')).toMatch(/\n$/);
  });
});

describe('the help', () => {
  it.each(VERB_NAMES)('of %s fits into 80 columns but for commands to copy', (verb) => {
    expect(tooLong(helpOf(verb, 80))).toEqual([]);
  });

  it('fits into 80 columns but for addresses', () => {
    expect(tooLong(overview(80))).toEqual([]);
  });

  it('says the same at any width', () => {
    const words = (text: string) => text.split(/\s+/).join(' ');
    expect(words(overview(60))).toBe(words(overview(200)));
  });
});

/** Lines that are, and that could have been broken. */
const tooLong = (text: string): readonly string[] =>
  text.split('\n').filter((line) => line.length > 80 && !/^ +(cutover |\S+$)/.test(line));

it('a line is cut by what is seen of it, and its colours end', () => {
  expect(cut('short', 5)).toBe('short');
  expect(cut('longer', 5)).toBe('long…');
  const coloured = cut(`${COLOURED.good('12345')}678`, 4);
  expect(stripVTControlCharacters(coloured)).toBe('123…');
  expect(coloured.endsWith('\u001b[39m')).toBe(true);
});

describe('a list that is cut off', () => {
  const note = {
    kind: 'conflict',
    key: 'user/1',
    body: {},
    firstAt: new Date(0),
    lastAt: new Date(0),
    times: 1,
  };
  const held = { collection: 'users', id: '1', run: 'r', reasons: [], putAt: '2026-03-01T12:00:00.000Z' };

  it('says that there may be more', () => {
    expect(noteLines('conflicts', [note, note], 2, PLAIN)[0]).toBe(
      'conflicts: 2, and maybe more: see --limit',
    );
    expect(noteLines('conflicts', [note, note], 3, PLAIN)[0]).toBe('conflicts: 2');
    expect(noteLines('conflicts', [], 3, PLAIN)[0]).toBe('conflicts: none');
    expect(quarantineLines([held], 1, PLAIN)[0]).toBe('quarantine: 1, and maybe more: see --limit');
    expect(quarantineLines([held], 2, PLAIN)[0]).toBe('quarantine: 1');
  });
});
