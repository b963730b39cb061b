/** What the steps of the model share: the rules in force, the scenario, and where to hand a successor to. */
import { RULES, type Rules } from '../../../cutover/protocol/rules.ts';
import type { Instant, Timing } from '../../../cutover/protocol/types.ts';
import type { Draft, World } from './world.ts';

export const NOW: Instant = { monotonicMs: 0, wallMs: 0 };

/**
 * `normal` steps are what instances do by themselves; a `choice` is a client's or a coordinator's, and nothing may depend
 * on its being made; a `fault` is paid for; `recovery` is a store coming back.
 */
export type StepClass = 'normal' | 'choice' | 'fault' | 'recovery';
export const EVERY_CLASS: readonly StepClass[] = ['normal', 'choice', 'recovery', 'fault'];

/** `message` is one that never arrives, or whose reply does not; `store` one that goes away, whole, and comes back. */
export type FaultKind = 'crash' | 'pause' | 'message' | 'store' | 'coordinator';

/**
 * `covered`: another state, reached with no more faults, can do all that this one can and is held to no less.
 * `never-begun`: so it is, and that other one is what would be here had this operation never been begun.
 */
export type Cover = 'counts' | 'covered' | 'never-begun';

export type Emit = (step: string, who: string, draft: Draft, stepClass?: StepClass, cover?: Cover) => void;

/** What a write makes of what it read: the record's new bits; or `refused`; or `already`, and nothing is written. */
export type Decide = (seen: readonly (number | null)[], written: number) => number | 'refused' | 'already';

export interface OperationSpec {
  readonly name: string;
  readonly on: 0 | 1;
  readonly writes: readonly {
    readonly record: number;
    readonly decide: Decide;
    /** Whether `decide` looks at other records than the one written: then the moment of reading matters by itself. */
    readonly readsOthers?: true;
  }[];
  /** Ghost: those operations whose acknowledgement before this one began matters. */
  readonly heeds: number;
}

export interface Scenario {
  readonly name: string;
  /** What both stores hold at first; null: no record. */
  readonly records: readonly (number | null)[];
  readonly operations: readonly OperationSpec[];
  /** Operations of the list that are never begun, one bit each. */
  readonly without: number;
  /** Where it begins, if not with both stores alike in `shadow-read`: something that is known to be reachable. */
  readonly start: ((first: World) => World) | null;
  /** The unique key a record holds, if any. */
  readonly keyOf: (record: number, bits: number) => string | null;
  /** What must not be, given what was acknowledged and what the authority holds. */
  readonly violated: (
    acked: number,
    authority: readonly (number | null)[],
    after: (operation: number) => number,
  ) => string | null;
  /** Attempts at a change of authority, each by a coordinator of its own. */
  readonly attempts: 1 | 2;
  readonly faults: number;
  readonly kinds: readonly FaultKind[];
  readonly leaseTicks: number;
  /** Whether both instances' mirror workers may be at it at once. */
  readonly workersOverlap: boolean;
  /** `free`: every clock ticks whenever it likes; `paid`: an instance not heard of for a lease is a fault. */
  readonly pauses: 'free' | 'paid';
  /** Whether a process that died is started again; otherwise the other one is left to serve. */
  readonly restarts: boolean;
  /** Whether a machine may be suspended, so that its monotonic clock stands still. */
  readonly suspends: boolean;
}

/** What makes the search smaller without making it see less; each argued for in the ADR, and each can be left out. */
export interface Reductions {
  /** An operation that wrote nothing was as well never begun; a reply is as well told as lost. */
  readonly operations: boolean;
  /** An attempt that is taken back was as well never begun, and one that is not as well announced when it fences. */
  readonly attempts: boolean;
  /** A heartbeat is as well sent just before its read. */
  readonly heartbeats: boolean;
  /** A heartbeat is as well committed when it is sent, where its row is there already. */
  readonly commits: boolean;
  /** Steps that only add to what may happen next are taken at once. */
  readonly urgent: boolean;
  /** What nobody can read any more is forgotten. */
  readonly dead: boolean;
  /** A state reached with fewer faults stands for the same one reached with more. */
  readonly fewestFaults: boolean;
}
export const NO_REDUCTIONS: Reductions = {
  operations: false,
  attempts: false,
  heartbeats: false,
  commits: false,
  urgent: false,
  dead: false,
  fewestFaults: false,
};
export const ALL_REDUCTIONS: Reductions = {
  operations: true,
  attempts: true,
  heartbeats: true,
  commits: true,
  urgent: true,
  dead: true,
  fewestFaults: true,
};

/** On which rules the argument for each rests: without one of them it is not made. */
const OF_HEARTBEATS = ['heartbeatSteps', 'leaseStartsAt', 'elapsedMs', 'heldWithoutGap', 'isLower'] as const;
const OF_ATTEMPTS = ['sameTransition', 'abortable', 'loserFirst', 'fenceStops', 'stopRunsOut'] as const;

/** Those of the wanted reductions that hold under these rules and clocks. */
export function soundUnder(rules: Rules, { pauses }: Scenario, wanted: Reductions): Reductions {
  const asEver = (names: readonly (keyof Rules)[]) => names.every((name) => rules[name] === RULES[name]);
  const heartbeats = wanted.heartbeats && pauses === 'paid' && asEver(OF_HEARTBEATS);
  // A coordinator that begins late must still see as silent whoever was: so it needs whole heartbeats.
  const attempts = wanted.attempts && heartbeats && asEver(OF_ATTEMPTS);
  const commits = wanted.commits && asEver(OF_HEARTBEATS);
  return { ...wanted, heartbeats, commits, attempts };
}

/** Under what a world is looked at. */
export interface Terms {
  readonly scenario: Scenario;
  readonly rules: Rules;
  readonly timing: Timing;
  readonly reductions: Reductions;
}

export interface Context extends Terms {
  readonly emit: Emit;
  /** A step that was taken together with the one emitted next. */
  readonly note: (step: string, who: string) => void;
}

/** Whether a fault of this kind may happen now. */
export function mayFail(world: World, kind: FaultKind, context: Context): boolean {
  return world.env.faultsLeft > 0 && context.scenario.kinds.includes(kind);
}

export function paid(draft: Draft): Draft {
  draft.env = { ...draft.env, faultsLeft: draft.env.faultsLeft - 1 };
  return draft;
}
