/** What was judged on a record is done over that very record, or not at all. */
import { describe, expect, it } from 'vitest';
import { type CopyState, MODES, type Mode } from '../../cutover/mode.ts';
import { type ControlChange, decideChange, hasLostCopy, hasMoved } from '../../cutover/protocol/changes.ts';
import type { ControlRecord } from '../../cutover/protocol/types.ts';

const complete: CopyState = { kind: 'complete', run: 'r', completedAtMs: 3, verifiedAtMs: null };
const stale: CopyState = { kind: 'stale', sinceMs: 3 };
const none: CopyState = { kind: 'none' };
const base: ControlRecord = {
  mode: 'dual-write',
  revision: 4,
  epoch: 1,
  transition: null,
  changedBy: null,
  copy: complete,
  settings: {},
};
const later: ControlRecord = { ...base, revision: 5 };
const on = (record: ControlRecord, change: ControlChange) => {
  const decision = decideChange('mongo', record, change);
  return decision.kind === 'refused' ? decision.reason : decision.kind;
};

describe('a move', () => {
  const to = (mode: Mode, judged = base): ControlChange => ({
    kind: 'move',
    id: 'm1',
    to: mode,
    nowMs: 9,
    judged,
  });

  it('is made over the record that was judged, and over no later one', () => {
    expect(on(base, to('shadow-read'))).toBe('write');
    expect(on(later, to('shadow-read'))).toBe('changed');
    expect(on({ ...base, epoch: 3 }, to('shadow-read'))).toBe('changed');
  });

  it('is known again by its id, whatever was set since, and never by the mode it led to', () => {
    const made = decideChange('mongo', base, to('shadow-read')).record;
    expect(made).toMatchObject({ mode: 'shadow-read', movedBy: 'm1' });
    expect(on({ ...made, revision: 9, settings: { 'shadow-rate': 7 } }, to('shadow-read'))).toBe('already');
    expect(on({ ...made, revision: 9, movedBy: 'm2' }, to('shadow-read'))).toBe('changed');
  });

  it('does not compare with half a copy, though the gates may have seen a whole one', () => {
    for (const copy of [none, stale]) {
      expect(on({ ...base, copy }, to('shadow-read'))).toBe('incomplete-copy');
      expect(on({ ...base, copy, mode: 'shadow-read' }, to('dual-write'))).toBe('write');
    }
  });
});

describe('an announcement', () => {
  const record: ControlRecord = { ...base, mode: 'shadow-read' };
  const transition = { id: 't', target: 'postgres-primary', phase: 'announced', deadlineMs: 9 } as const;
  const announce: ControlChange = { kind: 'announce', transition, judged: record };

  it('is made over the record that was judged, and over no later one', () => {
    expect(on(record, announce)).toBe('write');
    expect(on({ ...record, revision: 5 }, announce)).toBe('changed');
    // Taken back by somebody, it is not made again: whoever stopped for it would count as stopped.
    expect(on({ ...record, revision: 6, transition: null }, announce)).toBe('changed');
  });

  it.each([none, stale])('needs a complete copy, not one that is $kind', (copy) => {
    expect(on({ ...record, copy }, announce)).toBe('incomplete-copy');
  });
});

describe('a copy that counts as complete', () => {
  const now: ControlRecord = { ...base, epoch: 2 };

  it('is lost with the record of the store that holds it, and where that store knows only of an earlier epoch', () => {
    expect(hasLostCopy(now, null)).toBe(true);
    expect(hasLostCopy(now, base)).toBe(true);
    expect(hasLostCopy(now, { ...now, revision: 1, copy: none })).toBe(false);
    expect(hasLostCopy(now, { ...now, epoch: 3 })).toBe(false);
  });

  it('is all that can be lost', () => {
    for (const copy of [none, stale]) expect(hasLostCopy({ ...now, copy }, null)).toBe(false);
    for (const mode of MODES) expect(hasLostCopy({ ...now, mode }, null)).toBe(!mode.endsWith('only'));
  });
});

describe('what is said of a copy', () => {
  const mark = (copy: CopyState, expected: CopyState): ControlChange => ({
    kind: 'mark-copy',
    copy,
    expected,
    epoch: 1,
  });

  it('counts while it is as it was looked at, whatever was set meanwhile', () => {
    expect(on({ ...later, copy: stale }, mark(complete, stale))).toBe('write');
    expect(on({ ...later, copy: none }, mark(complete, none))).toBe('write');
    expect(on({ ...later, copy: { ...stale, sinceMs: 4 } }, mark(complete, stale))).toBe('changed');
    expect(on({ ...later, copy: stale }, mark(complete, none))).toBe('changed');
    expect(on({ ...base, copy: stale, epoch: 3 }, mark(complete, stale))).toBe('changed');
  });

  it('is known again, though a verify has added its time', () => {
    expect(on({ ...base, copy: complete }, mark(complete, stale))).toBe('already');
    expect(on({ ...base, copy: { ...complete, verifiedAtMs: 9 } }, mark(complete, stale))).toBe('already');
    expect(on({ ...base, copy: complete }, mark({ ...complete, verifiedAtMs: 9 }, complete))).toBe('write');
    expect(on({ ...base, copy: { ...complete, run: 'r2' } }, mark(complete, stale))).toBe('changed');
  });

  it('keeps the later time of two verifies, whichever ends first', () => {
    for (const [first, second] of [
      [7, 9],
      [9, 7],
    ]) {
      const verified = mark({ ...complete, verifiedAtMs: second ?? null }, complete);
      const record = { ...base, copy: { ...complete, verifiedAtMs: first ?? null } };
      expect(decideChange('mongo', record, verified)).toMatchObject({
        record: { copy: { verifiedAtMs: 9 } },
      });
    }
  });

  it.each(MODES)('in %s needs a mirror that is on', (mode) => {
    const authority = mode.startsWith('postgres') ? 'postgres' : 'mongo';
    for (const copy of [complete, { ...stale, sinceMs: 9 }]) {
      const decision = decideChange(authority, { ...base, mode, copy: stale }, mark(copy, stale));
      if (mode.endsWith('only')) expect(decision).toMatchObject({ kind: 'refused', reason: 'no-mirror' });
      else expect(decision).toMatchObject({ kind: 'write', record: { copy } });
    }
  });
});

describe('a setting', () => {
  const record: ControlRecord = { ...base, settings: { 'shadow-rate': 5 } };
  const set: ControlChange = { kind: 'set', key: 'shadow-rate', value: 7, seen: record };

  it('is written over the value that was seen, in the mode that was seen', () => {
    expect(on({ ...record, revision: 9, settings: { 'shadow-rate': 5, 'poll-ms': 9 } }, set)).toBe('write');
    expect(on({ ...record, settings: { 'shadow-rate': 6 } }, set)).toBe('changed');
    expect(on({ ...record, settings: {} }, set)).toBe('changed');
    expect(on({ ...record, mode: 'shadow-read' }, set)).toBe('changed');
  });
});

describe('a failover', () => {
  const record: ControlRecord = { ...base, mode: 'postgres-primary' };
  const next: ControlRecord = { ...record, mode: 'mongo-only', epoch: 3, changedBy: 'f1', copy: none };
  const gain: ControlChange = { kind: 'gain', record: next, judged: record };

  it('is made over the copy of the record that was judged, once', () => {
    expect(on(record, gain)).toBe('write');
    expect(on({ ...record, revision: 5, mode: 'postgres-only' }, gain)).toBe('changed');
    expect(on(next, gain)).toBe('already');
    expect(on({ ...next, changedBy: 'f2' }, gain)).toBe('higher-epoch');
  });
});

describe('whether somebody has moved', () => {
  it('is told by mode, epoch and the last move, not by what was set, marked or taken back', () => {
    expect(hasMoved(base, { ...later, copy: stale, settings: { 'poll-ms': 9 } })).toBe(false);
    for (const change of [{ mode: 'shadow-read' }, { epoch: 2 }, { movedBy: 'm' }] as const) {
      expect(hasMoved(base, { ...later, ...change })).toBe(true);
    }
  });
});
