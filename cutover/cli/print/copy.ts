/** Copies, comparisons and what was put aside, for people. Ids may hold anything; values never get here. */
import { FINDINGS_MAX, type Progress } from '../../copy/types.ts';
import { duration } from '../../words.ts';
import type { Output } from '../schemas.ts';
import type { Style } from '../style.ts';
import { columns, indented } from '../table.ts';
import { count, counted, printable } from '../words.ts';
import { shownOf } from './lists.ts';

type Body<N extends keyof Output> = Omit<Output[N], 'verb' | 'outcome' | 'exitCode'>;

const BAR_WIDTH = 8;
const SHOWN = 50;

/** `copying    [#####···············]  25 %  5,000 of 20,000  4,000/s  4 s left`. */
export function progressWords(progress: Progress): string {
  const { phase, documents, total, perSecond, leftMs, held } = progress;
  const of = total === null || total === 0 ? null : Math.min(1, documents / total);
  const filled = Math.floor((of ?? 0) * BAR_WIDTH);
  const bar =
    of === null
      ? ''
      : `[${'#'.repeat(filled)}${'·'.repeat(BAR_WIDTH - filled)}] ${String(Math.floor(of * 100)).padStart(3)} %`;
  const parts = [
    phase.padEnd(9),
    heldWords(held),
    bar,
    total === null ? count(documents) : `${count(documents)} of ${count(total)}`,
    `${count(perSecond)}/s`,
    leftMs === null ? '' : `${duration(leftMs)} left`,
  ];
  return parts.filter((part) => part !== '').join('  ');
}

function heldWords(held: Progress['held']): string {
  if (held === null) return '';
  if (held.reason === 'paused') return 'paused';
  const why = `p99 of the service ${duration(held.p99Ms)}`;
  return held.reason === 'slowed' ? `slowed to ${count(held.rate)}/s, ${why}` : `stopping, ${why}`;
}

const HEADLINES = {
  complete: 'complete',
  'rolled-back': 'rolled back for bad data: the live tables are as they were',
  'dry-run': 'dry run: nothing was moved',
} as const;

export function backfillLines(body: Body<'backfill'>, style: Style): string[] {
  const { run, from, to, result, counts, cleaned, unknownFields, bad, tookMs, snapshot } = body;
  const headline = `${from} → ${to}: ${HEADLINES[result]}`;
  return [
    result === 'rolled-back' ? style.bad(headline) : style.good(headline),
    ...columns([
      ['run', `${printable(run)}, ${duration(tookMs)}`],
      ['read', countsWords(counts)],
      ...(snapshot === null ? [] : [['snapshot', printable(snapshot)]]),
    ]),
    ...tally('cleaned', cleaned, style),
    ...tally('fields that no record has', unknownFields, style),
    ...badLines(bad, counts.bad, style),
  ];
}

function countsWords({ read, ...rest }: Body<'backfill'>['counts']): string {
  const others = Object.entries(rest).filter(([, value]) => value > 0);
  return [count(read), ...others.map(([name, value]) => `${name} ${count(value)}`)].join(', ');
}

function tally(title: string, counts: Readonly<Record<string, number>>, style: Style): string[] {
  const rows = Object.entries(counts).map(([name, value]) => [printable(name), count(value)]);
  return rows.length === 0 ? [] : ['', style.strong(title), ...indented(columns(rows))];
}

function badLines(bad: Body<'backfill'>['bad'], documents: number, style: Style): string[] {
  if (bad.length === 0) return [];
  const rows = bad.slice(0, SHOWN).map(({ collection, id, field, reason, detail }) => {
    const more = detail === null ? '' : printable(JSON.stringify(detail));
    return [collection, printable(id), printable(field), printable(reason), more];
  });
  return [
    '',
    style.bad(`bad: ${counted(documents, 'document')}`),
    ...indented(columns(rows)),
    ...left(bad.length, style),
    ...(bad.length < FINDINGS_MAX
      ? []
      : [style.dim(`  no more than ${count(FINDINGS_MAX)} are named anywhere`)]),
  ];
}

const left = (total: number, style: Style): string[] =>
  total > SHOWN ? [style.dim(`  and ${count(total - SHOWN)} more: see --json`)] : [];

export function runsLines({ runs }: Body<'backfills'>): string[] {
  if (runs.length === 0) return ['there was none yet'];
  return columns(
    runs.map(({ run, state, from, onBad, dryRun, startedAt, updatedAt }) => [
      printable(run),
      dryRun ? `${state} (dry run)` : state,
      `from ${from}`,
      `on bad: ${onBad}`,
      `began ${startedAt}`,
      `last ${updatedAt}`,
    ]),
  );
}

export function runLines(body: Body<'backfillRun'>, style: Style): string[] {
  const { ranges, counts, bad, undoable } = body;
  return [
    ...runsLines({ runs: [body] }),
    ...columns([
      ['ranges', `${count(ranges.done)} done, ${count(ranges.open)} open`],
      ['undoable', counted(undoable, 'write')],
    ]),
    ...tally('counts', counts, style),
    ...badLines(bad, new Set(bad.map(({ collection, id }) => `${collection}/${id}`)).size, style),
  ];
}

export function undoneLines(
  { run, removed, restored, spared, unrestorable }: Body<'backfillUndone'>,
  style: Style,
): string[] {
  return [
    style.good(`${printable(run)}: undone`),
    `removed ${count(removed)}, restored ${count(restored)}, spared ${count(spared)} that were written since`,
    ...(unrestorable === 0
      ? []
      : [style.bad(`${counted(unrestorable, 'document')} stayed: no driver can write them as they were`)]),
  ];
}

export function verifyLines(body: Body<'verify'>, style: Style): string[] {
  const { run, authority, clean, compared, differing, lagging, excused, differences, tookMs } = body;
  const found =
    differing > 0
      ? `${counted(differing, 'record')} differ`
      : `not clean: ${counted(lagging, 'record')} could not be compared, because nobody mirrors what is pending`;
  return [
    clean ? style.good('clean: both stores hold the same') : style.bad(found),
    ...columns([
      ['run', `${printable(run)}, ${duration(tookMs)}, authority ${authority}`],
      ['compared', count(compared)],
      ['lagging', `${count(lagging)} still being mirrored`],
      ['excused', `${count(excused)} that need not be alike`],
    ]),
    ...differenceLines(differences, style),
    ...(differing === 0 ? [] : ['', '`cutover repair` takes up what was found.']),
    ...(clean || differing > 0
      ? []
      : ['', '`cutover pending` names them; verify again once the mirror has caught up.']),
  ];
}

function differenceLines(differences: Body<'verify'>['differences'], style: Style): string[] {
  if (differences.length === 0) return [];
  const rows = differences
    .slice(0, SHOWN)
    .map(({ collection, id, kind, fields }) => [
      collection,
      printable(id),
      kind,
      fields.map(printable).join(', '),
    ]);
  return ['', style.strong('differences'), ...indented(columns(rows)), ...left(differences.length, style)];
}

export function repairLines(body: Body<'repair'>, style: Style): string[] {
  const { run, dryRun, found, touched, movedAside, unrepairable } = body;
  const headline = dryRun
    ? `dry run: ${counted(found, 'record')} would be repaired, nothing was changed`
    : `${count(touched)} left to the mirror, ${count(movedAside)} moved aside`;
  return [
    unrepairable.length === 0 ? style.good(headline) : style.warn(headline),
    `of ${count(found)} that ${run === null ? 'others wrote' : `verify ${printable(run)} found`} and that still differed`,
    ...(unrepairable.length === 0
      ? []
      : [
          '',
          style.bad('nobody can repair, mend them in the authority, or delete what only the mirror has:'),
        ]),
    ...differenceLines(unrepairable, style),
  ];
}

export function quarantineLines(
  documents: Body<'quarantine'>['documents'],
  limit: number,
  style: Style,
): string[] {
  if (documents.length === 0) return [style.good('quarantine: none')];
  const rows = documents.map(({ collection, id, run, reasons, putAt }) => [
    `${collection}/${printable(id)}`,
    reasons.map(({ field, reason }) => printable(`${field}: ${reason}`)).join(', '),
    `run ${printable(run)}`,
    putAt,
  ]);
  return [style.bad(`quarantine: ${shownOf(documents.length, limit)}`), ...indented(columns(rows))];
}

export function retriedLines({ moved, gone, stillBad }: Body<'quarantineRetried'>, style: Style): string[] {
  const headline = `${count(moved.length)} left to the mirror, ${count(gone.length)} gone from the source, ${count(stillBad.length)} still bad`;
  return [
    stillBad.length === 0 ? style.good(headline) : style.warn(headline),
    ...indented(
      columns(
        stillBad.map(({ collection, id, fields }) => [
          `${collection}/${printable(id)}`,
          fields.map(printable).join(', '),
        ]),
      ),
    ),
  ];
}
