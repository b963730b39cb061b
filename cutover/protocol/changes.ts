/**
 * Every way a control record changes. The caller reads the record, asks here, and writes what comes back by a
 * compare-and-set on the (epoch, revision) it read; lost the race, it reads and asks again. So a decision and its write
 * are one step, and a change whose reply was lost can be asked for again: it answers `already`.
 */
import type { StoreName } from '../../db/errors.ts';
import { authorityOf, copyAfter, type Mode, moveBetween } from '../mode.ts';
import { contradictionOf } from '../settings.ts';
import { RULES, type Rules } from './rules.ts';
import type { ControlRecord, Setting, Transition } from './types.ts';

export type ControlChange =
  /** In the loser: a change of authority is coming. Refused while another is. */
  | { readonly kind: 'announce'; readonly transition: Transition }
  /** In the winner: the same, so that it is known to be writable. Replaces what an older attempt left. */
  | { readonly kind: 'note'; readonly transition: Transition; readonly epoch: number }
  /** In the loser: from here on instances stop. */
  | { readonly kind: 'fence'; readonly id: string }
  /** In either: takes the announcement or the fence back, while authority has not moved. */
  | { readonly kind: 'abort'; readonly id: string }
  /** In the loser: gives authority up. From here on it only goes forward. */
  | { readonly kind: 'lose'; readonly id: string }
  /** In the winner: takes it, as the loser's record says. Requires only a lower stored epoch. */
  | { readonly kind: 'gain'; readonly record: ControlRecord }
  /** In the authority: a flip without a change of authority. */
  | { readonly kind: 'move'; readonly to: Mode; readonly nowMs: number }
  /** In the other store, afterwards: its copy of what the authority says. */
  | { readonly kind: 'copy'; readonly record: ControlRecord }
  | { readonly kind: 'set'; readonly key: string; readonly value: Setting }
  | { readonly kind: 'mark-copy'; readonly copy: ControlRecord['copy'] };

export type Refusal =
  | 'not-authority'
  | 'in-transition'
  | 'other-transition'
  | 'not-fenced'
  | 'higher-epoch'
  | 'illegal-move'
  | 'contradiction';

export type ChangeDecision =
  | { readonly kind: 'write'; readonly record: ControlRecord }
  | { readonly kind: 'already'; readonly record: ControlRecord }
  | { readonly kind: 'refused'; readonly reason: Refusal; readonly record: ControlRecord };

/** The loser's record once authority has gone to `target`. */
export function afterLoss(record: ControlRecord, target: Mode, id: string): ControlRecord {
  return {
    ...record,
    mode: target,
    epoch: record.epoch + 1,
    revision: record.revision + 1,
    transition: null,
    changedBy: id,
  };
}

/** What to write over `record` in `store`, or why nothing. */
export function decideChange(
  store: StoreName,
  record: ControlRecord,
  change: ControlChange,
  rules: Rules = RULES,
): ChangeDecision {
  const refuse = (reason: Refusal): ChangeDecision => ({ kind: 'refused', reason, record });
  const already: ChangeDecision = { kind: 'already', record };
  const write = (changed: Partial<ControlRecord>): ChangeDecision => ({
    kind: 'write',
    record: { ...record, revision: record.revision + 1, ...changed },
  });
  const { transition } = record;
  const isAuthority = authorityOf(record.mode) === store;
  const isThis = (id: string) => transition !== null && rules.sameTransition(id, transition.id);

  switch (change.kind) {
    case 'announce': {
      if (transition?.id === change.transition.id) return already;
      if (!isAuthority) return refuse('not-authority');
      if (transition !== null) return refuse('in-transition');
      const move = moveBetween(record.mode, change.transition.target);
      if (move === null || !move.changesAuthority) return refuse('illegal-move');
      return write({ transition: change.transition });
    }
    case 'note':
      if (record.epoch !== change.epoch) return refuse('higher-epoch');
      if (transition?.id === change.transition.id) return already;
      return isAuthority ? refuse('not-authority') : write({ transition: change.transition });
    case 'fence':
      if (transition === null || !isThis(change.id)) return refuse('other-transition');
      return transition.phase === 'fenced'
        ? already
        : write({ transition: { ...transition, phase: 'fenced' } });
    case 'abort':
      if (!rules.abortable(record, change.id)) return refuse('other-transition');
      return transition === null ? undoLoss(record) : write({ transition: null });
    case 'lose':
      if (record.changedBy === change.id) return already;
      if (transition === null || !isThis(change.id)) return refuse('other-transition');
      if (transition.phase !== 'fenced') return refuse('not-fenced');
      if (!isAuthority) return refuse('not-authority');
      return { kind: 'write', record: afterLoss(record, transition.target, change.id) };
    case 'gain': {
      if (record.epoch === change.record.epoch && record.changedBy === change.record.changedBy)
        return already;
      if (record.epoch >= change.record.epoch) return refuse('higher-epoch');
      const revision = Math.max(record.revision + 1, change.record.revision);
      return { kind: 'write', record: { ...change.record, revision } };
    }
    case 'move': {
      if (record.mode === change.to) return already;
      if (!isAuthority) return refuse('not-authority');
      if (transition !== null) return refuse('in-transition');
      const move = moveBetween(record.mode, change.to);
      if (move === null || move.changesAuthority) return refuse('illegal-move');
      return write({ mode: change.to, copy: copyAfter(move, record.copy, change.nowMs) });
    }
    case 'copy':
      if (isAuthority || record.epoch > change.record.epoch) return refuse('higher-epoch');
      if (record.revision >= change.record.revision) return already;
      return { kind: 'write', record: change.record };
    case 'set':
      if (!isAuthority) return refuse('not-authority');
      // Here, and not on an earlier read: another operator may have set the other half of a pair meanwhile.
      if (contradictionOf(record, change.key, change.value) !== null) return refuse('contradiction');
      return write({ settings: { ...record.settings, [change.key]: change.value } });
    case 'mark-copy':
      if (!isAuthority) return refuse('not-authority');
      return transition === null ? write({ copy: change.copy }) : refuse('in-transition');
  }
}

/** Reached only when a search lets a change be taken back after the loss: the record as it was before. */
function undoLoss(record: ControlRecord): ChangeDecision {
  const mode: Mode = record.mode === 'postgres-primary' ? 'shadow-read' : 'postgres-primary';
  return {
    kind: 'write',
    record: { ...record, mode, epoch: record.epoch - 1, revision: record.revision + 1, changedBy: null },
  };
}

/**
 * Whether somebody who is not its coordinator may end this attempt: it has been watched standing there for longer than
 * its deadline, on the watcher's own clock. `decideChange` then still refuses once authority has moved.
 */
export function mayAbort(transition: Transition, watchedForMs: number): boolean {
  return watchedForMs >= transition.deadlineMs;
}
