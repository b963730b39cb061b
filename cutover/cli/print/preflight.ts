/** `cutover preflight` for people. */
import { STORES } from '../../../db/errors.ts';
import type { Check, Documents, Preflight } from '../../preflight/types.ts';
import { duration, STORE_NAMES } from '../../words.ts';
import type { Style } from '../style.ts';
import { columns, indented } from '../table.ts';
import { count, counted, printable } from '../words.ts';

const SHOWN_MAX = 50;

export function preflightLines(found: Preflight, sample: number | null, style: Style): string[] {
  const { checks, documents, estimate, blocking } = found;
  return [
    ...STORES.flatMap((store) => [
      style.strong(STORE_NAMES[store]),
      ...indented(
        checksOf(
          checks.filter((check) => check.store === store),
          style,
        ),
      ),
      '',
    ]),
    ...documents.flatMap((each) => documentLines(each, style)),
    ...(estimate.perSecond === null || estimate.durationMs === null || estimate.copyMs === null
      ? [`${counted(estimate.documents, 'document')} to move: too few to say how long that takes`]
      : [
          `${counted(estimate.documents, 'document')} to move: about ${duration(estimate.durationMs)} to read and clean ` +
            `(${count(estimate.perSecond)} a second, ${sample === null ? 'measured now' : 'by the sample'}),`,
          `and ${duration(estimate.copyMs.least)} to ${duration(estimate.copyMs.most)} for the whole copy, by what its other half took where it was measured: an estimate`,
        ]),
    '',
    blocking === 0
      ? style.good('nothing stands in the way')
      : style.bad(`${counted(blocking, 'finding')} to be dealt with first`),
  ];
}

function checksOf(checks: readonly Check[], style: Style): string[] {
  const width = Math.max(0, ...checks.map(({ name }) => name.length));
  const sign = { ok: style.good('✓'), warn: style.warn('!'), block: style.bad('✗') };
  return checks.flatMap(({ name, level, found, remedy }) => [
    `${sign[level]} ${name.padEnd(width)}  ${printable(found)}`,
    ...(remedy === null ? [] : [`${' '.repeat(width + 4)}remedy: ${remedy}`]),
  ]);
}

const rest = (counts: Readonly<Record<string, number>>): number => Object.keys(counts).length - SHOWN_MAX;

/** What would be cleaned, and the first bad ones: names and reasons, never a value. */
function documentLines({ collection, cleaned, unknownFields, examples }: Documents, style: Style): string[] {
  const most = (counts: Readonly<Record<string, number>>, what: string): string[][] =>
    Object.entries(counts)
      .slice(0, SHOWN_MAX)
      .map(([name, times]) => [what, printable(name), count(times)])
      .concat(rest(counts) > 0 ? [[what, `and ${count(rest(counts))} more: see --json`]] : []);
  const rows = [
    ...most(cleaned, 'cleaned'),
    ...most(unknownFields, 'unknown field'),
    ...examples
      .slice(0, SHOWN_MAX)
      .map(({ id, field, reason }) => [style.bad('bad'), `${printable(field)}: ${reason}`, printable(id)]),
  ];
  return rows.length === 0 ? [] : [style.strong(collection), ...indented(columns(rows)), ''];
}
