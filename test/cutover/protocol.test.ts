import { describe, expect, it } from 'vitest';
import {
  acknowledgement,
  decideAdmission,
  mayAcknowledge,
  mayResolve,
  settledRevision,
} from '../../cutover/protocol/admission.ts';
import { decideChange, mayAbort } from '../../cutover/protocol/changes.ts';
import { giveUp, newAttempt, onReply, overdue, requestOf } from '../../cutover/protocol/coordinator.ts';
import { FOLLOWING_NOTHING, follow, unfinishedChange } from '../../cutover/protocol/follow.ts';
import {
  beginHeartbeat,
  type InstanceState,
  newInstance,
  noteLapse,
  onControlRead,
  onHeartbeatCommitted,
} from '../../cutover/protocol/lease.ts';
import {
  decideApply,
  decideClash,
  decideOrphan,
  decideWrite,
  mayClearMark,
} from '../../cutover/protocol/stamps.ts';
import {
  type ControlRecord,
  DEFAULT_TIMING,
  type Instant,
  type LeaseRow,
  type Transition,
} from '../../cutover/protocol/types.ts';

const at = (ms: number, wallMs = ms): Instant => ({ monotonicMs: ms, wallMs });
const timing = DEFAULT_TIMING;
const record: ControlRecord = {
  mode: 'shadow-read',
  revision: 4,
  epoch: 1,
  transition: null,
  changedBy: null,
  copy: { kind: 'complete', run: 'r', completedAtMs: 0, verifiedAtMs: 0 },
  settings: {},
};
const fence: Transition = { id: 't1', target: 'postgres-primary', phase: 'fenced', deadlineMs: 10_000 };
const fenced: ControlRecord = { ...record, revision: 6, transition: fence };
const moved: ControlRecord = { ...record, mode: 'postgres-primary', epoch: 2, revision: 7, changedBy: 't1' };

/** Registered and leased in MongoDB since `ms`. */
function leased(ms: number): InstanceState {
  const seen = onControlRead(newInstance('a'), 'mongo', record);
  const begun = beginHeartbeat(seen, null, 4, at(ms), timing);
  if (begun === null) throw new Error('no authority');
  return onHeartbeatCommitted(begun.state, begun.heartbeat, record, at(ms + 100));
}

function ticketOf(state: InstanceState, ms: number) {
  const admission = decideAdmission(state, at(ms));
  if (admission.kind !== 'admit') throw new Error(admission.kind);
  return admission.ticket;
}

describe('lease and admission', () => {
  it('serves nothing before it knows its mode, and nothing before its first heartbeat has come back', () => {
    expect(decideAdmission(newInstance('a'), at(0))).toEqual({ kind: 'refuse', reason: 'no-record' });
    const seen = onControlRead(newInstance('a'), 'mongo', record);
    expect(decideAdmission(seen, at(0))).toEqual({ kind: 'refuse', reason: 'no-lease' });
    expect(decideAdmission(leased(0), at(200)).kind).toBe('admit');
  });

  it('counts the lease from the send, on whichever clock says more', () => {
    const state = leased(0);
    expect(decideAdmission(state, at(4_999)).kind).toBe('admit');
    expect(decideAdmission(state, at(5_000)).kind).toBe('refuse');
    expect(decideAdmission(state, at(200, 5_000)).kind).toBe('refuse');
    expect(decideAdmission(state, at(5_000, 200)).kind).toBe('refuse');
  });

  it('does not revive a lapsed lease: not by a heartbeat sent before the gap, nor for what was admitted before it', () => {
    const state = leased(0);
    const ticket = ticketOf(state, 1);
    const second = beginHeartbeat(state, null, 4, at(4_000), timing);
    if (second === null) throw new Error('no authority');
    const late = onHeartbeatCommitted(second.state, second.heartbeat, record, at(5_500));
    expect(late.lease).toBeNull();
    const third = beginHeartbeat(late, null, 4, at(6_000), timing);
    if (third === null) throw new Error('no authority');
    const again = onHeartbeatCommitted(third.state, third.heartbeat, record, at(6_100));
    expect(decideAdmission(again, at(6_200)).kind).toBe('admit');
    expect(mayAcknowledge(ticket, again, at(6_200))).toBe(false);
    expect(mayAcknowledge(ticket, state, at(4_999))).toBe(true);
  });

  it('renews behind a fence, where it finishes what it has, but admits nothing', () => {
    const state = leased(0);
    const ticket = ticketOf(state, 1);
    const begun = beginHeartbeat(state, null, 4, at(1_000), timing);
    if (begun === null) throw new Error('no authority');
    const stopped = onHeartbeatCommitted(begun.state, begun.heartbeat, fenced, at(1_100));
    expect(decideAdmission(stopped, at(5_500))).toEqual({ kind: 'wait', transition: 't1' });
    expect(mayAcknowledge(ticket, stopped, at(5_500))).toBe(true);
    expect(mayResolve(ticket, stopped, at(5_500))).toBe(false);
    expect(acknowledgement(stopped, [{ ticket, settled: false }])).toEqual({ id: 't1', phase: 'announced' });
    expect(acknowledgement(stopped, [{ ticket, settled: true }])).toEqual({ id: 't1', phase: 'stopped' });
    const old = { ...ticket, incarnation: 0 };
    expect(acknowledgement(stopped, [{ ticket: old, settled: false }])?.phase).toBe('stopped');
  });

  it('drops the lease on reading another epoch', () => {
    const after = onControlRead(leased(0), 'mongo', moved);
    expect(after.lease).toBeNull();
    expect(after.incarnation).toBe(2);
    expect(noteLapse(after, at(9_000))).toBe(after);
  });

  it('calls a revision its own only when nothing admitted under another is in flight', () => {
    const state = leased(0);
    const ticket = ticketOf(state, 1);
    const flipped = onControlRead(state, 'mongo', { ...record, mode: 'dual-write', revision: 5 });
    expect(settledRevision(flipped, [{ ticket, settled: false }], 4)).toBe(4);
    expect(settledRevision(flipped, [{ ticket, settled: true }], 4)).toBe(5);
  });

  it('does not call a revision its own while an operation of an earlier incarnation may still write', () => {
    const state = leased(0);
    const ticket = ticketOf(state, 4_990);
    const flipped = onControlRead(state, 'mongo', { ...record, mode: 'dual-write', revision: 5 });
    const begun = beginHeartbeat(flipped, null, 4, at(5_001), timing);
    expect(begun?.state.incarnation).toBe(2);
    expect(settledRevision(begun?.state ?? flipped, [{ ticket, settled: false }], 4)).toBe(4);
    expect(settledRevision(begun?.state ?? flipped, [{ ticket, settled: true }], 4)).toBe(5);
  });
});

describe('which record is followed', () => {
  it('takes the higher epoch from either store, and within one only the authority', () => {
    const start = follow(FOLLOWING_NOTHING, 'mongo', record);
    expect(follow(start, 'postgres', { ...fenced, revision: 9 }).record).toBe(record);
    expect(follow(start, 'mongo', moved).record).toBe(moved);
    expect(follow(follow(start, 'mongo', moved), 'postgres', record).record).toBe(moved);
  });

  it('takes no reply that was overtaken by a later one', () => {
    const seen = follow(follow(FOLLOWING_NOTHING, 'mongo', record), 'mongo', fenced);
    expect(follow(seen, 'mongo', record).record).toBe(fenced);
  });

  it('sees a change that was given up and not taken over, and how to finish it', () => {
    const both = follow(follow(FOLLOWING_NOTHING, 'postgres', record), 'mongo', moved);
    expect(unfinishedChange(both)).toEqual({ store: 'postgres', record: moved });
    expect(unfinishedChange(follow(both, 'postgres', moved))).toBeNull();
    expect(unfinishedChange(follow(FOLLOWING_NOTHING, 'mongo', record))).toBeNull();
  });
});

describe('changes of the control record', () => {
  it('refuses another attempt while one stands, and each step of an attempt that no longer does', () => {
    const transition = { ...fence, id: 't2', phase: 'announced' } as const;
    const announce = { kind: 'announce', transition, judged: record } as const;
    expect(decideChange('mongo', fenced, announce)).toMatchObject({
      kind: 'refused',
      reason: 'in-transition',
    });
    for (const kind of ['fence', 'lose', 'abort'] as const) {
      expect(decideChange('mongo', fenced, { kind, id: 't2' })).toMatchObject({
        kind: 'refused',
        reason: 'other-transition',
      });
    }
    expect(decideChange('postgres', record, announce)).toMatchObject({ reason: 'not-authority' });
  });

  it('gives authority up behind a fence only, once, and never takes that back', () => {
    const announced = { ...record, transition: { ...fence, phase: 'announced' } as const };
    expect(decideChange('mongo', announced, { kind: 'lose', id: 't1' })).toMatchObject({
      reason: 'not-fenced',
    });
    const lost = decideChange('mongo', fenced, { kind: 'lose', id: 't1' });
    expect(lost).toEqual({ kind: 'write', record: moved });
    expect(decideChange('mongo', moved, { kind: 'lose', id: 't1' }).kind).toBe('already');
    expect(decideChange('mongo', moved, { kind: 'abort', id: 't1' }).kind).toBe('refused');
    expect(decideChange('postgres', record, { kind: 'gain', record: moved })).toMatchObject({
      kind: 'write',
      record: { epoch: 2 },
    });
    expect(decideChange('postgres', moved, { kind: 'gain', record: moved }).kind).toBe('already');
    expect(decideChange('postgres', { ...record, epoch: 3 }, { kind: 'gain', record: moved })).toMatchObject({
      reason: 'higher-epoch',
    });
  });

  it('moves between modes of one authority without touching the epoch', () => {
    const move = { kind: 'move', id: 'm1', nowMs: 5, judged: record } as const;
    const down = decideChange('mongo', record, { ...move, to: 'dual-write' });
    expect(down).toMatchObject({
      kind: 'write',
      record: { mode: 'dual-write', epoch: 1, revision: 5, copy: { kind: 'complete' } },
    });
    const out = decideChange('mongo', { ...record, mode: 'dual-write' }, { ...move, to: 'mongo-only' });
    expect(out).toMatchObject({ record: { copy: { kind: 'stale', sinceMs: 5 } } });
    expect(decideChange('mongo', record, { ...move, to: 'postgres-primary' })).toMatchObject({
      reason: 'illegal-move',
    });
    expect(decideChange('mongo', fenced, { ...move, to: 'dual-write' })).toMatchObject({
      reason: 'in-transition',
    });
  });

  it('is left alone until its deadline has been watched to pass', () => {
    expect(mayAbort(fence, 9_999)).toBe(false);
    expect(mayAbort(fence, 10_000)).toBe(true);
  });
});

describe('the coordinator', () => {
  const row = (instance: string, counter: number, ack: LeaseRow['ack'] = null): LeaseRow => ({
    instance,
    counter,
    ack,
    leaseMs: timing.leaseMs,
    incarnation: 1,
    epoch: 1,
    revision: 4,
  });
  const begin = () => {
    const attempt = newAttempt('t1', record, 'postgres-primary', timing);
    if (attempt === null) throw new Error('refused');
    return attempt;
  };

  it('waits out the silent before it stops anybody', () => {
    let state = onReply(begin(), { kind: 'rows', rows: [row('a', 1), row('b', 1)] }, 0, timing);
    state = onReply(state, { kind: 'rows', rows: [row('a', 2), row('b', 1)] }, 500, timing);
    state = onReply(state, { kind: 'rows', rows: [row('a', 14), row('b', 1)] }, 6_999, timing);
    expect(state.stage).toBe('wait-silent');
    state = onReply(state, { kind: 'rows', rows: [row('a', 15), row('b', 1)] }, 7_000, timing);
    expect(requestOf(state)).toMatchObject({ kind: 'change', store: 'mongo', change: { kind: 'announce' } });
  });

  it('begins with a complete copy, and only what changes authority', () => {
    expect(newAttempt('t', { ...record, copy: { kind: 'none' } }, 'postgres-primary', timing)).toBeNull();
    expect(newAttempt('t', record, 'dual-write', timing)).toBeNull();
  });

  it('aborts a fence that lasts, but never once authority has been given up', () => {
    const stopped = { ...begin(), stage: 'await-stopped', fencedAtMs: 0 } as const;
    const waiting = { kind: 'rows', rows: [row('a', 1, { id: 't1', phase: 'announced' })] } as const;
    expect(onReply(stopped, waiting, 1_999, timing).stage).toBe('await-stopped');
    expect(onReply(stopped, waiting, 2_001, timing).stage).toBe('abort');
    const acked = { kind: 'rows', rows: [row('a', 1, { id: 't1', phase: 'stopped' })] } as const;
    expect(onReply(stopped, acked, 2_000, timing).stage).toBe('drain-loser');
    const other = { kind: 'rows', rows: [row('a', 1, { id: 't0', phase: 'stopped' })] } as const;
    expect(onReply(stopped, other, 1, timing).stage).toBe('await-stopped');
    const losing = { ...begin(), stage: 'lose', fencedAtMs: 0 } as const;
    expect(onReply(losing, { kind: 'unknown' }, 60_000, timing).stage).toBe('lose');
    const gaining = { ...begin(), stage: 'gain', fencedAtMs: 0 } as const;
    expect(onReply(gaining, { kind: 'unknown' }, 60_000, timing).stage).toBe('gain');
    expect(giveUp(gaining, 'impatience').stage).toBe('gain');
  });

  it('passes over who was silent when the fence was asked for, never over who falls silent behind it', () => {
    const patient = { ...timing, fenceMaxMs: 60_000 };
    const ack = { id: 't1', phase: 'announced' } as const;
    const announced = { ...begin(), stage: 'await-announced' } as const;
    let state = onReply(announced, { kind: 'rows', rows: [row('a', 1), row('b', 1)] }, 0, patient);
    state = onReply(state, { kind: 'rows', rows: [row('a', 2, ack), row('b', 1)] }, 7_000, patient);
    expect(state).toMatchObject({ stage: 'fence', fencedAtMs: 7_000 });
    state = onReply(state, { kind: 'change', decision: { kind: 'write', record: fenced } }, 7_010, patient);
    state = onReply(state, { kind: 'rows', rows: [row('a', 2, ack), row('b', 1)] }, 14_000, patient);
    expect(state.stage).toBe('await-stopped');
    state = onReply(state, { kind: 'rows', rows: [row('a', 2, ack), row('b', 1)] }, 67_000, patient);
    expect(state.stage).toBe('await-stopped');
    const stopped = row('a', 3, { ...ack, phase: 'stopped' });
    expect(onReply(state, { kind: 'rows', rows: [stopped, row('b', 1)] }, 67_000, patient).stage).toBe(
      'drain-loser',
    );
  });

  const written = { kind: 'change', decision: { kind: 'write', record: fenced } } as const;
  it.each([
    ['fence', written],
    ['await-stopped', { kind: 'rows', rows: [row('a', 1, { id: 't1', phase: 'stopped' })] }],
    ['drain-loser', { kind: 'marks', count: 0 }],
    ['drain-winner', { kind: 'marks', count: 0 }],
    ['last-check', { kind: 'checked', clean: true }],
    ['ask-winner', { kind: 'control', record: fenced }],
  ] as const)('gives up at %s whatever is answered once the fence has lasted too long', (stage, reply) => {
    const standing = { ...begin(), stage, fencedAtMs: 100 };
    expect(onReply(standing, reply, 2_100, timing)).toMatchObject({ reason: null });
    expect(onReply(standing, reply, 2_100, timing).stage).not.toBe(stage);
    for (const late of [reply, { kind: 'unknown' }] as const) {
      expect(onReply(standing, late, 2_101, timing)).toMatchObject({
        stage: 'abort',
        reason: 'fence over 2000 ms',
      });
    }
  });

  it('counts the fence from when it asks for it, and keeps the first reason for giving up', () => {
    const announced = { ...begin(), stage: 'await-announced' } as const;
    const acked = { kind: 'rows', rows: [row('a', 1, { id: 't1', phase: 'announced' })] } as const;
    const asking = onReply(announced, acked, 500, timing);
    expect(asking).toMatchObject({ stage: 'fence', fencedAtMs: 500 });
    expect(onReply(asking, written, 2_400, timing)).toMatchObject({
      stage: 'await-stopped',
      fencedAtMs: 500,
    });
    expect(overdue(asking, 2_500, timing)).toBeNull();
    expect(overdue(asking, 2_501, timing)).toBe('fence over 2000 ms');
    const aborting = giveUp(asking, 'impatience');
    expect(onReply(aborting, { kind: 'unknown' }, 9_000, timing).reason).toBe('impatience');
  });
});

describe('what may be written over what', () => {
  const stamp = (epoch: number, version: number) => ({ epoch, version });

  it('guards a write by the stamp it read, and by its epoch', () => {
    expect(decideWrite(null, null, 1)).toBe('write');
    expect(decideWrite(stamp(1, 2), stamp(1, 2), 1)).toBe('write');
    expect(decideWrite(stamp(1, 3), stamp(1, 2), 1)).toBe('conflict');
    expect(decideWrite(stamp(1, 1), null, 1)).toBe('conflict');
    expect(decideWrite(stamp(2, 2), stamp(2, 2), 1)).toBe('stale');
  });

  it('applies newer states only, under an epoch that still counts', () => {
    expect(decideApply(null, stamp(1, 1), 1, 1)).toBe('apply');
    expect(decideApply(stamp(1, 1), stamp(1, 2), 1, 1)).toBe('apply');
    expect(decideApply(stamp(1, 2), stamp(1, 2), 1, 1)).toBe('same');
    expect(decideApply(stamp(1, 3), stamp(1, 2), 1, 1)).toBe('ahead');
    expect(decideApply(stamp(1, 1), stamp(1, 2), 1, 2)).toBe('refused');
    expect(mayClearMark(stamp(1, 2), stamp(1, 2))).toBe(true);
    expect(mayClearMark(stamp(1, 3), stamp(1, 2))).toBe(false);
  });

  it('settles orphans above both stamps, and clashes by the authority', () => {
    const inAuthority = { stamp: stamp(2, 2), pending: false };
    expect(decideOrphan(stamp(1, 5), inAuthority, 2)).toEqual({
      kind: 'touch',
      expected: stamp(2, 2),
      stamp: stamp(2, 6),
    });
    expect(decideOrphan(stamp(1, 5), { ...inAuthority, pending: true }, 2)).toEqual({ kind: 'wait' });
    expect(decideOrphan(stamp(1, 5), null, 2)).toEqual({ kind: 'move-aside', expected: stamp(1, 5) });
    expect(decideClash('k', null, false)).toBe('move-holder-aside');
    expect(decideClash('k', null, false, true)).toBe('release-key');
    expect(decideClash('k', { key: null }, false)).toBe('apply-holder-first');
    expect(decideClash('k', { key: 'other' }, true)).toBe('release-key');
    expect(decideClash('k', { key: 'k' }, false)).toBe('corrupt');
    expect(decideClash('k', { key: 'k' }, false, true)).toBe('move-holder-aside');
  });
});
