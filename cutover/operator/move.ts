import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { logEvent } from '../event-log.ts';
import { authorityOf, type Mode, type Move, otherStore } from '../mode.ts';
import { hasMoved } from '../protocol/changes.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { settingsOf, timingOf } from '../settings.ts';
import { copyTo } from '../telling.ts';
import { LOST_COPY, whyRefused } from '../words.ts';
import { sendCanary } from './canary.ts';
import { attemptChange } from './change-authority.ts';
import { readFacts } from './facts.ts';
import { finishOrAbort } from './finish.ts';
import { flip } from './flip.ts';
import { failingGates, gatesFor, mayPass } from './gates.ts';
import { awaitAcknowledged, instancesOf, isSeen, watchInstances } from './instances.ts';
import { beginRun, isOver, pause, type Run, unlessOver, whyOver } from './run.ts';
import { attempt, readStanding, type Standing, summarize } from './situation.ts';
import { noteEntered } from './stay.ts';
import type { Gate, MoveRequest, MoveResult, OperatorContext } from './types.ts';
import { wayTo } from './way.ts';

/** How one rung was taken. */
interface Step {
  readonly kind: MoveResult['kind'];
  /** Null: it did not come to one. */
  readonly rung?: Move;
  readonly failing?: readonly Gate[];
  readonly overridden?: readonly Gate[];
  readonly reasons?: readonly string[];
  readonly attempts?: number;
  readonly pauseMs?: number | null;
}

/** Between two attempts at a change of authority; doubled each time. */
const SPACING_MS = 1_000;
/** How long gates that pass by themselves are waited for, and between two looks at them. */
const PASSING_MS = 5_000;
const LOOK_AGAIN_MS = 250;

/**
 * Moves to the next mode, or one rung after the other to a farther one, each with its own gates when it comes. What a dead
 * coordinator left is finished or taken back first. May be run again after any end: it goes on from what is recorded.
 */
export async function move(context: OperatorContext, request: MoveRequest): Promise<MoveResult> {
  const run = beginRun(context, request.timeoutMs, request.interrupted);
  const { standing, finished, blocked } = await finishOrAbort(run);
  const before = await summarize(run, standing);
  await noteEntered(run, standing);
  // The change that was half done is the one that was asked for: not one more on top of it.
  const from = finished === null || request.to !== null ? standing.record.mode : finished.from;
  const way = wayTo(from, request);
  const to = typeof way === 'string' ? request.to : (way.at(-1)?.to ?? from);
  const made: { from: Mode; to: Mode }[] = finished === null ? [] : [finished];
  const steps: Step[] = [];
  if (typeof way === 'string') {
    steps.push({ kind: 'refused', reasons: [way] });
  } else if (blocked) {
    const kind = run.interrupted?.aborted === true ? 'aborted' : 'refused';
    steps.push({ kind, reasons: ['another change of authority is under way: it is left alone'] });
  } else {
    for (const rung of way.filter((each) => each.from !== finished?.from || each.to !== finished.to)) {
      const step = await climb(run, rung, request);
      steps.push({ ...step, rung });
      if (step.kind !== 'done') break;
      made.push({ from: rung.from, to: rung.to });
    }
  }
  const end = await attempt(() => readStanding(run));
  await logRefusal(run, end ?? standing, steps.at(-1), to);
  const last = end === null ? null : await summarize(run, end);
  const pauses = steps.map(({ pauseMs }) => pauseMs ?? null).filter((ms) => ms !== null);
  return {
    kind: steps.at(-1)?.kind ?? 'done',
    before,
    after: last,
    to,
    made,
    longestPauseMs: pauses.length === 0 ? null : Math.max(...pauses),
    attempts: steps.reduce((sum, { attempts = 0 }) => sum + attempts, 0),
    failing: steps.at(-1)?.failing ?? [],
    overridden: steps.flatMap(({ overridden = [] }) => overridden),
    reasons: steps.flatMap(({ reasons = [] }) => reasons),
  };
}

/** A move that was refused is told where it was, by its gates or in words. */
async function logRefusal(
  run: Run,
  { authority, record }: Standing,
  step: Step | undefined,
  wanted: Mode | null,
): Promise<void> {
  if (step?.kind !== 'refused') return;
  const { rung, failing = [], reasons = [] } = step;
  const details = {
    from: rung?.from ?? record.mode,
    to: rung?.to ?? wanted,
    ...(failing.length > 0 && { gates: failing.map(({ name }) => name).join(' ') }),
    ...(reasons.length > 0 && { reason: reasons.join('; ') }),
  };
  await logEvent(run, authority, 'refused', record, details);
}

/** What an earlier try at this rung, overtaken by somebody's setting, has left. */
interface Overtaken {
  /** The record as this rung was begun from it: where somebody else moves after that, they have decided otherwise. */
  readonly begun: ControlRecord;
  /** What is in the log already. */
  readonly overridden: readonly Gate[];
}

async function climb(
  run: Run,
  move: Move,
  request: MoveRequest,
  earlier: Overtaken | null = null,
): Promise<Step> {
  const judged = await judge(run, move, request);
  if (judged === null || run.interrupted?.aborted === true) {
    return { kind: 'aborted', reasons: [whyOver(run)] };
  }
  const { standing, failing, overridden } = judged;
  const { record, authority } = standing;
  const begun = earlier?.begun ?? judged.first;
  const force = request.force?.reason ?? null;
  if (record.mode !== move.from)
    return { kind: 'refused', reasons: [`the mode is ${record.mode} meanwhile`] };
  if (hasMoved(begun, record)) return { kind: 'refused', reasons: [whyRefused('changed', record)] };
  if (failing.length > 0) return { kind: 'refused', failing, overridden };
  if (isOver(run)) return { kind: 'aborted', reasons: [whyOver(run)] };
  const unlogged = overridden.filter(({ name }) => !earlier?.overridden.some((each) => each.name === name));
  if (unlogged.length > 0) {
    const gates = unlogged.map(({ name, found }) => `${name}: ${found}`).join('; ');
    await logEvent(run, authority, 'forced', record, { from: move.from, to: move.to, gates, reason: force });
  }
  if (!move.changesAuthority) {
    const details = move.to === 'dual-write' && move.startsMirror ? { noForeignWriters: true } : {};
    const { kind, reasons } = await flip(run, standing, move, details);
    if (kind !== 'overtaken') return { kind, reasons, overridden };
    if (isOver(run)) return { kind: 'aborted', reasons: [...reasons, whyOver(run)] };
    run.say('retry', 'something was set or marked meanwhile: the gates are judged once more');
    return climb(run, move, request, { begun, overridden });
  }
  return { ...(await changeAuthority(run, move, request, { begun, record })), overridden };
}

/** The gates; for a moment what passes by itself is waited for. Null: the run was over before they had been judged. */
async function judge(run: Run, move: Move, request: MoveRequest) {
  const giveUpMs = run.environment.now().monotonicMs + PASSING_MS;
  const look = (telling: Run) => unlessOver(run, judgeNow(telling, move, request));
  let judged = isOver(run) ? null : await look(run);
  const first = judged?.standing.record;
  if (judged !== null && mayPass(judged.failing))
    run.say('gates', `waiting a moment for ${judged.failing.map(({ name }) => name).join(', ')}`);
  while (
    judged !== null &&
    mayPass(judged.failing) &&
    !isOver(run) &&
    run.environment.now().monotonicMs < giveUpMs
  ) {
    await pause(run, LOOK_AGAIN_MS);
    judged = (await look({ ...run, say: () => {} })) ?? judged;
  }
  return judged === null || first === undefined ? null : { ...judged, first };
}

/** The gates as they stand, once every live instance has acknowledged what stands now. */
async function judgeNow(run: Run, move: Move, request: MoveRequest) {
  const { environment } = run;
  const standing = await readStanding(run);
  const { record, authority } = standing;
  const settings = settingsOf(record);
  const timing = timingOf(settings);
  run.say('settle', 'waiting until every live instance has acknowledged the present mode');
  const watchMs = 2 * timing.heartbeatMs;
  // So long that there is still time to watch and to measure: who is behind is then named.
  const untilMs = run.untilMs - 2 * watchMs;
  const { behind } = await awaitAcknowledged(environment, authority, record, { untilMs, timing });
  const watching = await watchInstances(environment, authority, { watchMs, timing });
  // No gate is passed for want of anybody who could fail it.
  if (!isSeen(watching)) throw new StoreUnavailable(authority.name, 'none', 'timeout');
  const instances = instancesOf(watching, record).map((each) =>
    behind.includes(each.instance) ? { ...each, state: 'behind' as const } : each,
  );
  run.say('gates', `judging ${move.from} → ${move.to}`);
  const facts = await readFacts(run, standing, { instances, noForeignWriters: request.noForeignWriters });
  const gates = gatesFor(move, facts, settings);
  const failing = failingGates(gates, request.force !== null);
  const overridden = gates.filter((gate) => !gate.ok && !failing.includes(gate));
  return { standing, failing, overridden };
}

/** `record` is the one whose gates have been passed; each later attempt is made from the one that was judged for it. */
async function changeAuthority(
  run: Run,
  move: Move,
  request: MoveRequest,
  { begun, record: first }: { readonly begun: ControlRecord; readonly record: ControlRecord },
): Promise<Step> {
  const attemptsMax = 1 + settingsOf(first)['flip-attempts'];
  let passed = first;
  const reasons: string[] = [];
  let pauseMs: number | null = null;
  for (let attempts = 1; ; attempts += 1) {
    const sides = sidesOf(run, move);
    if (sides === null) return { kind: 'refused', reasons: ['both stores must be configured'] };
    const { loser, winner } = sides;
    const { record } = await readStanding(run);
    if (isOver(run))
      return { kind: 'aborted', attempts: attempts - 1, pauseMs, reasons: [...reasons, whyOver(run)] };
    // Back in the same mode it would look untouched, though somebody has decided otherwise since.
    if (hasMoved(begun, record)) {
      return {
        kind: 'aborted',
        attempts: attempts - 1,
        pauseMs,
        reasons: [
          ...reasons,
          `somebody else has moved meanwhile: the mode is ${record.mode}, under epoch ${record.epoch}`,
        ],
      };
    }
    const canary = await tryCanary(run, sides, record.epoch);
    if (canary !== null) {
      await logEvent(run, loser, 'canary', record, { to: move.to, lost: canary.found });
      return { kind: 'refused', failing: [canary], attempts: attempts - 1, reasons, pauseMs };
    }
    // It cannot take authority without a record of this epoch to begin from.
    if (!(await copyTo(run, loser, winner))) {
      const reason = `${winner.name} could not be told of the present mode`;
      return { kind: 'aborted', attempts: attempts - 1, pauseMs, reasons: [...reasons, reason] };
    }
    const { record: told } = await readStanding(run);
    if (record.copy.kind === 'complete' && told.copy.kind === 'stale' && !hasMoved(record, told)) {
      const { failing = [] } = (await judge(run, move, request)) ?? {};
      return { kind: 'refused', failing, attempts: attempts - 1, pauseMs, reasons: [...reasons, LOST_COPY] };
    }
    const outcome = await attemptChange(run, sides, passed, move.to);
    if (outcome.pauseMs !== null) pauseMs = Math.max(pauseMs ?? 0, outcome.pauseMs);
    reasons.push(...outcome.reasons.map((reason) => `attempt ${attempts}: ${reason}`));
    if (outcome.kind === 'done') {
      const details = { from: move.from, to: move.to, attempts, pauseMs };
      const late = await settleInWinner(run, winner, details, outcome.alive);
      return { kind: 'done', attempts, pauseMs, reasons: [...reasons, ...late] };
    }
    if (outcome.kind === 'unknown') return { kind: 'aborted', attempts, pauseMs, reasons };
    await attempt(() =>
      logEvent(run, loser, 'aborted', record, {
        from: move.from,
        to: move.to,
        attempt: attempts,
        reason: outcome.reasons.join('; '),
        pauseMs: outcome.pauseMs,
      }),
    );
    const spacingMs = SPACING_MS * 2 ** (attempts - 1) * (0.5 + run.environment.random());
    if (
      attempts >= attemptsMax ||
      isOver(run) ||
      run.environment.now().monotonicMs + spacingMs >= run.untilMs
    ) {
      return { kind: 'aborted', attempts, pauseMs, reasons };
    }
    run.say('retry', `attempt ${attempts} was taken back; the next one in ${Math.round(spacingMs)} ms`);
    await pause(run, spacingMs);
    // What the gates asked for may have gone meanwhile.
    const judged = await judge(run, move, request);
    if (judged === null) return { kind: 'aborted', attempts, pauseMs, reasons: [...reasons, whyOver(run)] };
    const { failing } = judged;
    passed = judged.standing.record;
    if (failing.length > 0) return { kind: 'aborted', failing, attempts, pauseMs, reasons };
  }
}

/** Authority has moved: the log, and the wait until everybody serves under it. Who has not followed yet. */
async function settleInWinner(
  run: Run,
  winner: Store,
  details: Readonly<Record<string, string | number | null>>,
  expected: readonly string[],
): Promise<readonly string[]> {
  const { record } = await readStanding(run);
  await logEvent(run, winner, 'moved', record, details);
  run.say('acknowledge', `waiting until every live instance serves in ${record.mode}`);
  const timing = timingOf(settingsOf(record));
  const { untilMs, interrupted } = run;
  const waiting = { untilMs, timing, expected, interrupted };
  const { behind } = await awaitAcknowledged(run.environment, winner, record, waiting);
  return behind.map((instance) => `${instance} has not followed yet`);
}

function sidesOf(run: Run, { from }: Move): { readonly loser: Store; readonly winner: Store } | null {
  const loser = run.stores[authorityOf(from)];
  const winner = run.stores[otherStore(authorityOf(from))];
  return loser === null || winner === null ? null : { loser, winner };
}

async function tryCanary(
  run: Run,
  { loser, winner }: { readonly loser: Store; readonly winner: Store },
  epoch: number,
): Promise<Gate | null> {
  run.say('canary', `sending a canary to ${winner.name} and back`);
  const lost = await sendCanary(run.environment, { authority: loser, mirror: winner }, epoch).catch(
    (error: unknown) => (error instanceof Error ? error.message : 'it failed'),
  );
  if (lost === null) return null;
  return {
    name: 'canary',
    ok: false,
    found: lost,
    required: 'a canary goes to the mirror and comes back',
    remedy: 'see why that store refuses it, then try again',
    kind: 'safety',
  };
}
