/** What a process does with what it finds when it starts: it follows what is recorded, or begins a new system. */
import { STORES } from '../db/errors.ts';
import { type CopyState, MODE_FACTS, type Mode, otherStore } from './mode.ts';
import type { ControlRecord, PerStore } from './protocol/types.ts';
import { VARIABLES } from './words.ts';

/** What one store said. */
export type Reading =
  /** No URL was given. */
  | { readonly kind: 'not-configured' }
  | { readonly kind: 'unreachable' }
  /** It answers, and does not tell its control record. `epoch`: as far as that can be told. */
  | { readonly kind: 'unreadable'; readonly reason: string; readonly epoch: number | null }
  | { readonly kind: 'read'; readonly record: ControlRecord | null; readonly holdsUsers: boolean };

/** The record that was read, if any. */
export function recordIn(reading: Reading): ControlRecord | null {
  return reading.kind === 'read' ? reading.record : null;
}

export type StartDecision =
  /** A record exists: it counts, whatever the configuration says. */
  | { readonly kind: 'follow' }
  /** A new system: to be created in MongoDB first if that is configured, so that two beginners cannot begin twice. */
  | { readonly kind: 'create'; readonly record: ControlRecord }
  /** It cannot be known yet. */
  | { readonly kind: 'wait'; readonly reason: string }
  /** It will never be right: the configuration has to change. */
  | { readonly kind: 'refuse'; readonly reason: string };

/** `firstMode` is what the configuration names, `system` what a new one is to be called. Times are of the record clock. */
export function decideStart(
  firstMode: Mode,
  readings: PerStore<Reading>,
  nowMs: number,
  system: string,
): StartDecision {
  const found = Object.values(readings);
  if (found.some((reading) => reading.kind === 'read' && reading.record !== null)) return { kind: 'follow' };
  // There is a system, whatever it says: none is begun over it.
  const unreadable = found.find((reading) => reading.kind === 'unreadable');
  if (unreadable !== undefined) return { kind: 'wait', reason: unreadable.reason };
  const silent = STORES.find((store) => readings[store].kind === 'unreachable');
  if (silent !== undefined) {
    return { kind: 'wait', reason: `no mode is recorded yet, and ${silent} must be asked before one is` };
  }
  // Only now it is known that `firstMode` counts.
  const { authority, mirror } = MODE_FACTS[firstMode];
  for (const store of [authority, mirror]) {
    if (store !== null && readings[store].kind === 'not-configured') {
      return { kind: 'refuse', reason: `${firstMode} needs ${VARIABLES[store]}: set it` };
    }
  }
  const holds = (store: 'mongo' | 'postgres') => {
    const reading = readings[store];
    return reading.kind === 'read' && reading.holdsUsers;
  };
  if (authority === 'postgres' && holds('mongo')) {
    return {
      kind: 'refuse',
      reason: `MongoDB holds users: a new system beside it starts with BACKEND_MODE=mongo-only, not ${firstMode}`,
    };
  }
  if (firstMode === 'shadow-read' && holds('mongo')) {
    return {
      kind: 'refuse',
      reason: 'MongoDB holds users that were never copied: start with BACKEND_MODE=mongo-only or dual-write',
    };
  }
  if (firstMode !== 'postgres-only' && holds('postgres')) {
    return {
      kind: 'refuse',
      reason: `PostgreSQL holds users but no control record: empty it, or start with BACKEND_MODE=postgres-only`,
    };
  }
  const isEmpty = !holds(authority) && mirror !== null && !holds(otherStore(authority));
  const copy: CopyState = isEmpty
    ? { kind: 'complete', run: 'started-empty', completedAtMs: nowMs, verifiedAtMs: null }
    : { kind: 'none' };
  return {
    kind: 'create',
    record: {
      mode: firstMode,
      revision: 1,
      epoch: 1,
      transition: null,
      changedBy: null,
      system,
      copy,
      settings: {},
    },
  };
}
