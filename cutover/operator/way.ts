/** The rungs between here and there. */
import { MODES, type Mode, type Move, moveBetween } from '../mode.ts';
import type { Destination } from './types.ts';

/** The moves, none when that is where it stands; a sentence when there is no such way. */
export function wayTo(from: Mode, { to, direction }: Destination): readonly Move[] | string {
  const step = direction === 'promote' ? 1 : -1;
  const start = MODES.indexOf(from);
  const end = to === null ? start + step : MODES.indexOf(to);
  const last = MODES[end];
  if (last === undefined) return `${from} is the ${direction === 'promote' ? 'last' : 'first'} mode`;
  if ((end - start) * step < 0) {
    return `from ${from} to ${last} it is a ${direction === 'promote' ? 'rollback' : 'promotion'}`;
  }
  const moves: Move[] = [];
  for (let at = start; at !== end; at += step) {
    const [here, there] = [MODES[at], MODES[at + step]];
    const move = here === undefined || there === undefined ? null : moveBetween(here, there);
    if (move !== null) moves.push(move);
  }
  return moves;
}

/** What a move does, step by step, for a plan. */
export function stepsOf(move: Move): readonly string[] {
  const { from, to } = move;
  if (!move.changesAuthority) {
    return [
      `check the gates of ${from} → ${to}`,
      `${from} → ${to}: one compare-and-set on the control record in ${NAMES[from]}; nothing is interrupted`,
      `wait until every live instance has acknowledged ${to}; silent ones are waited out`,
      ...(move.startsMirror
        ? [
            'where both stores began empty: see that every record is marked or mirrored, and mark the copy complete',
          ]
        : []),
      ...(move.stopsMirror
        ? ['writes are mirrored no more: the copy goes stale with the first of them']
        : []),
    ];
  }
  const [loser, winner] = [NAMES[from], NAMES[to]];
  return [
    `check the gates of ${from} → ${to}`,
    `send a canary from ${loser} to ${winner} and back`,
    'wait out silent instances, while all others serve',
    `announce the change in ${loser} and ${winner}, and wait until every instance has seen it`,
    'close the fence: requests wait, none fails; every instance finishes what is in flight',
    `drain what is pending in ${loser}, and see that nothing is marked in ${winner}`,
    'compare what was written around the fence; any difference takes the attempt back',
    `${loser} gives authority up, then ${winner} takes it: ${from} → ${to}; requests go on`,
    'wait until every live instance serves under the new epoch',
  ];
}

const NAMES: Readonly<Record<Mode, string>> = {
  'mongo-only': 'MongoDB',
  'dual-write': 'MongoDB',
  'shadow-read': 'MongoDB',
  'postgres-primary': 'PostgreSQL',
  'postgres-only': 'PostgreSQL',
};
