/** What an instance can do next: look, beat, acknowledge, finish somebody's change; and what time does to it. */
import { authorityOf } from '../../../cutover/mode.ts';
import { acknowledgement, type InFlight, mayAcknowledge } from '../../../cutover/protocol/admission.ts';
import { decideChange } from '../../../cutover/protocol/changes.ts';
import { type Following, unfinishedChange } from '../../../cutover/protocol/follow.ts';
import {
  beginHeartbeat,
  type InstanceState,
  newInstance,
  noteLapse,
  onControlRead,
  onHeartbeatCommitted,
} from '../../../cutover/protocol/lease.ts';
import type { Watched } from '../../../cutover/protocol/silence.ts';
import type { ControlRecord, Instant, LeaseRow } from '../../../cutover/protocol/types.ts';
import type { StoreName } from '../../../db/errors.ts';
import { type Context, mayFail, NOW, paid } from './model.ts';
import {
  CONTROL,
  COORDINATORS,
  controlKey,
  type Draft,
  draftOf,
  INSTANCES,
  type InstancePart,
  isUp,
  OPERATIONS,
  OVER,
  ROWS,
  TASKS,
  type World,
} from './world.ts';

/** Takes a decision's new state in, keeping the present incarnation at 1. */
function putInstance(draft: Draft, i: 0 | 1, state: InstanceState, context: Context): void {
  const key = INSTANCES[i];
  const gap = state.incarnation !== 1;
  draft[key] = {
    ...draft[key],
    state: { ...state, following: plain(state.following), incarnation: 1, counter: 0 },
  };
  if (gap) demote(draft, i, 0, context);
}

/** An announcement only makes instances poll faster: for what they may do it is as if they had not seen it. */
function plain(following: Following): Following {
  const { record } = following;
  if (record?.transition?.phase !== 'announced') return following;
  return { ...following, record: { ...record, transition: null } };
}

/** Everything under way of instance `i` belongs to an earlier incarnation (0) or a dead process (-1) now. */
function demote(draft: Draft, i: 0 | 1, incarnation: 0 | -1, context: Context): void {
  const part = draft[INSTANCES[i]];
  for (const [j, key] of OPERATIONS.entries()) {
    const operation = draft[key];
    if (operation.ticket === null || context.scenario.operations[j]?.on !== i) continue;
    const ticket = { ...operation.ticket, incarnation: Math.min(incarnation, operation.ticket.incarnation) };
    draft[key] = { ...operation, ticket };
    if (incarnation === -1 && operation.phase !== 'sending') draft[key] = { ...OVER, stray: operation.stray };
  }
  const task = draft[TASKS[i]];
  if (task !== null) {
    const ticket = { ...task.ticket, incarnation: Math.min(incarnation, task.ticket.incarnation) };
    draft[TASKS[i]] = { ...task, ticket };
    if (incarnation === -1 && task.kind === 'clash') draft[TASKS[i]] = null;
  }
  if (part.beat !== null) {
    const { heartbeat } = part.beat;
    const row = { ...heartbeat.row, incarnation: Math.min(0, heartbeat.row.incarnation) };
    draft[INSTANCES[i]] = { ...part, beat: { ...part.beat, heartbeat: { ...heartbeat, row } } };
  }
  settleAnswers(draft, i, context);
}

/** An answer that may no longer be told is as good as given up. */
export function settleAnswers(draft: Draft, i: 0 | 1, context: Context): void {
  const { state } = draft[INSTANCES[i]];
  for (const [j, key] of OPERATIONS.entries()) {
    const { phase, ticket, stray } = draft[key];
    if (phase !== 'answered' || ticket === null || context.scenario.operations[j]?.on !== i) continue;
    // Without the lease now, it may still come back only where a rule was taken out; then it is kept.
    if (ticket.incarnation < 1 && !context.rules.heldWithoutGap(ticket.incarnation, 1)) {
      if (!mayAcknowledge(ticket, state, NOW, context.rules)) draft[key] = { ...OVER, stray };
    }
  }
}

function inFlightOf(world: World, i: 0 | 1, context: Context): readonly InFlight[] {
  const found: InFlight[] = [];
  for (const [j, key] of OPERATIONS.entries()) {
    const { phase, ticket } = world[key];
    if (ticket === null || context.scenario.operations[j]?.on !== i || ticket.incarnation < 0) continue;
    if (phase === 'acked' || phase === 'over') continue;
    found.push({ ticket, settled: false });
  }
  const task = world[TASKS[i]];
  if (task !== null && task.kind !== 'apply' && task.kind !== 'clear' && context.rules.resolvingStops) {
    found.push({ ticket: task.ticket, settled: false });
  }
  return found;
}

function writeRow(draft: Draft, store: StoreName, i: 0 | 1, row: LeaseRow): void {
  const rows = draft[ROWS[store]];
  draft[ROWS[store]] = i === 0 ? [row, rows[1] ?? null] : [rows[0] ?? null, row];
}

/** A counter that moved is one no coordinator has watched yet. */
function forgetWatch(draft: Draft, store: StoreName, id: string): void {
  for (const key of COORDINATORS) {
    const part = draft[key];
    if (typeof part === 'string' || part.loser !== store || part.watch[id] === undefined) continue;
    draft[key] = {
      ...part,
      watch: Object.fromEntries(Object.entries(part.watch).filter(([other]) => other !== id)),
    };
  }
}

/** A look at a control record. */
export function lookStep(world: World, i: 0 | 1, store: StoreName, context: Context): void {
  const { alive, state } = world[INSTANCES[i]];
  if (!alive || !isUp(world, store)) return;
  // The other store's copy is looked at where the authority cannot be, or is not known yet.
  const known = state.following.record;
  if (known !== null && authorityOf(known.mode) !== store && isUp(world, authorityOf(known.mode))) return;
  const read = onControlRead(state, store, world[CONTROL[store]], context.rules);
  const next = { ...read, following: plain(read.following) };
  if (sameView(next, state)) return;
  const draft = draftOf(world);
  putInstance(draft, i, next, context);
  overtake(draft, i, store);
  context.emit('read control', `instance ${i}, ${store}`, draft);
}

/** The next step of the heartbeat on its way, or a new one. */
export function beatStep(world: World, i: 0 | 1, context: Context): void {
  const { alive, state, beat } = world[INSTANCES[i]];
  if (!alive) return;
  if (beat !== null) {
    beatSteps(world, i, context);
    return;
  }
  const age = state.lease?.startedAt.wallMs ?? -1;
  if (age >= 0) return;
  const begun = beginHeartbeat(state, null, 0, NOW, context.timing, context.rules);
  if (begun === null || !isUp(world, begun.heartbeat.store)) return;
  const draft = draftOf(world);
  const row = { ...begun.heartbeat.row, counter: 0 };
  putInstance(draft, i, begun.state, context);
  draft[INSTANCES[i]] = {
    ...draft[INSTANCES[i]],
    beat: { heartbeat: { ...begun.heartbeat, row }, done: 0, read: null },
  };
  const { heartbeats, commits } = context.reductions;
  const isThere = (world[ROWS[begun.heartbeat.store]][i] ?? null) !== null;
  if ((heartbeats && state.lease === null) || (commits && isThere)) {
    context.note('send heartbeat', `instance ${i}`);
    beatSteps(draft, i, context);
  } else context.emit('send heartbeat', `instance ${i}`, draft);
}

/** What a coordinator left half done, whoever sees it may finish. */
export function finishStep(world: World, i: 0 | 1, context: Context): void {
  const { alive, state } = world[INSTANCES[i]];
  const unfinished = unfinishedChange(state.following);
  if (!alive || unfinished === null || !isUp(world, unfinished.store)) return;
  const key = CONTROL[unfinished.store];
  const change = { kind: 'gain', record: unfinished.record } as const;
  const decision = decideChange(unfinished.store, world[key], change, context.rules);
  if (decision.kind !== 'write') return;
  const draft = draftOf(world);
  draft[key] = { ...decision.record, revision: 0 };
  context.emit('finish forward', `instance ${i}, ${unfinished.store}`, draft);
}

export function crashStep(world: World, i: 0 | 1, context: Context): void {
  if (!mayFail(world, 'crash', context) || !world[INSTANCES[i]].alive) return;
  const draft = paid(draftOf(world));
  draft[INSTANCES[i]] = { alive: false, state: newInstance(String(i)), beat: null };
  demote(draft, i, -1, context);
  const lost = OPERATIONS.some((key, j) => {
    const { phase, step, stray } = world[key];
    return phase === 'admitted' && step === 0 && !stray && context.scenario.operations[j]?.on === i;
  });
  const cover = lost && context.reductions.operations ? 'never-begun' : 'counts';
  context.emit('crash', `instance ${i}`, draft, 'fault', cover);
}

export function restartStep(world: World, i: 0 | 1, context: Context): void {
  if (!context.scenario.restarts || world[INSTANCES[i]].alive) return;
  const draft = draftOf(world);
  draft[INSTANCES[i]] = { alive: true, state: newInstance(String(i)), beat: null };
  context.emit('restart', `instance ${i}`, draft);
}

export function acknowledgeStep(world: World, i: 0 | 1, context: Context): void {
  const { state } = world[INSTANCES[i]];
  if (state.following.record === null || state.following.record.transition === null) return;
  const authority = authorityOf(state.following.record.mode);
  const row = world[ROWS[authority]][i];
  if (!row || !isUp(world, authority)) return;
  const ack = acknowledgement(state, inFlightOf(world, i, context), context.rules);
  if (ack?.phase !== 'stopped' || row.ack?.id === ack.id) return;
  const draft = draftOf(world);
  writeRow(draft, authority, i, { ...row, ack });
  context.emit('acknowledge stop', `instance ${i}, ${ack.id}`, draft);
}

function sameView(a: InstanceState, b: InstanceState): boolean {
  const same = (x: ControlRecord | null, y: ControlRecord | null) =>
    x?.epoch === y?.epoch &&
    x?.mode === y?.mode &&
    x?.transition?.id === y?.transition?.id &&
    x?.transition?.phase === y?.transition?.phase;
  return (
    a.incarnation === b.incarnation &&
    same(a.following.record, b.following.record) &&
    a.following.seen.mongo?.epoch === b.following.seen.mongo?.epoch &&
    a.following.seen.postgres?.epoch === b.following.seen.postgres?.epoch
  );
}

/** A record that a heartbeat still carries, read before the one just taken in, is of a lower revision by now. */
function overtake(draft: Draft, i: 0 | 1, store: StoreName): void {
  const part = draft[INSTANCES[i]];
  const { beat } = part;
  if (beat === null || beat.read === null || beat.heartbeat.store !== store) return;
  if (controlKey(beat.read) === controlKey(draft[CONTROL[store]])) return;
  draft[INSTANCES[i]] = { ...part, beat: { ...beat, read: { ...beat.read, revision: -1 } } };
}

function beatSteps(world: World, i: 0 | 1, context: Context) {
  const { emit, rules } = context;
  const part = world[INSTANCES[i]];
  const { beat, state } = part;
  if (beat === null) return;
  const { heartbeat, done } = beat;
  const { store } = heartbeat;
  const who = `instance ${i}, ${store}`;
  const draft = draftOf(world);
  if (done < 2 && !isUp(world, store)) {
    draft[INSTANCES[i]] = { ...part, beat: null };
    emit('heartbeat fails', who, draft);
    return;
  }
  if (done === 2) {
    draft[INSTANCES[i]] = { ...part, beat: null };
    if (beat.read === null) return;
    putInstance(draft, i, onHeartbeatCommitted(state, heartbeat, beat.read, NOW, rules), context);
    emit('heartbeat answered', who, draft);
    return;
  }
  const step = rules.heartbeatSteps[done];
  if (step === 'commit') {
    const ack = world[ROWS[store]][i]?.ack ?? null;
    writeRow(draft, store, i, { ...heartbeat.row, instance: String(i), incarnation: 1, counter: 0, ack });
    forgetWatch(draft, store, String(i));
  }
  const read = step === 'read' ? world[CONTROL[store]] : beat.read;
  draft[INSTANCES[i]] = { ...part, beat: { heartbeat, done: done === 0 ? 1 : 2, read } };
  if (context.reductions.heartbeats && state.lease === null) {
    context.note(step === 'commit' ? 'heartbeat commits' : 'read after heartbeat', who);
    return beatSteps(draft, i, context);
  }
  emit(step === 'commit' ? 'heartbeat commits' : 'read after heartbeat', who, draft);
}

/**
 * Time passes: a tick of every clock (`only` null), or, where pauses are paid for, a lease and a margin for one instance
 * that is not heard of meanwhile while all others are. `frozen`: that machine's monotonic clock stands still.
 */
export function tick(world: World, context: Context, frozen: 0 | 1 | null, only: 0 | 1 | null): Draft | null {
  const { leaseMs } = context.timing;
  const draft = draftOf(world);
  let changed = false;
  const older = (ms: number) => Math.max(ms - (only === null ? 1 : leaseMs), -leaseMs);
  for (const i of [0, 1] as const) {
    const part = draft[INSTANCES[i]];
    const { lease } = part.state;
    const { beat } = part;
    if (only !== null && only !== i) continue;
    if (lease === null && (beat === null || beat.heartbeat.sentAt.wallMs === -leaseMs)) continue;
    changed = true;
    const age = (at: Instant): Instant => ({
      monotonicMs: i === frozen ? at.monotonicMs : older(at.monotonicMs),
      wallMs: older(at.wallMs),
    });
    const later =
      beat === null
        ? null
        : { ...beat, heartbeat: { ...beat.heartbeat, sentAt: age(beat.heartbeat.sentAt) } };
    const aged = lease === null ? null : { ...lease, startedAt: age(lease.startedAt) };
    draft[INSTANCES[i]] = { ...part, beat: later, state: { ...part.state, lease: aged } };
    putInstance(draft, i, noteLapse(draft[INSTANCES[i]].state, NOW, context.rules), context);
  }
  for (const key of COORDINATORS) {
    const part = draft[key];
    if (typeof part === 'string') continue;
    const ages = ([id, watched]: readonly [string, Watched]): readonly [string, Watched] =>
      only === null || id === String(only)
        ? [id, { ...watched, sinceMs: older(watched.sinceMs) }]
        : [id, watched];
    const entries = Object.entries(part.watch);
    const later = entries.map(ages);
    if (later.every(([id, watched]) => part.watch[id]?.sinceMs === watched.sinceMs)) continue;
    changed = true;
    draft[key] = { ...part, watch: Object.fromEntries(later) };
  }
  return changed ? draft : null;
}

export function hasNothingToLose(part: InstancePart): boolean {
  return !part.alive || (part.state.lease === null && part.beat === null);
}

/** Time in which nothing is heard of an instance, as a step of its own; paid for where it would have beaten. */
export function pauseSteps(world: World, i: 0 | 1, context: Context): void {
  const { state } = world[INSTANCES[i]];
  const authority = state.following.record === null ? null : authorityOf(state.following.record.mode);
  const cannot = authority !== null && !isUp(world, authority);
  const free = cannot || hasNothingToLose(world[INSTANCES[i]]);
  if (!free && !mayFail(world, 'pause', context)) return;
  for (const frozen of context.scenario.suspends ? [null, i] : [null]) {
    const draft = tick(world, context, frozen, i);
    if (draft === null) continue;
    if (!free) paid(draft);
    const step = free ? 'time passes' : frozen === null ? 'pause' : 'suspend';
    context.emit(step, `instance ${i}`, draft, free ? 'normal' : 'fault');
  }
}
