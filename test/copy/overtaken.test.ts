/** A copy that others have gone on without: its target has authority by now, or the mirror was off meanwhile. */
import { describe, expect, it } from 'vitest';
import { changeControl, toControl } from '../../cutover/control.ts';
import {
  listBackfills,
  resumeBackfill,
  rollbackBackfill,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import type { Store } from '../../db/port.ts';
import { moveMode } from '../cutover/support/control.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { openBench } from './support.ts';

const COMPLETE = { kind: 'complete', run: 'an earlier one', completedAtMs: 1, verifiedAtMs: null } as const;

describe('a run whose target has authority by now', async () => {
  const bench = await openBench();

  it('stands in the way of no copy in the other direction', async () => {
    await bench.insert('user', [legacyUser(), legacyUser()]);
    await bench.setMode('dual-write');
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    // Once more, as one may while the copy is complete; this process dies before the merge.
    await bench.setMode('shadow-read', COMPLETE);
    const death = async () => {
      throw new Error('killed');
    };
    const runId = 'the-killed-one';
    const dying = runBackfill(bench, { from: 'mongo', onBad: 'rollback', runId, beforeMerge: death });
    await expect(dying).rejects.toThrow('killed');
    await bench.setMode('postgres-primary', { kind: 'stale', sinceMs: 2 });
    // Neither way is open any more: nothing is ever written over the authority.
    await expect(resumeBackfill(bench, runId)).rejects.toMatchObject({ reason: 'not-authority' });
    await expect(rollbackBackfill(bench, runId)).rejects.toMatchObject({ reason: 'not-authority' });

    const result = await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(result).toMatchObject({ outcome: 'complete', to: 'mongo' });
    const runs = await listBackfills(bench);
    expect(runs.find(({ run }) => run === runId)).toMatchObject({ state: 'overtaken' });
    expect(await verify(bench)).toMatchObject({ clean: true });
  });
});

describe('a first copy that stood still before it had begun, while the mirror was off', async () => {
  const bench = await openBench();

  /** A store whose record `meanwhile` changes before it is read for the first time after the instances were waited for. */
  function late(store: Store, meanwhile: () => Promise<unknown>): Store {
    let due = false;
    let changed: Promise<unknown> | null = null;
    const books: Store['books'] = {
      ...store.books,
      async readLeases() {
        due = true;
        return store.books.readLeases();
      },
      async readControl() {
        // Whoever reads it, also beside the copy, reads what has been changed.
        if (due) changed ??= meanwhile();
        await changed;
        return store.books.readControl();
      },
    };
    return { ...store, books };
  }

  it.each([
    ['mongo', 'dual-write', 'mongo-only'],
    ['postgres', 'postgres-primary', 'postgres-only'],
  ] as const)('does not count as complete: from %s', async (from, mirrored, alone) => {
    await bench.setMode(mirrored, { kind: 'none' });
    const store = bench.stores[from];
    // The clocks do not tell the one staleness from the other.
    const at = new Date();
    const off = late(store, () => moveMode(store, alone, at.getTime()));
    const environment = { ...bench.environment, date: () => at };
    const stalled = { ...bench, environment, stores: { ...bench.stores, [from]: off } };
    const beforeMerge = async () => void (await moveMode(store, mirrored));
    const copying = runBackfill(stalled, { from, onBad: 'rollback', beforeMerge });
    await expect(copying).rejects.toMatchObject({ reason: 'mirror-gap' });
    expect(await bench.copyState()).toMatchObject({ kind: 'stale' });
  });
});

describe('a copy that ends while a change of authority is on its way', async () => {
  const bench = await openBench();

  /** Announced when the copy is about to be called complete, and taken back when somebody has read of it. */
  function announcing(store: Store, id: string): Store {
    let reads: number | null = null;
    const books: Store['books'] = {
      ...store.books,
      async readControl() {
        if (reads !== null && ++reads === 2) await changeControl(store, { kind: 'abort', id });
        return store.books.readControl();
      },
      async replaceControl(was, next) {
        const { copy } = toControl(next);
        if (reads === null && copy.kind === 'complete' && copy.run === id) {
          reads = 0;
          const transition = {
            id,
            target: 'postgres-primary',
            phase: 'announced',
            deadlineMs: 10_000,
          } as const;
          await changeControl(store, { kind: 'announce', transition, judged: was });
        }
        return store.books.replaceControl(was, next);
      },
    };
    return { ...store, books };
  }

  it('waits for that to end, and is complete where it was taken back', async () => {
    await bench.setMode('shadow-read', COMPLETE);
    const mongo = announcing(bench.stores.mongo, 'later');
    const scope = { ...bench, stores: { ...bench.stores, mongo } };
    const result = await runBackfill(scope, { from: 'mongo', onBad: 'rollback', runId: 'later' });
    expect(result).toMatchObject({ outcome: 'complete' });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', run: 'later' });
  });
});
