import { describe, expect, it } from 'vitest';
import {
  authorityOf,
  type CopyState,
  copyAfter,
  isMode,
  MODE_FACTS,
  MODES,
  moveBetween,
  neighbour,
  rollbackIsLossless,
} from '../../cutover/mode.ts';
import { allMoves } from './support/moves.ts';

const complete: CopyState = { kind: 'complete', run: 'r1', completedAtMs: 1, verifiedAtMs: null };

describe('modes', () => {
  it('allows neighbours only, both ways', () => {
    const legal = allMoves().map((move) => `${move.from} > ${move.to}`);
    expect(legal).toEqual([
      'mongo-only > dual-write',
      'dual-write > shadow-read',
      'shadow-read > postgres-primary',
      'postgres-primary > postgres-only',
      'dual-write > mongo-only',
      'shadow-read > dual-write',
      'postgres-primary > shadow-read',
      'postgres-only > postgres-primary',
    ]);
    expect(moveBetween('dual-write', 'postgres-primary')).toBeNull();
    expect(moveBetween('shadow-read', 'shadow-read')).toBeNull();
  });

  it('changes authority between shadow-read and postgres-primary and nowhere else', () => {
    const changing = allMoves().filter((move) => move.changesAuthority);
    expect(changing.map((move) => move.to)).toEqual(['postgres-primary', 'shadow-read']);
    expect(changing.every((move) => move.needsCompleteCopy)).toBe(true);
  });

  it('never mirrors into, or compares with, the authority', () => {
    for (const mode of MODES) {
      expect(MODE_FACTS[mode].mirror).not.toBe(authorityOf(mode));
      expect(MODE_FACTS[mode].compare).not.toBe(authorityOf(mode));
    }
  });

  it('makes the copy stale on leaving the mirror, and not complete on entering it again', () => {
    for (const move of allMoves()) {
      const after = copyAfter(move, complete, 7);
      expect(after).toEqual(move.stopsMirror ? { kind: 'stale', sinceMs: 7 } : complete);
      if (move.startsMirror) expect(copyAfter(move, { kind: 'stale', sinceMs: 3 }, 7).kind).toBe('stale');
    }
    expect(
      allMoves()
        .filter((move) => move.stopsMirror)
        .map((move) => move.to)
        .sort(),
    ).toEqual(['mongo-only', 'postgres-only']);
    const out = moveBetween('dual-write', 'mongo-only') as never;
    expect(copyAfter(out, { kind: 'none' }, 7)).toEqual({ kind: 'stale', sinceMs: 7 });
  });

  it('gives a copy that goes stale a time that it never had, whatever the clock says', () => {
    const out = moveBetween('postgres-primary', 'postgres-only') as never;
    for (const copy of [
      { kind: 'stale', sinceMs: 7 },
      { kind: 'complete', run: 'r', completedAtMs: 7, verifiedAtMs: null },
      { kind: 'complete', run: 'r', completedAtMs: 5, verifiedAtMs: 7 },
    ] as const) {
      expect(copyAfter(out, copy, 7)).toEqual({ kind: 'stale', sinceMs: 8 });
      expect(copyAfter(out, copy, 9)).toEqual({ kind: 'stale', sinceMs: 9 });
    }
  });

  it('knows when a rollback loses nothing', () => {
    expect(MODES.map((mode) => rollbackIsLossless(mode, complete))).toEqual([true, true, true, true, true]);
    expect(rollbackIsLossless('postgres-only', { kind: 'stale', sinceMs: 1 })).toBe(true);
    expect(rollbackIsLossless('postgres-primary', { kind: 'stale', sinceMs: 1 })).toBe(false);
  });

  it('walks the ladder and recognises its rungs', () => {
    expect(neighbour('mongo-only', 'rollback')).toBeNull();
    expect(neighbour('postgres-only', 'promote')).toBeNull();
    expect(neighbour('shadow-read', 'promote')).toBe('postgres-primary');
    expect(isMode('dual-write')).toBe(true);
    expect(isMode('toString')).toBe(false);
  });
});
