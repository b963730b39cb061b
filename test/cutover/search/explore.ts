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
  EVERY_CLASS,
  type Reductions,
  type Scenario,
  type StepClass,
  soundUnder,
  type Terms,
} from './model.ts';
import { type Change, createSuccessors, EVERYTHING } from './successors.ts';
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
  /** Of the processor. */
  readonly seconds: number;
}

export interface Options {
  readonly rules?: Rules;
  readonly statesMax?: number;
  /** Look for states without a way on, too. */
  readonly liveness?: boolean;
  readonly reductions?: Reductions;
  readonly onProgress?: (line: string) => void;
  /** Every state once it is known to be no violation; states that are alike in all that it looks at, once for all of them. */
  readonly onState?: (world: World, context: Terms) => void;
}

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
  const startedAt = process.cpuUsage();
  const reductions = soundUnder(rules, scenario, wanted);
  const timing = timingOf(scenario.leaseTicks);
  const successors = createSuccessors({ scenario, rules, timing, reductions });
  const visited = createVisited();
  const parents = createGrowing();
  /** Of each state the first and the last of its successors in number: most often one is a way on. */
  const firsts = createGrowing();
  const lasts = createGrowing();
  const begun = (j: number) => j < scenario.operations.length && (scenario.without & (1 << j)) === 0;
  const layered = reductions.fewestFaults;
  const ids = new Uint16Array(SLOTS.length);
  const next = new Uint16Array(SLOTS.length);
  let edges = 0;

  /** Each step of these classes, and the state it leads to, until told to stop. */
  const expand = (
    state: number,
    faultsLeft: number,
    classes: readonly StepClass[],
    onEdge: (reached: number, change: Change) => boolean,
    onUrgent?: (taken: Change) => void,
  ): void => {
    visited.read(state, ids);
    for (const change of successors.changesOf(ids, faultsLeft)) {
      if (!classes.includes(change.stepClass)) continue;
      change.taken++;
      if (change.cover === 'covered') continue;
      const counts = change.cover === 'counts' && leadsOn(change, onUrgent);
      if (onEdge(counts ? visited.add(next) : NEVER_BEGUN, change)) return;
    }
  };
  const leadsOn = (change: Change, onUrgent?: (taken: Change) => void): boolean => {
    next.set(ids);
    for (let at = 0; at < change.slots.length; at++) next[change.slots[at] ?? 0] = change.ids[at] ?? 0;
    return successors.reduce(next, change.changed, onUrgent);
  };
  const traceTo = (state: number): readonly string[] => {
    const path = [state];
    for (let at = state; at > 0; at = parents.at(at)) path.unshift(parents.at(at));
    const lines: string[] = [];
    for (let n = 0; n + 1 < path.length; n++) {
      let found: Change['steps'] | null = null;
      let urgent: Change['steps'] = [];
      expand(
        path[n] ?? 0,
        layered ? scenario.faults : 0,
        EVERY_CLASS,
        (reached, { steps }) => {
          if (reached === path[n + 1]) found = [...steps, ...urgent];
          urgent = [];
          return found !== null;
        },
        ({ steps }) => {
          urgent = [...urgent, ...steps];
        },
      );
      for (const { step, who } of found ?? [{ step: '?', who: '?' }]) {
        lines.push(`${String(n + 1).padStart(3)}. ${who}: ${step}`);
      }
    }
    return lines;
  };
  const bytes = () => visited.bytes() + parents.bytes() + firsts.bytes() + lasts.bytes() + successors.bytes();
  const result = (finding: Finding | null, complete: boolean): Result => ({
    scenario: scenario.name,
    states: visited.count(),
    edges,
    complete,
    finding,
    steps: successors.timesTaken(),
    bytes: bytes(),
    seconds: process.cpuUsage(startedAt).user / 1_000_000,
  });

  const context = { scenario, rules, timing, reductions };
  const violationIn = successors.ask((world) => violation(world, context));
  const tell = successors.ask((world) => onState?.(world, context));
  const first = firstWorld(scenario.records, begun, layered ? 0 : scenario.faults, scenario.leaseTicks);
  next.set(successors.numbersOf(scenario.start === null ? first : scenario.start(first)));
  const beginning = next.slice();
  visited.add(successors.reduce(next, EVERYTHING) ? next : beginning);
  parents.push(0);
  let begin = 0;
  let from = 0;
  let firstOf = Number.POSITIVE_INFINITY;
  let lastOf = 0;
  const onEdge = (reached: number, { stepClass }: Change): boolean => {
    if (reached === NEVER_BEGUN) return false;
    if (reached === parents.count()) parents.push(from);
    edges++;
    if (stepClass === 'normal') {
      firstOf = Math.min(firstOf, reached);
      lastOf = Math.max(lastOf, reached);
    }
    return false;
  };
  for (let used = 0; ; used++) {
    for (from = begin; from < visited.count(); from++) {
      if (visited.count() > statesMax) return result(null, false);
      if (onProgress !== undefined && from % PROGRESS_EVERY === 0) {
        onProgress(
          `${scenario.name}: ${used} faults, ${from} of ${visited.count()} states, ${edges} edges, ${Math.round(bytes() / 1_048_576)} MiB`,
        );
      }
      visited.read(from, ids);
      const what = violationIn(ids);
      if (what !== null) return result({ what, trace: traceTo(from) }, false);
      if (onState !== undefined) tell(ids);
      firstOf = Number.POSITIVE_INFINITY;
      lastOf = from;
      expand(from, 0, layered ? WITHOUT_FAULT : EVERY_CLASS, onEdge);
      firsts.push(Math.min(firstOf, lastOf));
      lasts.push(lastOf);
    }
    if (!layered || used === scenario.faults) break;
    const end = visited.count();
    for (from = begin; from < end; from++) expand(from, 1, ['fault'], onEdge);
    begin = end;
  }
  if (!liveness) return result(null, true);

  const states = visited.count();
  const asked = (question: (world: World) => boolean): ((state: number) => boolean) => {
    const answer = successors.ask(question);
    return (state) => {
      visited.read(state, ids);
      return answer(ids);
    };
  };
  const hasGood =
    (classes: readonly StepClass[]) =>
    (state: number, isGood: (successor: number) => boolean): boolean => {
      let good = false;
      expand(state, 0, classes, (reached) => {
        good = reached === NEVER_BEGUN || isGood(reached);
        return good;
      });
      return good;
    };
  const toRest = findWays({
    states,
    some: [firsts, lasts],
    isGoal: asked((world) => isAtRest(world, context)),
    hasGood: hasGood(['normal', 'recovery']),
  });
  if (toRest !== null) return result({ what: 'no way on to rest', trace: traceTo(toRest) }, true);
  const alone = findWays({
    states,
    some: [firsts, lasts],
    // With both stores up nothing is asked; no step but a fault or a recovery changes which are.
    isGoal: asked(
      (world) => (isUp(world, 'mongo') && isUp(world, 'postgres')) || servesAlone(world, context),
    ),
    hasGood: hasGood(['normal']),
    isAsked: asked(mirrorIsDown),
  });
  if (alone !== null) return result({ what: 'no way on without the mirror', trace: traceTo(alone) }, true);
  return result(null, true);
}
