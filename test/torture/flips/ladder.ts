/** Up and down the ladder while everything else goes on, each move by a coordinator that may die on the way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MODES, type Mode, moveBetween } from '../../../cutover/mode.ts';
import { describeStrike } from '../faults/plan.ts';
import type { Windows } from '../faults/windows.ts';
import type { Random } from '../random.ts';
import type { System } from '../system/system.ts';
import { type End, type Strike, startMove } from './operator.ts';

export interface Walk {
  /** Moves that were made. */
  readonly moves: { readonly from: Mode; readonly to: Mode }[];
  /** Of changes of authority that were made, ms. */
  readonly pausesMs: number[];
  /** Attempts that were refused or taken back, with their reasons. */
  readonly refusals: string[];
  readonly struck: { readonly strike: Strike; readonly seen: string }[];
}

export interface WalkOptions {
  readonly system: System;
  readonly random: Random;
  readonly windows: Windows;
  /** To be dealt, one to a change of authority. */
  readonly strikes: readonly Strike[];
  /** Between two moves. */
  readonly restMs: number;
  readonly onMove: (what: string) => void;
  /** The mode that is recorded now; null while it cannot be told. */
  readonly mode: () => Mode | null;
}

/** Rungs with a mirror: below and above them a copy would need a backfill to be complete again. */
const RUNGS: readonly Mode[] = ['dual-write', 'shadow-read', 'postgres-primary'];

export function newWalk(): Walk {
  return { moves: [], pausesMs: [], refusals: [], struck: [] };
}

/** Walks until told to stop; then ends the move it is at. */
export async function walk(options: WalkOptions, result: Walk, until: () => boolean): Promise<void> {
  const { random, strikes } = options;
  const left = [...strikes];
  while (!until()) {
    await sleep(options.restMs * (0.5 + random.next()));
    const from = options.mode();
    if (from === null || until()) continue;
    const to = nextRung(from, random);
    const changes = moveBetween(from, to)?.changesAuthority === true;
    const strike = changes ? (left[0] ?? null) : null;
    if (strike === null) await plainly(options, from, to, result);
    else if (await struck(options, from, to, strike, result)) left.shift();
  }
}

/** Mostly across the change of authority, which is what this is about. */
function nextRung(from: Mode, random: Random): Mode {
  if (from === 'postgres-primary') return 'shadow-read';
  if (from === 'shadow-read') return random.chance(0.85) ? 'postgres-primary' : 'dual-write';
  return 'shadow-read';
}

const directionOf = (from: Mode, to: Mode) =>
  MODES.indexOf(to) > MODES.indexOf(from) ? 'promote' : 'rollback';

async function plainly(options: WalkOptions, from: Mode, to: Mode, result: Walk): Promise<void> {
  options.onMove(`${from} → ${to}`);
  note(result, from, to, await startMove(options.system, to, directionOf(from, to)).ended);
}

function note(result: Walk, from: Mode, to: Mode, end: End | null): void {
  if (end?.result === 'done') {
    result.moves.push({ from, to });
    if (end.pauseMs !== null) result.pausesMs.push(end.pauseMs);
  } else result.refusals.push(`${from} → ${to}: ${end?.result ?? 'killed'}: ${end?.reasons.join('; ')}`);
}

/** True when the coordinator was struck; then a successor ends what it began. */
async function struck(
  options: WalkOptions,
  from: Mode,
  to: Mode,
  strike: Strike,
  result: Walk,
): Promise<boolean> {
  const { system, onMove } = options;
  onMove(`${from} → ${to}, ${describeStrike(strike)}`);
  const close = options.windows.open(describeStrike(strike));
  try {
    const first = startMove(system, to, directionOf(from, to), { strike });
    if (!(await first.reached(strike.step))) {
      note(result, from, to, await first.ended);
      return false;
    }
    const killed = strike.signal === 'SIGKILL' && (await first.ended) === null;
    onMove(`${from} → ${to}, by a successor`);
    note(result, from, to, await startMove(system, to, directionOf(from, to)).ended);
    if (strike.signal === 'SIGSTOP') {
      first.kill('SIGCONT');
      // It wakes up to a world that has gone on: whatever it still does must name its own attempt.
      const end = await first.ended;
      result.struck.push({
        strike,
        seen: `stopped, overtaken, and then it said: ${end?.result ?? 'nothing'}`,
      });
    } else if (killed) {
      result.struck.push({ strike, seen: 'killed before that step; a successor went on' });
    }
    return true;
  } finally {
    close();
  }
}

export { RUNGS };
