/** Up and down the ladder while everything else goes on, each verb by a process that may die on the way. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MODES, type Mode, mirrorOf, moveBetween, neighbour } from '../../../cutover/mode.ts';
import type { ControlRecord } from '../../../cutover/protocol/types.ts';
import { describeStrike } from '../faults/plan.ts';
import type { Windows } from '../faults/windows.ts';
import type { Random } from '../random.ts';
import type { System } from '../system/system.ts';
import { type End, type Strike, startCoordinator, startMove } from './operator.ts';
import { type Action, createRoute, nextAction } from './route.ts';

export interface Walk {
  /** Moves that were made. */
  readonly moves: { readonly from: Mode; readonly to: Mode }[];
  /** Bulk verbs that went through, in words. */
  readonly bulk: string[];
  /** Of changes of authority that were made, ms. */
  readonly pausesMs: number[];
  /** Attempts that were refused or taken back, with their reasons. */
  readonly refusals: string[];
  readonly struck: { readonly strike: Strike; readonly seen: string }[];
  /** Copies that were killed on the way, in words. */
  readonly killed: string[];
  /** What must not be: a verify that is not clean. */
  readonly findings: string[];
  /** Nor this: a move that a coordinator made over what others had decided while it stood still. */
  readonly overruled: string[];
  /** The copy that each was last made of: another one is to be looked at again. */
  readonly looked: Record<'verify' | 'snapshot', string | null>;
}

export interface WalkOptions {
  readonly system: System;
  readonly random: Random;
  readonly windows: Windows;
  /** To be dealt, one to a move of their kind. */
  readonly strikes: readonly Strike[];
  /** More changes of authority on the way from end to end, there and back again. */
  readonly crossings: { readonly min: number; readonly max: number };
  /** Between two moves. */
  readonly restMs: number;
  readonly onMove: (what: string) => void;
  /** What is recorded now, asked for now; null while it cannot be told. */
  readonly record: () => Promise<ControlRecord | null>;
}

/** How often a copy is killed on its way, and at which of its phases; those of the other direction never come. */
const SHARE_KILLED = 0.4;
const PHASES = ['copying', 'checking', 'merging'] as const;
/** How often somebody looks although no gate asks for it. */
const SHARE_LOOKED_AT = 0.25;

export function newWalk(): Walk {
  const looked = { verify: null, snapshot: null };
  return {
    moves: [],
    bulk: [],
    pausesMs: [],
    refusals: [],
    struck: [],
    killed: [],
    findings: [],
    overruled: [],
    looked,
  };
}

/** What of it was done, in words, for comparison with what was to be. */
export function walked({ moves, bulk }: Walk): ReadonlySet<string> {
  return new Set([...moves.map(({ from, to }) => `${from} → ${to}`), ...bulk]);
}

/** Walks until told to stop; then ends what it is at. */
export async function walk(options: WalkOptions, result: Walk, until: () => boolean): Promise<void> {
  const { random } = options;
  const route = createRoute(random.fork('route'), options.crossings);
  const strikes = [...options.strikes];
  while (!until()) {
    await sleep(options.restMs * (0.5 + random.next()));
    const record = await options.record();
    if (record === null || until()) continue;
    if (record.copy.kind === 'complete' && isMirrored(record.mode) && random.chance(SHARE_LOOKED_AT)) {
      await bulk(options, { kind: 'verify' }, result);
    }
    await act(options, record, route.target(record.mode), strikes, result);
  }
}

/** Steps until this mode, with a mirror, has a complete copy; nobody is struck. Throws when it never has by then. */
export async function arrive(
  options: WalkOptions,
  end: Mode,
  result: Walk,
  isLate: () => boolean,
): Promise<void> {
  const beyond = neighbour(end, 'rollback') ?? end;
  while (!isLate()) {
    const record = await options.record();
    if (record?.mode === end && record.copy.kind === 'complete') return;
    // There, but with half a copy: what the next step would need completes it.
    if (record !== null) await act(options, record, record.mode === end ? beyond : end, [], result);
    await sleep(options.restMs);
  }
  throw new Error(`never in ${end} with a complete copy: ${result.refusals.at(-1)}`);
}

/** The next action towards that mode; a move takes the first of the strikes on its kind, once it has come to it. */
async function act(
  options: WalkOptions,
  { mode, copy }: ControlRecord,
  target: Mode,
  strikes: Strike[],
  result: Walk,
): Promise<void> {
  const run = copy.kind === 'complete' ? copy.run : null;
  const seen = (verb: keyof Walk['looked']): boolean => run !== null && result.looked[verb] === run;
  const standing = { mode, copy, verified: seen('verify'), snapshot: seen('snapshot') };
  const action = nextAction(standing, target);
  if (action.kind !== 'move') {
    const done = await bulk(options, action, result);
    if (done && action.kind !== 'backfill') result.looked[action.kind] = run;
    return;
  }
  const kind = moveBetween(mode, action.to)?.changesAuthority === true ? 'change of authority' : 'flip';
  const strike = strikes.find(({ of }) => of === kind);
  if (strike === undefined) await plainly(options, mode, action.to, result);
  else if (await struck(options, mode, action.to, strike, result)) strikes.splice(strikes.indexOf(strike), 1);
}

const isMirrored = (mode: Mode): boolean => mirrorOf(mode) !== null;

const directionOf = (from: Mode, to: Mode) =>
  MODES.indexOf(to) > MODES.indexOf(from) ? 'promote' : 'rollback';

type Bulk = Exclude<Action, { kind: 'move' }>;

/** True when it went through. */
async function bulk(options: WalkOptions, action: Bulk, result: Walk): Promise<boolean> {
  const { system, random, onMove } = options;
  const what = action.kind === 'backfill' ? `backfill from ${action.from}` : action.kind;
  onMove(what);
  const killAt = action.kind === 'backfill' && random.chance(SHARE_KILLED) ? random.pick(PHASES) : null;
  const order =
    action.kind === 'backfill'
      ? { verb: action.kind, from: action.from, killAt }
      : action.kind === 'snapshot'
        ? { verb: action.kind, dir: join(system.folder, 'snapshots') }
        : { verb: action.kind };
  const { ended } = await startCoordinator(system, order);
  const end = await ended;
  if (end === null) result.killed.push(`${what}, killed at ${killAt}`);
  else if (end.result === 'done') result.bulk.push(what);
  else result.refusals.push(`${what}: ${end.result}: ${end.reasons.join('; ')}`);
  if (end?.result === 'difference') result.findings.push(`${what}: ${end.reasons.join('; ')}`);
  return end?.result === 'done';
}

async function plainly(options: WalkOptions, from: Mode, to: Mode, result: Walk): Promise<void> {
  options.onMove(`${from} → ${to}`);
  const { ended } = await startMove(options.system, to, directionOf(from, to));
  note(result, from, to, await ended);
}

function note(result: Walk, from: Mode, to: Mode, end: End | null): void {
  if (end?.result === 'done') {
    result.moves.push({ from, to });
    if (end.pauseMs !== null) result.pausesMs.push(end.pauseMs);
  } else result.refusals.push(`${from} → ${to}: ${end?.result ?? 'killed'}: ${end?.reasons.join('; ')}`);
}

/** What a strike has shown, by the ends of the coordinator and of its successor; null when nobody came to the move's end after it. */
export function biteOf({ signal }: Strike, struck: End | null, successor: End | null): string | null {
  if (successor?.result !== 'done') return null;
  if (signal === 'SIGSTOP') return `stopped, overtaken, and then it said: ${struck?.result ?? 'nothing'}`;
  return struck === null ? 'killed before that step; a successor made the move' : null;
}

/** True when the coordinator was struck, and a successor came to the end of what it had begun. */
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
    const first = await startMove(system, to, directionOf(from, to), { strike });
    if (!(await first.reached(strike.step))) {
      note(result, from, to, await first.ended);
      return false;
    }
    if (strike.signal === 'SIGKILL') await first.ended;
    onMove(`${from} → ${to}, by a successor`);
    const successor = await startMove(system, to, directionOf(from, to));
    const overtaken = await successor.ended;
    note(result, from, to, overtaken);
    if (strike.signal === 'SIGSTOP') {
      // Somebody decides otherwise meanwhile.
      if (strike.of === 'flip' && overtaken?.result === 'done') await plainly(options, to, from, result);
      // It wakes up to a world that has gone on: whatever it still does must name its own attempt.
      first.kill('SIGCONT');
    }
    const end = await first.ended;
    const seen = biteOf(strike, end, overtaken);
    // To be struck again.
    if (seen === null) return false;
    // At its last step it has made its move before.
    const wakes = strike.signal === 'SIGSTOP' && strike.of === 'flip' && strike.step !== 'acknowledge';
    if (wakes && end?.result === 'done') {
      result.overruled.push(`${from} → ${to}, ${describeStrike(strike)}: it was made over others’ moves`);
    }
    result.struck.push({ strike, seen });
    return true;
  } finally {
    close();
  }
}
