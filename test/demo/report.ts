/** The end of the story, for people. */
import { CLIENT_KINDS } from '../torture/history/types.ts';
import type { Result } from './story.ts';

const PROBLEMS_SHOWN = 20;

export function describeResult(result: Result): string {
  const { traffic, moves, replaced, copied, verified, tallies, problems, holds } = result;
  const kinds = CLIENT_KINDS.filter((kind) => tallies[kind].ok > 0).map(
    (kind) => `${kind} ${tallies[kind].ok}`,
  );
  const pauses = moves.map(({ pauseMs }) => pauseMs).filter((pauseMs) => pauseMs !== null);
  const pause = pauses.length === 0 ? 'none' : `${Math.round(Math.max(...pauses))} ms`;
  const clean = verified.filter((each) => each.clean).length;
  const rows = [
    [
      'requests',
      `${traffic.ok} done, ${traffic.refused} refused as they should be, ${traffic.failed} failed`,
    ],
    ['of these', kinds.join(', ')],
    ['moves', `${moves.map(({ to }) => to).join(', ')}; longest pause ${pause}`],
    ...moves.flatMap(({ takenBack }) => takenBack.map((attempt) => ['taken back', attempt])),
    ['replaced', replaced.map(({ name, was, is }) => `${name} (${was} → ${is})`).join(', ')],
    ['copied', `${copied} records by the backfill, the rest by the mirror`],
    ['verified', `${clean} of ${verified.length} clean`],
  ];
  const verdict = holds
    ? ['It held: no request failed, no write was lost, and every answer has an explanation.']
    : ['IT DID NOT HOLD:', ...problems.slice(0, PROBLEMS_SHOWN).map((problem) => `  ${problem}`)];
  return ['', ...rows.map(([name = '', words]) => `${name.padEnd(12)}${words}`), '', ...verdict].join('\n');
}
