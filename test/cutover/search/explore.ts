/**
 * Through every state the scenario can reach: first all that need no fault, then all that need one more, and in each of
 * these rounds breadth first. Then, whether each state has a way on to rest.
 */
import { RULES, type Rules } from '../../../cutover/protocol/rules.ts';
import { isAtRest, mirrorIsDown, servesAlone, violation } from './checks.ts';
import { createGrowing } from './growing.ts';
import { findWays } from './liveness.ts';
import {
  ALL_REDUCTIONS,
  type Context,
  type Emit,
  EVERY_CLASS,
  type Reductions,
  type Scenario,
  type StepClass,
  soundUnder,
} from './model.ts';
import { createForget } from './reduce/dead.ts';
import { createUrgent } from './reduce/urgent.ts';
import { allSteps } from './steps.ts';
import { createVisited } from './visited.ts';
import { firstWorld, isUp, SLOTS, timingOf, type World } from './world.ts';

export interface Finding {
  readonly what: string;
  /** One line for each step from the first state. */
  readonly trace: readonly string[];
}

export interface Result {
  readonly scenario: string;
  readonly states: number;
  readonly edges: number;
  /** Whether every reachable state was seen. */
  readonly complete: boolean;
  readonly finding: Finding | null;
  /** How often each step was taken. */
  readonly steps: ReadonlyMap<string, number>;
  readonly bytes: number;
}

export interface Options {
  readonly rules?: Rules;
  readonly statesMax?: number;
  /** Look for states without a way on, too. */
  readonly liveness?: boolean;
  readonly reductions?: Reductions;
  readonly onProgress?: (line: string) => void;
  /** Every state once it is known to be no violation. */
  readonly onState?: (world: World, context: Context) => void;
}

const SLOT_COUNT = SLOTS.length;
const WITHOUT_FAULT: readonly StepClass[] = ['normal', 'choice', 'recovery'];
/** In place of a state's number: it needs no operation that was begun, so it is as good as the one in which none was. */
const NEVER_BEGUN = -1;
const PROGRESS_EVERY = 250_000;

export function explore(scenario: Scenario, options: Options = {}): Result {
  const {
    rules = RULES,
    statesMax = 1_000_000_000,
    liveness = true,
    reductions: wanted = ALL_REDUCTIONS,
  } = options;
  const { onProgress, onState } = options;
  const reductions = soundUnder(rules, scenario, wanted);
  const timing = timingOf(scenario.leaseTicks);
  const interned = SLOTS.map(() => ({ ids: new Map<string, number>(), worlds: [] as World[] }));
  const visited = createVisited();
  const parents = createGrowing();
  /** Of each state the last of its successors in number: most often that is a way on. */
  const onwards = createGrowing();
  const steps = new Map<string, number>();
  const ids = new Uint16Array(SLOT_COUNT);
  const next = new Uint16Array(SLOT_COUNT);
  const begun = (j: number) => j < scenario.operations.length && (scenario.without & (1 << j)) === 0;
  const layered = reductions.fewestFaults;
  const first = firstWorld(scenario.records, begun, layered ? 0 : scenario.faults, scenario.leaseTicks);
  let current: World = scenario.start === null ? first : scenario.start(first);
  let from = 0;
  let edges = 0;
  let onwardsOf = -1;
  /** Which steps count in this pass over the states. */
  let taken = EVERY_CLASS;
  let onEdge: ((lines: readonly string[], state: number) => void) | null = null;
  let chain: string[] = [];
  const noted: string[] = [];

  const count = (step: string) => void steps.set(step, (steps.get(step) ?? 0) + 1);
  const intern = (slot: number, world: World): number => {
    const table = interned[slot];
    const definition = SLOTS[slot];
    if (table === undefined || definition === undefined) throw new Error('no such slot');
    const key = definition.key(world);
    const known = table.ids.get(key);
    if (known !== undefined) return known;
    if (table.worlds.length > 0xffff) throw new Error(`too many different ${definition.name}`);
    table.ids.set(key, table.worlds.length);
    table.worlds.push(world);
    return table.worlds.length - 1;
  };
  const load = (state: number): World => {
    visited.read(state, ids);
    const holder = (slot: number): World => interned[slot]?.worlds[ids[slot] ?? 0] ?? first;
    // Spelled out, so that every state has the one shape the engine is fast with.
    return {
      cm: holder(0).cm,
      cp: holder(1).cp,
      rm: holder(2).rm,
      rp: holder(3).rp,
      i0: holder(4).i0,
      i1: holder(5).i1,
      k0: holder(6).k0,
      k1: holder(7).k1,
      dm: holder(8).dm,
      dp: holder(9).dp,
      o0: holder(10).o0,
      o1: holder(11).o1,
      o2: holder(12).o2,
      t0: holder(13).t0,
      t1: holder(14).t1,
      env: holder(15).env,
    };
  };
  const reduced = (world: World): World | null => {
    const settled = reductions.urgent ? settle(world) : world;
    if (settled === null || !reductions.dead) return settled;
    const draft = { ...settled };
    return forget(draft) ? draft : null;
  };
  const emit: Emit = (step, who, draft, stepClass = 'normal', cover = 'counts') => {
    if (!taken.includes(stepClass)) return;
    if (cover !== 'counts') {
      if (onEdge === null) count(step);
      else if (cover === 'never-begun') onEdge([], NEVER_BEGUN);
      return;
    }
    if (onEdge !== null) chain = [...noted.splice(0), `${who}: ${step}`];
    // How many faults have been paid is the round that is being searched, not a part of the state.
    if (layered && draft.env !== current.env && draft.env.faultsLeft !== 0)
      draft.env = { ...draft.env, faultsLeft: 0 };
    const reachedWorld = reduced(draft);
    if (reachedWorld === null) return onEdge === null ? count(step) : onEdge([], NEVER_BEGUN);
    next.set(ids);
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const name = SLOTS[slot]?.name;
      if (name !== undefined && reachedWorld[name] !== current[name]) next[slot] = intern(slot, reachedWorld);
    }
    const added = visited.add(next);
    const state = added < 0 ? -1 - added : added;
    if (added < 0) parents.push(from);
    if (onEdge !== null) return onEdge(chain, state);
    count(step);
    edges++;
    if (stepClass === 'normal' && state > onwardsOf) onwardsOf = state;
  };
  const note = (step: string, who: string): void => {
    if (onEdge === null) count(step);
    else noted.push(`${who}: ${step}`);
  };
  const context: Context = { scenario, rules, timing, emit, reductions, note };
  const settle = createUrgent(context, ({ step, who }) => {
    if (onEdge === null) count(step);
    else chain.push(`${who}: ${step}`);
  });
  const forget = createForget(context);
  const expand = (state: number, faultsLeft: number, classes: readonly StepClass[]): void => {
    from = state;
    taken = classes;
    current = load(state);
    if (layered && faultsLeft > 0) current = { ...current, env: { ...current.env, faultsLeft } };
    allSteps(current, context);
  };

  const traceTo = (state: number): readonly string[] => {
    const path = [state];
    for (let at = state; at > 0; at = parents.at(at)) path.unshift(parents.at(at));
    const lines: string[] = [];
    for (let n = 0; n + 1 < path.length; n++) {
      let found: readonly string[] | null = null;
      onEdge = (told, reached) => {
        if (reached === path[n + 1]) found ??= told;
      };
      expand(path[n] ?? 0, scenario.faults, EVERY_CLASS);
      onEdge = null;
      for (const line of found ?? ['?']) lines.push(`${String(n + 1).padStart(3)}. ${line}`);
    }
    return lines;
  };
  const bytes = () => visited.bytes() + parents.bytes() + onwards.bytes();
  const result = (finding: Finding | null, complete: boolean): Result => ({
    scenario: scenario.name,
    states: visited.count(),
    edges,
    complete,
    finding,
    steps,
    bytes: bytes(),
  });

  current = reduced(current) ?? current;
  for (let slot = 0; slot < SLOT_COUNT; slot++) ids[slot] = intern(slot, current);
  visited.add(ids);
  parents.push(0);
  let begin = 0;
  for (let used = 0; ; used++) {
    for (from = begin; from < visited.count(); from++) {
      if (visited.count() > statesMax) return result(null, false);
      if (onProgress !== undefined && from % PROGRESS_EVERY === 0) {
        onProgress(
          `${scenario.name}: ${used} faults, ${from} of ${visited.count()} states, ${edges} edges, ${Math.round(bytes() / 1_048_576)} MiB`,
        );
      }
      current = load(from);
      const what = violation(current, context);
      if (what !== null) return result({ what, trace: traceTo(from) }, false);
      onState?.(current, context);
      onwardsOf = -1;
      expand(from, 0, layered ? WITHOUT_FAULT : EVERY_CLASS);
      onwards.push(Math.max(onwardsOf, 0));
    }
    if (!layered || used === scenario.faults) break;
    const end = visited.count();
    for (let state = begin; state < end; state++) expand(state, 1, ['fault']);
    begin = end;
  }
  if (!liveness) return result(null, true);

  const states = visited.count();
  const successors = (
    state: number,
    classes: readonly StepClass[],
    isGood: (successor: number) => boolean,
  ): boolean => {
    let good = false;
    onEdge = (_lines, reached) => {
      good ||= reached === NEVER_BEGUN || isGood(reached);
    };
    expand(state, 0, classes);
    onEdge = null;
    return good;
  };
  const toRest = findWays({
    states,
    onwards,
    isGoal: (state) => isAtRest(load(state), context),
    hasGood: (state, isGood) => successors(state, ['normal', 'recovery'], isGood),
  });
  if (toRest !== null) return result({ what: 'no way on to rest', trace: traceTo(toRest) }, true);
  const alone = findWays({
    states,
    onwards,
    // With both stores up nothing is asked; no step but a fault or a recovery changes which are.
    isGoal: (state) => {
      const world = load(state);
      return (isUp(world, 'mongo') && isUp(world, 'postgres')) || servesAlone(world, context);
    },
    hasGood: (state, isGood) => successors(state, ['normal'], isGood),
    isAsked: (state) => mirrorIsDown(load(state)),
  });
  if (alone !== null) return result({ what: 'no way on without the mirror', trace: traceTo(alone) }, true);
  return result(null, true);
}
