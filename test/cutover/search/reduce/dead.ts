/** Forgets what nobody can read any more, so that states differing only in it are one. */
import { authorityOf, otherStore } from '../../../../cutover/mode.ts';
import { RULES, type Rules } from '../../../../cutover/protocol/rules.ts';
import { decideApply } from '../../../../cutover/protocol/stamps.ts';
import type { ControlRecord, LeaseRow } from '../../../../cutover/protocol/types.ts';
import type { StoreName } from '../../../../db/errors.ts';
import { STORES } from '../../../../db/errors.ts';
import { compareStamps } from '../../../../db/records.ts';
import { isBefore } from '../coordinators.ts';
import type { Context, Scenario } from '../model.ts';
import {
  CONTROL,
  COORDINATORS,
  type CoordinatorPart,
  DATA,
  type Draft,
  INSTANCES,
  type Incoming,
  OPERATIONS,
  OVER,
  ROWS,
  TASKS,
  type Task,
} from '../world.ts';

type Live = Exclude<CoordinatorPart, string>;

/**
 * Each changes the draft in place, and keeps a part's identity where nothing in it is dead. Whether the state counts: not
 * if one of its operations can never write any more, and never has, so that it was as well never begun.
 */
export function createForget({
  scenario,
  rules,
  reductions,
}: Context): readonly ((draft: Draft) => boolean)[] {
  const asEver = (...names: readonly (keyof Rules)[]) => names.every((name) => rules[name] === RULES[name]);
  const ids = asEver('sameTransition', 'abortable', 'loserFirst');
  const gaps = asEver('heldWithoutGap', 'leaseStartsAt', 'elapsedMs');
  const views = asEver('isLower');
  const applies = asEver('isNewer', 'applyIsStale', 'isStale', 'clearsMark');
  const all: ((draft: Draft) => unknown)[] = [];
  if (ids) {
    for (const key of COORDINATORS) all.push((draft) => coordinator(draft, key));
    for (const store of STORES) {
      all.push((draft) => control(draft, store));
      all.push((draft) => rows(draft, store));
    }
    for (const key of INSTANCES) all.push((draft) => changer(draft, key));
  }
  if (views) {
    for (const key of INSTANCES) all.push((draft) => seen(draft, key));
  }
  if (applies) {
    for (const key of TASKS) all.push((draft) => mirrored(draft, key, scenario, rules));
  }
  if (applies && gaps) {
    for (const [j] of OPERATIONS.entries()) {
      all.push((draft) => !(late(draft, j, scenario) && reductions.operations));
    }
  }
  if (ids) all.push((draft) => strays(draft, scenario));
  return all.map((forget) => (draft) => forget(draft) !== false);
}

/** Who only wants to abort can do no more than anybody may at any time. */
function coordinator(draft: Draft, key: 'k0' | 'k1'): void {
  const part = draft[key];
  if (typeof part === 'string') return;
  if (part.stage === 'abort') {
    draft[key] = 'over';
    return;
  }
  const { record, transition, loser } = part;
  let next: Live = part;
  if (record.changedBy !== null && record.changedBy !== transition.id) {
    next = { ...next, record: { ...record, changedBy: null } };
  }
  if (part.stage === 'await-stopped') {
    const rows = draft[ROWS[loser]];
    const waits = Object.entries(part.watch).filter(([id]) => rows[Number(id)]?.ack?.id !== transition.id);
    if (waits.length < Object.keys(part.watch).length) next = { ...next, watch: Object.fromEntries(waits) };
  }
  draft[key] = next;
}

function liveOf(draft: Draft, id: string): Live | null {
  for (const key of COORDINATORS) {
    const part = draft[key];
    if (typeof part !== 'string' && part.transition.id === id) return part;
  }
  return null;
}

/** Names of coordinators, once none is left who would read them; here and in the next three. */
function control(draft: Draft, store: StoreName): void {
  const key = CONTROL[store];
  const record = draft[key];
  let next: ControlRecord = record;
  const { changedBy, transition } = record;
  if (changedBy !== null) {
    const part = liveOf(draft, changedBy);
    if (part === null || part.stage !== 'lose' || part.loser !== store) next = { ...next, changedBy: null };
  }
  if (transition !== null && authorityOf(record.mode) !== store) {
    // What the winner was told is read once more, by whoever told it.
    const part = liveOf(draft, transition.id);
    if (part === null || !isBefore(part, 'lose')) next = { ...next, transition: null };
  }
  draft[key] = next;
}

function changer(draft: Draft, key: 'i0' | 'i1'): void {
  const part = draft[key];
  const { following } = part.state;
  if (following.record === null || following.record.changedBy === null) return;
  const record = { ...following.record, changedBy: null };
  draft[key] = { ...part, state: { ...part.state, following: { ...following, record } } };
}

function rows(draft: Draft, store: StoreName): void {
  const before = draft[ROWS[store]];
  const [a, b] = [row(draft, store, before[0] ?? null), row(draft, store, before[1] ?? null)];
  if (a !== before[0] || b !== before[1]) draft[ROWS[store]] = [a, b];
}

function row(draft: Draft, store: StoreName, row: LeaseRow | null): LeaseRow | null {
  if (row === null) return null;
  const { ack } = row;
  const part = ack === null ? null : liveOf(draft, ack.id);
  const read = part !== null && part.loser === store && isBefore(part, 'drain-loser');
  if (row.epoch === 0 && (ack === null || read)) return row;
  return { ...row, epoch: 0, ack: read ? ack : null };
}

/** How far the other store's record was matters only while the authority's own is behind. */
function seen(draft: Draft, key: 'i0' | 'i1'): void {
  const part = draft[key];
  const { following } = part.state;
  const { record } = following;
  if (record === null) return;
  const store = authorityOf(record.mode);
  const other = otherStore(store);
  if (following.seen[other] === null || following.seen[store]?.epoch !== record.epoch) return;
  if (part.beat?.heartbeat.store === other) return;
  const next = { ...following, seen: { ...following.seen, [other]: null } };
  draft[key] = { ...part, state: { ...part.state, following: next } };
}

function mirrored(draft: Draft, key: 't0' | 't1', scenario: Scenario, rules: Rules): void {
  const task = draft[key];
  if (task !== null) draft[key] = unsigned(stillOf(draft, task, scenario, rules), scenario);
}

/** What of a worker's task can still have an effect; null when nothing can. */
function stillOf(draft: Draft, task: Task, scenario: Scenario, rules: Rules): Task | null {
  const authority = task.ticket.store;
  const mirror = otherStore(authority);
  const own = draft[DATA[authority]];
  const copy = draft[DATA[mirror]];
  // A record that is there from the beginning is never taken out, so that its stamps only rise.
  const lasts = (record: number) => (scenario.records[record] ?? null) !== null;
  switch (task.kind) {
    case 'apply': {
      const targetEpoch = mirror === 'postgres' ? draft[CONTROL.postgres].epoch : 0;
      const counts = ({ record, stamp }: Incoming): boolean => {
        if (!lasts(record)) return true;
        const decision = decideApply(
          copy[record]?.stamp ?? null,
          stamp,
          task.ticket.epoch,
          targetEpoch,
          rules,
        );
        return (
          decision === 'apply' ||
          (decision === 'same' && task.ticket.incarnation !== -1 && isMarked(own[record] ?? null, stamp))
        );
      };
      return withBatch(task, task.batch.filter(counts));
    }
    case 'clear':
      return withBatch(
        task,
        task.batch.filter(({ record, stamp }) => !lasts(record) || isMarked(own[record] ?? null, stamp)),
      );
    case 'touch':
    case 'move-aside': {
      const stored = (task.kind === 'touch' ? own : copy)[task.record] ?? null;
      if (!lasts(task.record) || stored === null) return task;
      return compareStamps(stored.stamp, task.expected) === 0 ? task : null;
    }
    case 'clash':
      return task;
  }
}

/**
 * Nobody asks an apply or a clear under which lease it was begun, unless the other worker rests meanwhile, or the apply may
 * meet another holder of its key: whether that clash may be resolved is asked of the lease.
 */
function unsigned(task: Task | null, scenario: Scenario): Task | null {
  if (task === null || (task.kind !== 'apply' && task.kind !== 'clear') || task.ticket.incarnation !== 1)
    return task;
  const mayClash = task.batch.some(({ record, bits }) => scenario.keyOf(record, bits) !== null);
  if (!scenario.workersOverlap || (task.kind === 'apply' && mayClash)) return task;
  return { ...task, ticket: { ...task.ticket, incarnation: 0 } };
}

function isMarked(
  stored: { readonly stamp: Incoming['stamp']; readonly pending: boolean } | null,
  stamp: Incoming['stamp'],
): boolean {
  return stored?.pending === true && compareStamps(stored.stamp, stamp) === 0;
}

function withBatch<T extends Extract<Task, { readonly batch: readonly Incoming[] }>>(
  task: T,
  batch: readonly Incoming[],
): T | null {
  if (batch.length === task.batch.length) return task;
  return batch.length === 0 ? null : { ...task, batch };
}

/**
 * Ends an operation that has no answer to give any more, at a record that has gone on under a newer epoch. Whether it has
 * left nothing.
 */
function late(draft: Draft, j: number, scenario: Scenario): boolean {
  const key = OPERATIONS[j];
  if (key === undefined) return false;
  const { ticket, phase, step, stray } = draft[key];
  if (ticket === null || ticket.incarnation === 1 || (phase !== 'admitted' && phase !== 'sending'))
    return false;
  const record = scenario.operations[j]?.writes[step]?.record;
  if (record === undefined || (scenario.records[record] ?? null) === null) return false;
  const stored = draft[DATA[ticket.store]][record] ?? null;
  if (stored === null || stored.stamp.epoch <= ticket.epoch) return false;
  draft[key] = { ...OVER, stray };
  return step === 0 && !stray;
}

/** Once authority will not be given up again, nobody asks what strayed. */
function strays(draft: Draft, scenario: Scenario): void {
  const isOpen = COORDINATORS.some((key, k) => {
    const part = draft[key];
    return part === 'idle' ? k < scenario.attempts : part !== 'over' && isBefore(part, 'gain');
  });
  if (isOpen) return;
  for (const key of OPERATIONS) if (draft[key].stray) draft[key] = { ...draft[key], stray: false };
}
