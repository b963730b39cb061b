import { describe, expect, it } from 'vitest';
import { hasLeft, mayPutAway } from '../../cutover/history.ts';
import { type CopyState, MODES, staleAfter, staleByHistory } from '../../cutover/mode.ts';
import type { Store } from '../../db/port.ts';
import { createMemoryStore } from '../support/memory/store.ts';
import { controlOf } from './support/shadow-world.ts';

const COMPLETE = { kind: 'complete', run: 'r', completedAtMs: 5, verifiedAtMs: null } as const;
const COUNTED: CopyState = { ...COMPLETE, history: 'a/1' };
const postgres = (history: string | null): Store =>
  createMemoryStore({ name: 'postgres', history: () => history });
const mongo = createMemoryStore({ name: 'mongo', history: () => 'never asked' });

describe('the history that a copy counts on', () => {
  it('has been left only where another one is told', async () => {
    const record = controlOf('shadow-read', { copy: COUNTED });
    const asked = ['a/1', 'a/2', null].map((history) => hasLeft(record, postgres(history)));
    expect(await Promise.all(asked)).toEqual([false, true, false]);
    expect(await hasLeft(record, null)).toBe(false);
    expect(await hasLeft(controlOf('shadow-read', { copy: COMPLETE }), postgres('a/2'))).toBe(false);
    const running: CopyState = { kind: 'stale', sinceMs: 1, run: 'r', history: 'a/1' };
    expect(await hasLeft(controlOf('dual-write', { copy: running }), postgres('a/2'))).toBe(true);
  });

  it('is of no matter where nothing is mirrored', async () => {
    const left = MODES.map((mode) => hasLeft(controlOf(mode, { copy: COUNTED }), postgres('a/2')));
    expect(await Promise.all(left)).toEqual(MODES.map((mode) => !mode.endsWith('only')));
  });

  it('what MongoDB has more is put away only by a PostgreSQL that can lack nothing', async () => {
    const primary = (copy: CopyState) => controlOf('postgres-primary', { copy });
    expect(await mayPutAway(primary(COUNTED), postgres('a/1'))).toBe(true);
    expect(await mayPutAway(primary(COUNTED), postgres('a/2'))).toBe(false);
    expect(await mayPutAway(primary(COUNTED), postgres(null))).toBe(true);
    expect(await mayPutAway(primary(COMPLETE), postgres('a/2'))).toBe(true);
    expect(await mayPutAway(primary({ kind: 'stale', sinceMs: 1 }), postgres('a/2'))).toBe(true);
    const behind = staleByHistory('postgres', COUNTED, 0);
    expect(behind).toEqual({ kind: 'stale', sinceMs: 6, authorityBehind: true });
    expect(await mayPutAway(primary(behind), postgres('a/2'))).toBe(false);
    // Until a backfill is complete: whatever else makes the copy stale once more.
    expect(staleAfter(behind, 9)).toEqual({ kind: 'stale', sinceMs: 9, authorityBehind: true });
  });

  it('what PostgreSQL has more as the mirror may always be put away', async () => {
    expect(staleByHistory('mongo', COUNTED, 9)).toEqual({ kind: 'stale', sinceMs: 9 });
    expect(await mayPutAway(controlOf('shadow-read', { copy: COUNTED }), mongo)).toBe(true);
  });
});
