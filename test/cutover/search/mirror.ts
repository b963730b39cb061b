/** An instance's mirror worker: scans for marks, applies, clears, and resolves what it finds in the wrong place. */
import { authorityOf, mirrorOf } from '../../../cutover/mode.ts';
import { mayContinue, mayResolve, type Ticket } from '../../../cutover/protocol/admission.ts';
import {
  decideApply,
  decideClash,
  decideOrphan,
  decideWrite,
  mayClearMark,
} from '../../../cutover/protocol/stamps.ts';
import type { StoreName } from '../../../db/errors.ts';
import { compareStamps } from '../../../db/records.ts';
import { type Context, NOW } from './model.ts';
import { holderOf, withRecord } from './operations.ts';
import {
  CONTROL,
  DATA,
  type Draft,
  draftOf,
  INSTANCES,
  type Incoming,
  isUp,
  TASKS,
  type Task,
  type World,
} from './world.ts';

export function mirrorSteps(world: World, i: 0 | 1, context: Context): void {
  const task = world[TASKS[i]];
  if (task === null) scan(world, i, context);
  else work(world, i, task, context);
}

function putTask(world: World, i: 0 | 1, task: Task | null): Draft {
  const draft = draftOf(world);
  draft[TASKS[i]] = task;
  return draft;
}

/** What is read here is read at one moment, and the lease is checked after it: see the ADR. */
function scan(world: World, i: 0 | 1, context: Context): void {
  const { emit, rules } = context;
  const { alive, state } = world[INSTANCES[i]];
  const { record } = state.following;
  if (!alive || record === null || state.lease === null) return;
  // One worker at a time while its instance is heard of; one that is not may still have something on its way.
  const other = world[TASKS[i === 0 ? 1 : 0]];
  if (other !== null && other.ticket.incarnation === 1 && !context.scenario.workersOverlap) return;
  const authority = authorityOf(record.mode);
  const mirror = mirrorOf(record.mode);
  if (mirror === null || !isUp(world, authority) || !isUp(world, mirror)) return;
  const ticket: Ticket = {
    incarnation: 1,
    epoch: record.epoch,
    revision: 0,
    mode: record.mode,
    store: authority,
  };
  if (!mayContinue(ticket, state, NOW, rules)) return;
  const own = world[DATA[authority]];
  const copy = world[DATA[mirror]];
  const who = `mirror of instance ${i}`;
  const batch: Incoming[] = [];
  for (const [r, stored] of own.entries()) {
    if (stored?.pending === true) batch.push({ record: r, stamp: stored.stamp, bits: stored.bits });
  }
  // Last first, and where a unique key is about also cut short: a batch keeps no order that would help.
  batch.reverse();
  const keyed = batch.some(({ record: r, bits }) => context.scenario.keyOf(r, bits) !== null);
  const batches = keyed && batch.length > 1 ? [batch, batch.slice(0, 1)] : [batch];
  for (const part of batches) {
    if (part.length > 0) emit('read marks', who, putTask(world, i, { kind: 'apply', ticket, batch: part }));
  }
  if (!mayResolve(ticket, state, NOW, rules)) return;
  for (const [r, stored] of copy.entries()) {
    if (stored?.pending !== true || !rules.resolvesOrphans) continue;
    const decision = decideOrphan(stored.stamp, own[r] ?? null, record.epoch);
    if (decision.kind === 'wait') continue;
    emit('find orphan', who, putTask(world, i, { ...decision, ticket, record: r }));
  }
}

function work(world: World, i: 0 | 1, task: Task, context: Context) {
  const { emit, rules } = context;
  const { ticket } = task;
  const authority = ticket.store;
  const mirror = authority === 'mongo' ? 'postgres' : 'mongo';
  const who = `mirror of instance ${i}`;
  const store = task.kind === 'apply' || task.kind === 'move-aside' ? mirror : authority;
  // Whoever reads marks changes nothing by it: a worker that gives up was as well never begun.
  const unread = context.reductions.operations ? 'covered' : 'counts';
  if (ticket.incarnation === -1) emit('message vanishes', who, putTask(world, i, null), 'normal', unread);
  if (!isUp(world, store)) {
    if (ticket.incarnation !== -1) emit('mirror fails', who, putTask(world, i, null), 'normal', unread);
    return;
  }
  const data = world[DATA[store]];
  switch (task.kind) {
    case 'apply':
      return apply(world, i, task, mirror, context);
    case 'clear': {
      const draft = putTask(world, i, null);
      for (const { record, stamp } of task.batch) {
        const stored = draft[DATA[store]][record] ?? null;
        if (stored === null || !mayClearMark(stored.stamp, stamp, rules)) continue;
        draft[DATA[store]] = withRecord(draft[DATA[store]], record, { ...stored, pending: false });
      }
      return emit('clear marks', who, draft);
    }
    case 'clash': {
      const inAuthority = data[task.holder] ?? null;
      const key = context.scenario.keyOf(task.incoming.record, task.incoming.bits);
      const held =
        inAuthority === null ? null : { key: context.scenario.keyOf(task.holder, inAuthority.bits) };
      const holder = world[DATA[mirror]][task.holder] ?? null;
      const may = mayResolve(ticket, world[INSTANCES[i]].state, NOW, rules);
      if (!may || key === null || holder === null) return emit('give clash up', who, putTask(world, i, null));
      const decision = decideClash(key, held, false);
      if (decision === 'move-holder-aside') {
        return emit(
          'clash: orphan',
          who,
          putTask(world, i, { kind: 'move-aside', ticket, record: task.holder, expected: holder.stamp }),
        );
      }
      if (decision !== 'apply-holder-first' || inAuthority === null) return;
      const first = { record: task.holder, stamp: inAuthority.stamp, bits: inAuthority.bits };
      return emit(
        'clash: holder first',
        who,
        putTask(world, i, { kind: 'apply', ticket, batch: [first, task.incoming] }),
      );
    }
    case 'touch': {
      const stored = data[task.record] ?? null;
      const draft = putTask(world, i, null);
      if (stored !== null && decideWrite(stored.stamp, task.expected, ticket.epoch, rules) === 'write') {
        draft[DATA[store]] = withRecord(data, task.record, { ...stored, stamp: task.stamp, pending: true });
      }
      return emit('touch', who, draft);
    }
    case 'move-aside': {
      const stored = data[task.record] ?? null;
      const draft = putTask(world, i, null);
      if (stored !== null && compareStamps(stored.stamp, task.expected) === 0) {
        draft[DATA[store]] = withRecord(data, task.record, null);
      }
      return emit('move aside', who, draft);
    }
  }
}

function apply(
  world: World,
  i: 0 | 1,
  task: Extract<Task, { readonly kind: 'apply' }>,
  mirror: StoreName,
  context: Context,
) {
  const { emit, rules } = context;
  // PostgreSQL reads its control row in the same statement; MongoDB can only look at the record itself.
  const targetEpoch = mirror === 'postgres' ? world[CONTROL.postgres].epoch : 0;
  const who = `mirror of instance ${i}, ${mirror}`;
  const { ticket } = task;
  const held: Incoming[] = [];
  let clash: Task | null = null;
  let copy = world[DATA[mirror]];
  for (const incoming of task.batch) {
    const stored = copy[incoming.record] ?? null;
    const decision = decideApply(stored?.stamp ?? null, incoming.stamp, ticket.epoch, targetEpoch, rules);
    if (decision === 'same') held.push(incoming);
    if (decision !== 'apply') continue;
    const holder = holderOf(copy, incoming.record, incoming.bits, context);
    if (holder !== null) {
      if (!rules.resolvesClashes) return emit('batch fails', who, putTask(world, i, null));
      clash ??= { kind: 'clash', ticket, incoming, holder };
      continue;
    }
    held.push(incoming);
    copy = withRecord(copy, incoming.record, { stamp: incoming.stamp, bits: incoming.bits, pending: false });
  }
  const alone = ticket.incarnation === -1;
  const next: Task | null = held.length > 0 ? { kind: 'clear', ticket, batch: held } : clash;
  const draft = putTask(world, i, alone ? null : next);
  draft[DATA[mirror]] = copy;
  emit('apply', who, draft);
}
