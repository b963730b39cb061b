/**
 * Breadth first through every state the scenario can reach, so that the first violation has the shortest trace. Then,
 * over the edges found, whether each state has a way on to rest.
 */
import { RULES, type Rules } from '../../../cutover/protocol/rules.ts';
import { isAtRest, mirrorIsDown, servesAlone, violation } from './checks.ts';
import { abortSteps, coordinatorSteps } from './coordinators.ts';
import { faultSteps } from './faults.ts';
import { instanceSteps, pauseSteps, tick } from './instances.ts';
import { mirrorSteps } from './mirror.ts';
import type { Context, Emit, Scenario, StepClass } from './model.ts';
import { operationSteps } from './operations.ts';
import { createVisited } from './visited.ts';
import { firstWorld, SLOTS, timingOf, type World } from './world.ts';

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
}

export interface Options {
  readonly rules?: Rules;
  readonly statesMax?: number;
  /** Look for states without a way on, too. */
  readonly liveness?: boolean;
}

const CLASS_CODE: Readonly<Record<StepClass, number>> = { normal: 0, fault: 1, recovery: 2 };
const SLOT_COUNT = SLOTS.length;

export function explore(scenario: Scenario, options: Options = {}): Result {
  const { rules = RULES, statesMax = 20_000_000, liveness = true } = options;
  const timing = timingOf(scenario.leaseTicks);
  const interned = SLOTS.map(() => ({ ids: new Map<string, number>(), worlds: [] as World[] }));
  const visited = createVisited();
  const parents: number[] = [-1];
  const steps = new Map<string, number>();
  const edges = createEdges();
  const ids = new Uint16Array(SLOT_COUNT);
  const next = new Uint16Array(SLOT_COUNT);
  const begun = (j: number) => j < scenario.operations.length && (scenario.without & (1 << j)) === 0;
  const first = firstWorld(scenario.records, begun, scenario.faults, scenario.leaseTicks);
  let current: World = scenario.start === null ? first : scenario.start(first);
  let from = 0;
  let onEdge: ((step: string, who: string, state: number) => void) | null = null;

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
      dm: holder(4).dm,
      dp: holder(5).dp,
      i0: holder(6).i0,
      i1: holder(7).i1,
      o0: holder(8).o0,
      o1: holder(9).o1,
      o2: holder(10).o2,
      k0: holder(11).k0,
      k1: holder(12).k1,
      t0: holder(13).t0,
      t1: holder(14).t1,
      env: holder(15).env,
    };
  };
  const emit: Emit = (step, who, draft, stepClass = 'normal') => {
    next.set(ids);
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const name = SLOTS[slot]?.name;
      if (name !== undefined && draft[name] !== current[name]) next[slot] = intern(slot, draft);
    }
    const added = visited.add(next);
    const state = added < 0 ? -1 - added : added;
    if (added < 0) parents.push(from);
    if (onEdge !== null) return onEdge(step, who, state);
    steps.set(step, (steps.get(step) ?? 0) + 1);
    if (state !== from) edges.add(state * 4 + CLASS_CODE[stepClass]);
  };
  const context: Context = { scenario, rules, timing, emit };

  const traceTo = (state: number): readonly string[] => {
    const path = [state];
    for (let at = state; (parents[at] ?? -1) >= 0; at = parents[at] ?? -1) path.unshift(parents[at] ?? 0);
    const lines: string[] = [];
    for (let n = 0; n + 1 < path.length; n++) {
      from = path[n] ?? 0;
      current = load(from);
      let line: string | null = null;
      onEdge = (step, who, reached) => {
        if (reached === path[n + 1]) line ??= `${who}: ${step}`;
      };
      allSteps(current, context);
      onEdge = null;
      lines.push(`${String(n + 1).padStart(3)}. ${line ?? '?'}`);
    }
    return lines;
  };
  const result = (finding: Finding | null, complete: boolean): Result => ({
    scenario: scenario.name,
    states: visited.count(),
    edges: edges.count(),
    complete,
    finding,
    steps,
  });

  for (let slot = 0; slot < SLOT_COUNT; slot++) ids[slot] = intern(slot, current);
  visited.add(ids);
  for (from = 0; from < visited.count(); from++) {
    if (visited.count() > statesMax) return result(null, false);
    current = load(from);
    edges.begin();
    const what = violation(current, context);
    if (what !== null) return result({ what, trace: traceTo(from) }, false);
    allSteps(current, context);
  }
  if (!liveness) return result(null, true);
  const count = visited.count();
  edges.begin();
  const toRest = edges.backwards(count, (state) => isAtRest(load(state), context), [0, 2]);
  const stuck = toRest.indexOf(0);
  if (stuck >= 0) return result({ what: 'no way on to rest', trace: traceTo(stuck) }, true);
  const alone = edges.backwards(count, (state) => servesAlone(load(state), context), [0]);
  for (let state = 0; state < count; state++) {
    if (alone[state] === 0 && mirrorIsDown(load(state))) {
      return result({ what: 'no way on without the mirror', trace: traceTo(state) }, true);
    }
  }
  return result(null, true);
}

function allSteps(world: World, context: Context): void {
  for (const i of [0, 1] as const) {
    instanceSteps(world, i, context);
    mirrorSteps(world, i, context);
    coordinatorSteps(world, i, context);
  }
  for (const j of [0, 1, 2] as const) operationSteps(world, j, context);
  abortSteps(world, context);
  faultSteps(world, context);
  if (context.scenario.pauses === 'paid') {
    pauseSteps(world, 0, context);
    pauseSteps(world, 1, context);
    return;
  }
  for (const frozen of context.scenario.suspends ? ([null, 0, 1] as const) : ([null] as const)) {
    const later = tick(world, context, frozen, null);
    if (later !== null) context.emit(frozen === null ? 'tick' : 'tick while suspended', 'time', later);
  }
}

/** Edges in the order in which their states were expanded, four bytes each. */
function createEdges() {
  let list = new Uint32Array(1 << 16);
  let length = 0;
  const starts: number[] = [];
  return {
    count: () => length,
    begin: () => {
      starts.push(length);
    },
    add: (edge: number) => {
      if (length === list.length) {
        const larger = new Uint32Array(list.length * 2);
        larger.set(list);
        list = larger;
      }
      list[length++] = edge;
    },
    /** Which states reach one where `isGoal` holds, by edges of these classes: 1 for each that does. */
    backwards: (
      count: number,
      isGoal: (state: number) => boolean,
      classes: readonly number[],
    ): Uint8Array => {
      const allowed = [0, 1, 2, 3].map((code) => classes.includes(code));
      const offsets = new Uint32Array(count + 1);
      for (let e = 0; e < length; e++) {
        const edge = list[e] ?? 0;
        if (allowed[edge & 3]) offsets[(edge >>> 2) + 1] = (offsets[(edge >>> 2) + 1] ?? 0) + 1;
      }
      for (let s = 0; s < count; s++) offsets[s + 1] = (offsets[s + 1] ?? 0) + (offsets[s] ?? 0);
      const fill = offsets.slice();
      const sources = new Uint32Array(offsets[count] ?? 0);
      for (let s = 0; s < count; s++) {
        for (let e = starts[s] ?? 0; e < (starts[s + 1] ?? length); e++) {
          const edge = list[e] ?? 0;
          if (!allowed[edge & 3]) continue;
          const at = fill[edge >>> 2] ?? 0;
          sources[at] = s;
          fill[edge >>> 2] = at + 1;
        }
      }
      const reached = new Uint8Array(count);
      const queue: number[] = [];
      for (let s = 0; s < count; s++) {
        if (!isGoal(s)) continue;
        reached[s] = 1;
        queue.push(s);
      }
      while (queue.length > 0) {
        const state = queue.pop() ?? 0;
        for (let at = offsets[state] ?? 0; at < (offsets[state + 1] ?? 0); at++) {
          const source = sources[at] ?? 0;
          if (reached[source] === 1) continue;
          reached[source] = 1;
          queue.push(source);
        }
      }
      return reached;
    },
  };
}
