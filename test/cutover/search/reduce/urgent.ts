/**
 * Steps that take nothing from anybody and only add to what may happen next are taken at once, so that the states in
 * which they are still to come need not be looked at one by one. Each is the model's own step; why it loses nothing is
 * said in the ADR.
 */
import { authorityOf, otherStore } from '../../../../cutover/mode.ts';
import { RULES } from '../../../../cutover/protocol/rules.ts';
import { decideWrite } from '../../../../cutover/protocol/stamps.ts';
import { compareStamps } from '../../../../db/records.ts';
import { advance, isBefore, watchStep } from '../coordinators.ts';
import { acknowledgeStep, hasNothingToLose, restartStep, tick } from '../instances.ts';
import { mirrorSteps } from '../mirror.ts';
import type { Context, Emit } from '../model.ts';
import { operationSteps } from '../operations.ts';
import {
  CONTROL,
  COORDINATORS,
  DATA,
  type Draft,
  INSTANCES,
  isUp,
  OPERATIONS,
  partsOf,
  SLOTS,
  TASKS,
  type World,
} from '../world.ts';

/** On which rules the urgency of a cleared mark rests. */
const OF_CLEARS = [
  'clearsMark',
  'isNewer',
  'isStale',
  'applyIsStale',
  'marksBlock',
  'loserFirst',
  'abortable',
] as const;

export interface Taken {
  readonly step: string;
  readonly who: string;
  readonly draft: Draft;
  /** What it leads to is covered: nobody needs to look at that state. */
  readonly covered: boolean;
}

/** Each looks for one kind of urgent step; the first that finds one takes it. */
export function createUrgent(context: Context): readonly ((world: World) => Taken | null)[] {
  const { rules } = context;
  const clears = OF_CLEARS.every((name) => rules[name] === RULES[name]);
  let caught: Taken[] = [];
  const emit: Emit = (step, who, draft, stepClass = 'normal', cover = 'counts') => {
    if (stepClass !== 'fault') caught.push({ step, who, draft, covered: cover !== 'counts' });
  };
  const quiet: Context = { ...context, emit };
  const first = (run: () => void, names?: readonly string[]): Taken | null => {
    caught = [];
    run();
    return caught.find(({ step }) => names === undefined || names.includes(step)) ?? null;
  };

  function ofInstance(world: World, i: 0 | 1): Taken | null {
    const part = world[INSTANCES[i]];
    if (!part.alive && context.scenario.restarts) return first(() => restartStep(world, i, quiet));
    const { record } = part.state.following;
    if (record !== null && record.transition !== null && isAwaited(world, record.transition.id)) {
      const taken = first(() => acknowledgeStep(world, i, quiet));
      if (taken !== null) return taken;
    }
    if (context.scenario.pauses === 'paid' && hasNothingToLose(part) && isWatchedYoung(world, i)) {
      const draft = tick(world, context, null, i);
      if (draft !== null) return { step: 'time passes', who: `instance ${i}`, draft, covered: false };
    }
    return null;
  }

  function isWatchedYoung(world: World, i: 0 | 1): boolean {
    return COORDINATORS.some((key) => {
      const part = world[key];
      return typeof part !== 'string' && (part.watch[i]?.sinceMs ?? -1) > -context.timing.leaseMs;
    });
  }

  function isAwaited(world: World, id: string): boolean {
    return COORDINATORS.some((key) => {
      const part = world[key];
      return typeof part !== 'string' && part.transition.id === id && isBefore(part, 'drain-loser');
    });
  }

  function ofCoordinator(world: World, k: 0 | 1): Taken | null {
    const part = world[COORDINATORS[k]];
    if (typeof part === 'string') return null;
    const watched = first(() => watchStep(world, k, part, quiet));
    if (watched !== null) return watched;
    const { stage, loser, record } = part;
    if (stage === 'announce' || (stage === 'note' && !isLate(world, loser, record.epoch))) return null;
    const taken = first(() => advance(world, k, part, quiet));
    return taken !== null && changesItselfOnly(world, taken.draft, k) ? taken : null;
  }

  /** The winner is at a higher epoch than this attempt began from: it can never be noted there. */
  function isLate(world: World, loser: 'mongo' | 'postgres', epoch: number): boolean {
    return world[CONTROL[loser === 'mongo' ? 'postgres' : 'mongo']].epoch > epoch;
  }

  function ofOperation(world: World, j: 0 | 1 | 2): Taken | null {
    const { phase, ticket, step, expected } = world[OPERATIONS[j]];
    const target = context.scenario.operations[j]?.writes[step];
    if (ticket === null || target === undefined || !isUp(world, ticket.store)) return null;
    if (phase === 'admitted' && target.readsOthers === undefined) {
      return first(() => operationSteps(world, j, quiet));
    }
    if (phase !== 'sending') return null;
    const stored = world[DATA[ticket.store]][target.record]?.stamp ?? null;
    if (decideWrite(stored, expected, ticket.epoch, context.rules) === 'write') return null;
    return first(() => operationSteps(world, j, quiet), ['conflict', 'refuse stale']);
  }

  /**
   * Marks of what the mirror holds are taken off in the authority: a mark there would only let the same be applied again, and
   * hold up a change of authority. Elsewhere it makes an orphan, and matters.
   */
  function ofMirror(world: World, i: 0 | 1): Taken | null {
    const task = world[TASKS[i]];
    if (!clears || task?.kind !== 'clear') return null;
    const { store, epoch } = task.ticket;
    const other = otherStore(store);
    const { mode, epoch: own } = world[CONTROL[store]];
    if (!isUp(world, store) || authorityOf(mode) !== store || own !== epoch) return null;
    if (world[CONTROL[other]].epoch > epoch) return null;
    const copy = world[DATA[other]];
    const holds = task.batch.every(({ record, stamp }) => {
      const stored = copy[record] ?? null;
      return stored !== null && compareStamps(stored.stamp, stamp) === 0;
    });
    return holds ? first(() => mirrorSteps(world, i, quiet), ['clear marks']) : null;
  }

  return [
    ...([0, 1] as const).map((i) => (world: World) => ofInstance(world, i)),
    ...([0, 1] as const).map((k) => (world: World) => ofCoordinator(world, k)),
    ...([0, 1, 2] as const).map((j) => (world: World) => ofOperation(world, j)),
    ...([0, 1] as const).map((i) => (world: World) => ofMirror(world, i)),
  ];
}

function changesItselfOnly(world: World, draft: Draft, k: 0 | 1): boolean {
  const parts = partsOf(draft);
  return SLOTS.every(
    ({ name }) => name === COORDINATORS[k] || parts[name] === undefined || parts[name] === world[name],
  );
}
