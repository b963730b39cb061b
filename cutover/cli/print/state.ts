/** Pieces that several verbs print. Plain lines; colours come from the style. */
import type { CopyState } from '../../mode.ts';
import type { Backlog, Gate, Summary } from '../../operator/types.ts';
import { duration } from '../../words.ts';
import type { Style } from '../style.ts';
import { columns } from '../table.ts';
import { count, counted, moment, printable } from '../words.ts';

export function copyWords(copy: CopyState): string {
  if (copy.kind === 'none') return 'none';
  if (copy.kind === 'stale') {
    const since = `stale since ${moment(copy.sinceMs)}`;
    return copy.authorityBehind === true
      ? `${since}: PostgreSQL was replaced, and may lack what MongoDB has`
      : since;
  }
  const verified =
    copy.verifiedAtMs === null ? 'never verified' : `verified clean at ${moment(copy.verifiedAtMs)}`;
  return `complete since ${moment(copy.completedAtMs)} (${printable(copy.run)}), ${verified}`;
}

/** `unknown`, `none`, `12, the oldest for 340 ms`. */
export function backlogWords({ count: waiting, oldestAgeMs }: Backlog): string {
  if (waiting === null) return 'unknown';
  if (waiting === 0) return 'none';
  return oldestAgeMs === null ? count(waiting) : `${count(waiting)}, the oldest for ${duration(oldestAgeMs)}`;
}

/** One line of the state, for before and after. */
export function summaryWords(summary: Summary | null): string {
  if (summary === null) return 'unknown: the store that has authority does not answer any more';
  const { mode, epoch, revision, copy, pending, transition } = summary;
  const parts = [
    mode,
    `epoch ${epoch}`,
    `revision ${revision}`,
    `copy ${copy.kind}`,
    pending.count === null ? 'pending unknown' : `${count(pending.count)} pending`,
    ...(transition === null ? [] : [`a change to ${transition.target} is ${transition.phase}`]),
  ];
  return parts.join(' · ');
}

export function beforeAndAfter(before: Summary | null, after: Summary | null): string[] {
  return columns([
    ['before', summaryWords(before)],
    ['after', summaryWords(after)],
  ]);
}

/** Each gate with what was found; what is asked for and what to do where it fails. */
export function gateLines(gates: readonly Gate[], style: Style): string[] {
  const nameWidth = Math.max(0, ...gates.map(({ name }) => name.length));
  const under = ' '.repeat(nameWidth + 4);
  return gates.flatMap((gate) => {
    const name = gate.name.padEnd(nameWidth);
    const asked = style.dim(`(required: ${gate.required})`);
    if (gate.ok) return [`${style.good('✓')} ${name}  ${gate.found}  ${asked}`];
    const kind = gate.kind === 'safety' ? '' : style.dim(' (--force --reason R goes on without it)');
    return [
      `${style.bad('✗')} ${name}  ${gate.found}`,
      `${under}required: ${gate.required}`,
      `${under}remedy:   ${gate.remedy}${kind}`,
    ];
  });
}

export const failingWords = (gates: readonly Gate[]): string =>
  `${counted(gates.filter(({ ok }) => !ok).length, 'gate')} of ${gates.length} failing`;
