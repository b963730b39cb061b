/** What the steps of the model share: the rules in force, the scenario, and where to hand a successor to. */
import type { Rules } from '../../../cutover/protocol/rules.ts';
import type { Instant, Timing } from '../../../cutover/protocol/types.ts';
import type { Draft, World } from './world.ts';

export const NOW: Instant = { monotonicMs: 0, wallMs: 0 };

/** `normal` steps happen by themselves; a `fault` is paid for; `recovery` is a store coming back. */
export type StepClass = 'normal' | 'fault' | 'recovery';

/** `message` is one that never arrives, or whose reply does not; `store` one that goes away, whole, and comes back. */
export type FaultKind = 'crash' | 'pause' | 'message' | 'store' | 'coordinator';

export type Emit = (step: string, who: string, draft: Draft, stepClass?: StepClass) => void;

/** What a write makes of what it read: the record's new bits; or `refused`; or `already`, and nothing is written. */
export type Decide = (seen: readonly (number | null)[], written: number) => number | 'refused' | 'already';

export interface OperationSpec {
  readonly name: string;
  readonly on: 0 | 1;
  readonly writes: readonly { readonly record: number; readonly decide: Decide }[];
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
  /**
   * Takes steps together where, with no fault left to come, nothing that matters can come between them. The proof is
   * made without it; the short run is not.
   */
  readonly swift: boolean;
  /** Whether a machine may be suspended, so that its monotonic clock stands still. */
  readonly suspends: boolean;
}

export interface Context {
  readonly scenario: Scenario;
  readonly rules: Rules;
  readonly timing: Timing;
  readonly emit: Emit;
}

export function isSwift(world: World, context: Context): boolean {
  return context.scenario.swift && world.env.faultsLeft === 0;
}

/** Whether a fault of this kind may happen now. */
export function mayFail(world: World, kind: FaultKind, context: Context): boolean {
  return world.env.faultsLeft > 0 && context.scenario.kinds.includes(kind);
}
