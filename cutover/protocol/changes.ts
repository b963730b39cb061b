/**
 * Every way a control record changes. The caller reads the record, asks here, and writes what comes back by a
 * compare-and-set on the (epoch, revision) it read; lost the race, it reads and asks again. So a decision and its write
 * are one step, and a change whose reply was lost can be asked for again: it answers `already`.
 *
 * What rests on more than the record, such as gates, names what it was judged on, and is refused as `changed` where that
 * is no more: whoever judged may have stood still since, while others went on.
 */
import type { StoreName } from '../../db/errors.ts';
import {
  authorityOf,
  type CopyState,
  copyAfter,
  copyRun,
  historyOf,
  isSameCopy,
  type Mode,
  mirrorOf,
  moveBetween,
} from '../mode.ts';
import { contradictionOf } from '../settings.ts';
import { RULES, type Rules } from './rules.ts';
import type { ControlRecord, Judged, Setting, Transition } from './types.ts';

export type ControlChange =
  /** In the loser: a change of authority is coming. Refused while another is, and without a complete copy. */
  | { readonly kind: 'announce'; readonly transition: Transition; readonly judged: Judged }
  /** In the winner: the same, so that it is known to be writable. Replaces what an older attempt left. */
  | { readonly kind: 'note'; readonly transition: Transition; readonly epoch: number }
  /** In the loser: from here on instances stop. */
  | { readonly kind: 'fence'; readonly id: string }
  /** In either: takes the announcement or the fence back, while authority has not moved. */
  | { readonly kind: 'abort'; readonly id: string }
  /** In the loser: gives authority up. From here on it only goes forward. */
  | { readonly kind: 'lose'; readonly id: string }
  /**
   * In the winner: takes it, as the loser's record says. Requires only a lower stored epoch; of a failover, for which no
   * loser's record speaks, also the very record that was judged.
   */
  | { readonly kind: 'gain'; readonly record: ControlRecord; readonly judged?: Judged }
  /** In the authority: a flip without a change of authority. The id is fresh for each, and known again by it. */
  | {
      readonly kind: 'move';
      readonly id: string;
      readonly to: Mode;
      readonly nowMs: number;
      readonly judged: Judged;
    }
  /** In the other store, afterwards: its copy of what the authority says. */
  /** `seen`: what was told there when it was looked at. Less than that by now, and it has been emptied or put back since. */
  | { readonly kind: 'copy'; readonly record: ControlRecord; readonly seen: ControlRecord | null }
  /** In the authority, over the value that was seen in the mode that was seen; what else changed meanwhile is no matter. */
  | {
      readonly kind: 'set';
      readonly key: string;
      readonly value: Setting;
      readonly seen: Pick<ControlRecord, 'mode' | 'settings'>;
    }
  /** In the authority, while the mirror is on: over the very copy that was looked at, under this epoch. */
  | {
      readonly kind: 'mark-copy';
      readonly copy: ControlRecord['copy'];
      readonly expected: ControlRecord['copy'];
      readonly epoch: number;
    };

export type Refusal =
  | 'not-authority'
  | 'in-transition'
  | 'other-transition'
  | 'not-fenced'
  | 'higher-epoch'
  | 'illegal-move'
  | 'contradiction'
  | 'changed'
  | 'incomplete-copy'
  | 'no-mirror'
  | 'other-system';

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
      if (!rules.isJudged(record, change.judged)) return refuse('changed');
      const move = moveBetween(record.mode, change.transition.target);
      if (move === null || !move.changesAuthority) return refuse('illegal-move');
      if (record.copy.kind !== 'complete') return refuse('incomplete-copy');
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
      if (!isOneSystem(record, change.record)) return refuse('other-system');
      if (record.epoch === change.record.epoch && record.changedBy === change.record.changedBy)
        return already;
      if (record.epoch >= change.record.epoch) return refuse('higher-epoch');
      if (change.judged !== undefined && !rules.isJudged(record, change.judged)) return refuse('changed');
      const revision = Math.max(record.revision + 1, change.record.revision);
      return { kind: 'write', record: { ...change.record, revision } };
    }
    case 'move': {
      // The same move by another is not this one: somebody may have decided otherwise after either.
      if (record.movedBy === change.id) return already;
      if (!isAuthority) return refuse('not-authority');
      if (transition !== null) return refuse('in-transition');
      if (!rules.isJudged(record, change.judged)) return refuse('changed');
      const move = moveBetween(record.mode, change.to);
      if (move === null || move.changesAuthority) return refuse('illegal-move');
      if (move.needsCompleteCopy && record.copy.kind !== 'complete') return refuse('incomplete-copy');
      const copy = copyAfter(move, record.copy, change.nowMs);
      return write({ mode: change.to, copy, movedBy: change.id });
    }
    case 'copy':
      if (!isOneSystem(record, change.record)) return refuse('other-system');
      if (isAuthority || record.epoch > change.record.epoch) return refuse('higher-epoch');
      if (record.revision >= change.record.revision) return already;
      if (change.seen !== null && record.epoch < change.seen.epoch) return refuse('changed');
      return { kind: 'write', record: change.record };
    case 'set':
      if (!isAuthority) return refuse('not-authority');
      if (record.mode !== change.seen.mode) return refuse('changed');
      if (record.settings[change.key] !== change.seen.settings[change.key]) return refuse('changed');
      // Here, and not on an earlier read: another operator may have set the other half of a pair meanwhile.
      if (contradictionOf(record, change.key, change.value) !== null) return refuse('contradiction');
      return write({ settings: { ...record.settings, [change.key]: change.value } });
    case 'mark-copy':
      if (!isAuthority) return refuse('not-authority');
      if (record.epoch !== change.epoch) return refuse('changed');
      if (isSameCopy(record.copy, change.copy)) return already;
      if (!rules.isExpected(record.copy, change.expected)) {
        const isMarked = copyRun(change.copy) !== null && copyRun(change.copy) === copyRun(record.copy);
        return isMarked ? already : refuse('changed');
      }
      if (transition !== null) return refuse('in-transition');
      return mirrorOf(record.mode) === null
        ? refuse('no-mirror')
        : write({ copy: lastVerified(record.copy, change.copy) });
  }
}

/** Whether these are of one system, as far as both say. */
export function isOneSystem({ system: one }: ControlRecord, { system: other }: ControlRecord): boolean {
  return one === undefined || other === undefined || one === other;
}

/** Of two verifies at once the one that began first may end last: it takes nothing back. */
function lastVerified(now: CopyState, next: CopyState): CopyState {
  if (next.kind !== 'complete' || now.kind !== 'complete' || now.run !== next.run) return next;
  const { verifiedAtMs: before } = now;
  const isEarlier = before !== null && (next.verifiedAtMs === null || next.verifiedAtMs < before);
  return isEarlier ? { ...next, verifiedAtMs: before } : next;
}

/**
 * Whether the mirror's store has lost what the authority's record says of it: it holds no control record, or one of an earlier
 * epoch, though it is told of each before a copy can be complete. `record` was read first: read last, it may have been
 * completed in between.
 */
export function hasLostCopy(record: ControlRecord, other: ControlRecord | null): boolean {
  const isRelied = record.copy.kind === 'complete' && mirrorOf(record.mode) !== null;
  return isRelied && (other === null || other.epoch < record.epoch);
}

/**
 * Whether PostgreSQL goes on another history than the copy counts on: it was replaced by a server that may lack what was written
 * last, be it mirrored or its own. Null: it does not say. `record` was read first, as above.
 */
export function hasLeftHistory({ mode, copy }: ControlRecord, found: string | null): boolean {
  const counted = mirrorOf(mode) === null ? null : historyOf(copy);
  return counted !== null && found !== null && found !== counted;
}

/** Whether somebody has moved since, be it there and back; what was only set or marked is no move. */
export function hasMoved(before: ControlRecord, now: ControlRecord): boolean {
  return before.mode !== now.mode || before.epoch !== now.epoch || before.movedBy !== now.movedBy;
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
