/** A run's end, for people. */
import type { Report } from './campaign.ts';
import { CAUGHT, CLIENT_KINDS } from './history/types.ts';
import { CAUGHT_IN_WORDS } from './verdict.ts';

export function describeReport(report: Report): string {
  const { verdict, moves, bulk, killed, longestPauseMs, refusals, bites } = report;
  const row = (cells: readonly (string | number)[]): string =>
    cells.map((cell, index) => (index === 0 ? String(cell).padEnd(9) : String(cell).padStart(9))).join('');
  const table = [
    row(['', 'ok', 'refused', 'failed', 'unknown']),
    ...CLIENT_KINDS.map((kind) => {
      const { ok, refused, failed, unknown } = verdict.tallies[kind];
      return row([kind, ok, refused, failed, unknown]);
    }),
  ];
  const changes = moves.filter(({ from, to }) => [from, to].includes('postgres-primary'));
  const pause = longestPauseMs === null ? 'none' : `${Math.round(longestPauseMs)} ms`;
  return [
    ...table,
    '',
    `${verdict.operations} operations, ${verdict.unknownOutsideFaults} unknown outside faults; ${report.records} records compared in both stores`,
    ...CAUGHT.map((what) => `${verdict.caught[what]} times ${CAUGHT_IN_WORDS[what]}`),
    `${moves.length} moves, ${changes.length} of them changes of authority; longest pause ${pause}; ${refusals.length} attempts refused or taken back`,
    `${bulk.length} bulk verbs: ${counted(bulk)}; ${killed.length} killed on the way: ${counted(killed)}`,
    ...refusals.slice(0, 10).map((each) => `  ${each}`),
    `${bites.length} faults:`,
    ...bites.map(({ what, seen }) => `  ${what}: ${seen ?? 'NOT SEEN TO BITE'}`),
    '',
    ...(verdict.holds
      ? ['It held.']
      : [
          'IT DID NOT HOLD:',
          ...verdict.problems.slice(0, 50).map((problem) => `  ${problem}`),
          `Logs and history: ${report.folder}`,
        ]),
  ].join('\n');
}

function counted(words: readonly string[]): string {
  const counts = Map.groupBy(words, (word) => word);
  return [...counts].map(([word, { length }]) => `${word} ${length}`).join(', ');
}
