/** A client's operation on its way: admitted, read, sent, landed, answered, told. */
import { mirrorOf } from '../../../cutover/mode.ts';
import { decideAdmission, mayAcknowledge, mayContinue } from '../../../cutover/protocol/admission.ts';
import { decideWrite, nextStamp } from '../../../cutover/protocol/stamps.ts';
import { settleAnswers } from './instances.ts';
import { type Context, mayFail, NOW, paid } from './model.ts';
import {
  DATA,
  type Data,
  type Draft,
  draftOf,
  INSTANCES,
  isUp,
  OPERATIONS,
  type OperationPart,
  OVER,
  type Stored,
  type World,
} from './world.ts';

export function ackedBits(world: World): number {
  let bits = 0;
  for (const [j, key] of OPERATIONS.entries()) if (world[key].phase === 'acked') bits |= 1 << j;
  return bits;
}

export const bitsOf = (data: Data): readonly (number | null)[] => data.map((stored) => stored?.bits ?? null);

export function withRecord(data: Data, record: number, stored: Stored | null): Data {
  return data.map((other, index) => (index === record ? stored : other));
}

/** The other record that holds the key which `bits` would hold; null when it is free. */
export function holderOf(data: Data, record: number, bits: number, context: Context): number | null {
  const key = context.scenario.keyOf(record, bits);
  if (key === null) return null;
  const found = data.findIndex(
    (other, index) => index !== record && other !== null && context.scenario.keyOf(index, other.bits) === key,
  );
  return found < 0 ? null : found;
}

export function operationSteps(world: World, j: 0 | 1 | 2, context: Context) {
  const { emit, rules, scenario } = context;
  const spec = scenario.operations[j];
  const key = OPERATIONS[j];
  const operation = world[key];
  if (spec === undefined || operation.phase === 'acked' || operation.phase === 'over') return;
  const part = world[INSTANCES[spec.on]];
  const who = `${spec.name} at instance ${spec.on}`;
  const to = (next: OperationPart): Draft => {
    const draft = draftOf(world);
    draft[key] = next;
    return draft;
  };
  const over = (): OperationPart => ({ ...OVER, stray: operation.stray });
  // One that wrote nothing is as one that was never begun.
  const isUnwritten = context.reductions.operations && operation.step === 0 && !operation.stray;
  const unwritten = isUnwritten ? 'never-begun' : 'counts';
  const { ticket } = operation;

  if (ticket === null) {
    if (!part.alive) return;
    const admission = decideAdmission(part.state, NOW, rules, Number.MAX_SAFE_INTEGER);
    if (admission.kind !== 'admit') return;
    const after = (ackedBits(world) & spec.heeds) === 0 ? 0 : 1;
    const draft = to({
      ...operation,
      phase: 'admitted',
      ticket: { ...admission.ticket, revision: 0 },
      after,
    });
    emit('admit', who, draft, 'choice');
    return;
  }
  const { store } = ticket;
  const target = spec.writes[operation.step];
  if (target === undefined) return;
  const data = world[DATA[store]];
  const stored = data[target.record] ?? null;

  if (operation.phase === 'admitted') {
    if (!isUp(world, store)) return emit('operation fails', who, to(over()), 'normal', unwritten);
    const decided = target.decide(bitsOf(data), operation.bits);
    if (decided === 'refused') return emit('refuse', who, to(over()), 'normal', unwritten);
    if (decided === 'already')
      return emit('find done', who, settled(to({ ...operation, phase: 'answered' })));
    emit(
      'read record',
      who,
      to({ ...operation, phase: 'sending', expected: stored?.stamp ?? null, bits: decided }),
    );
    return;
  }
  if (operation.phase === 'between') {
    const goes = mayContinue(ticket, part.state, NOW, rules);
    emit(
      goes ? 'go on' : 'stop between writes',
      who,
      to(goes ? { ...operation, phase: 'admitted', step: 1 } : over()),
    );
    return;
  }
  if (operation.phase === 'answered') {
    if (!mayAcknowledge(ticket, part.state, NOW, rules)) return emit('answer unknown', who, to(over()));
    const acked = to({ ...OVER, phase: 'acked', after: operation.after, stray: operation.stray });
    const newest = Math.max(world.cm.epoch, world.cp.epoch);
    if (ticket.epoch !== newest) acked.env = { ...world.env, bad: 'acknowledged after authority had moved' };
    const broken = scenario.violated(ackedBits(acked), [], (o) => (o === j ? operation.after : 0));
    if (broken !== null) acked.env = { ...world.env, bad: broken };
    emit('acknowledge', who, acked);
    if (mayFail(world, 'message', context))
      emit(
        'lose reply',
        who,
        paid(to(over())),
        'fault',
        context.reductions.operations ? 'covered' : 'counts',
      );
    return;
  }
  // Sending: a message of its own by now, whatever has become of who sent it.
  if (mayFail(world, 'message', context) && ticket.incarnation === 1)
    emit('lose message', who, paid(to(over())), 'fault', unwritten);
  if (ticket.incarnation === -1) emit('message vanishes', who, to(over()), 'normal', unwritten);
  if (!isUp(world, store))
    return ticket.incarnation === -1
      ? undefined
      : emit('operation fails', who, to(over()), 'normal', unwritten);
  const guard = decideWrite(stored?.stamp ?? null, operation.expected, ticket.epoch, rules);
  const taken = guard === 'write' && holderOf(data, target.record, operation.bits, context) !== null;
  if (guard === 'stale' || taken)
    return emit(taken ? 'key taken' : 'refuse stale', who, to(over()), 'normal', unwritten);
  if (guard === 'conflict') {
    const again: OperationPart = {
      ...operation,
      phase: 'admitted',
      expected: null,
      bits: written(operation, spec.writes.length),
    };
    const gone = ticket.incarnation === -1;
    return emit('conflict', who, to(gone ? over() : again), 'normal', gone ? unwritten : 'counts');
  }
  const fenced = [world.cm, world.cp].some((record) => record.transition?.phase === 'fenced');
  const stray = operation.stray || (fenced && ticket.incarnation !== 1);
  const last = operation.step === spec.writes.length - 1;
  const draft = to({ ...operation, phase: last ? 'answered' : 'between', expected: null, stray });
  const stamp = nextStamp(stored?.stamp ?? null, ticket.epoch);
  const pending = mirrorOf(ticket.mode) !== null;
  draft[DATA[store]] = withRecord(data, target.record, { stamp, bits: operation.bits, pending });
  if (ticket.incarnation === -1) draft[key] = { ...OVER, stray };
  emit('commit', who, settled(draft));

  function settled(next: Draft): Draft {
    if (spec !== undefined) settleAnswers(next, spec.on, context);
    return next;
  }
}

/** What the second write knows of the first; the first begins afresh. */
function written(operation: OperationPart, writes: number): number {
  return writes > 1 && operation.step === 1 ? operation.bits : 0;
}
