import { describe, expect, it } from 'vitest';
import type { ControlEntry, Json } from '../../../../db/replica.ts';
import { freshId, later, NOW, parallel } from '../../fixtures.ts';
import type { ReplicaSubject } from '../harness.ts';

const BODY: Json = {
  mode: 'dual-write',
  transition: null,
  settings: { 'shadow.rate': 200, $odd: true, text: 'ünïcode 🦊 "quoted"' },
  list: [1, 2.5, [null]],
};

export function booksCases({ store }: ReplicaSubject): void {
  const { books } = store;

  /** Whatever a case before has left. */
  async function control(): Promise<ControlEntry> {
    await books.createControl({ epoch: 1, revision: 1, body: BODY });
    const record = await books.readControl();
    if (record === null) throw new Error('no control record');
    return record;
  }

  it('creates the control record once, however many try', async () => {
    const before = await books.readControl();
    const created = await parallel(20, (index) =>
      books.createControl({ epoch: 1, revision: 1, body: { by: index } }),
    );
    expect(created.filter(Boolean)).toHaveLength(before === null ? 1 : 0);
    expect(await books.createControl({ epoch: 9, revision: 9, body: null })).toBe(false);
  });

  it('gives the control record back as it was stored', async () => {
    const { epoch, revision } = await control();
    const stored = { epoch, revision: revision + 1, body: BODY };
    expect(await books.replaceControl({ epoch, revision }, stored)).toBe(true);
    expect(await books.readControl()).toEqual(stored);
  });

  it('replaces it only as it was read', async () => {
    const { epoch, revision } = await control();
    const next = { epoch: epoch + 5, revision: revision + 5, body: 'never' };
    expect(await books.replaceControl({ epoch: epoch + 1, revision }, next)).toBe(false);
    expect(await books.replaceControl({ epoch, revision: revision + 1 }, next)).toBe(false);
    expect(await books.readControl()).toMatchObject({ epoch, revision });
  });

  it('lets one of 20 replacements win, and lets it be read at once', async () => {
    for (let round = 0; round < 5; round++) {
      const { epoch, revision } = await control();
      const won = await parallel(20, async (index) => {
        const next = { epoch: epoch + (index % 2), revision: revision + 1, body: { by: index } };
        return (await books.replaceControl({ epoch, revision }, next)) ? next : null;
      });
      const winners = won.filter((next) => next !== null);
      expect(winners).toHaveLength(1);
      expect(await books.readControl()).toEqual(winners[0]);
    }
  });

  describe('leases', () => {
    it('keeps one row for each instance, and never lowers its counter', async () => {
      const [instance, other] = [freshId(), freshId()];
      expect(await books.writeLease({ instance, counter: 3, body: { at: 3 } })).toBe(true);
      expect(await books.writeLease({ instance: other, counter: 1, body: null })).toBe(true);
      expect(await books.writeLease({ instance, counter: 2, body: { at: 2 } })).toBe(false);
      expect(await books.writeLease({ instance, counter: 3, body: { at: 3 } })).toBe(true);
      expect(await books.writeLease({ instance, counter: 4, body: BODY })).toBe(true);
      const rows = await books.readLeases();
      expect(rows.filter((row) => row.instance === instance)).toEqual([{ instance, counter: 4, body: BODY }]);
      await books.removeLease(instance);
      await books.removeLease(instance);
      const left = (await books.readLeases()).map((row) => row.instance);
      expect(left).toContain(other);
      expect(left).not.toContain(instance);
    });

    it('takes out a row at a counter only while it stands at it', async () => {
      const instance = freshId();
      const counters = async () =>
        (await books.readLeases()).filter((row) => row.instance === instance).map(({ counter }) => counter);
      for (const counter of [1, 2]) await books.writeLease({ instance, counter, body: null });
      await books.removeLease(instance, 1);
      expect(await counters()).toEqual([2]);
      await books.removeLease(instance, 2);
      expect(await counters()).toEqual([]);
      await books.removeLease(instance, 2);
    });

    it('ends at the highest counter, in whatever order heartbeats arrive', async () => {
      const instance = freshId();
      await parallel(20, (index) => books.writeLease({ instance, counter: (index * 7) % 20, body: index }));
      const rows = await books.readLeases();
      expect(rows.find((row) => row.instance === instance)?.counter).toBe(19);
    });
  });

  describe('log', () => {
    it('is read in order of time, page by page, from either end', async () => {
      const era = later(3_600_000 * freshYears());
      const entries = [3, 1, 2, 1].map((ms) => ({ id: freshId(), at: later(ms, era), body: { ms } }));
      for (const entry of entries) await books.log(entry);
      const sorted = entries.toSorted((a, b) => +a.at - +b.at || (a.id < b.id ? -1 : 1));
      const start = { at: era, id: '' };
      expect(await books.readLog({ limit: 10, after: start })).toEqual(sorted);
      const [first, second] = await books.readLog({ limit: 2, after: start });
      expect([first, second]).toEqual(sorted.slice(0, 2));
      if (second === undefined) throw new Error('no entry');
      expect(await books.readLog({ limit: 10, after: second })).toEqual(sorted.slice(2));
      const end = { at: later(4, era), id: '' };
      expect(await books.readLog({ limit: 4, after: end, newestFirst: true })).toEqual(sorted.toReversed());
      expect(await books.readLog({ limit: 1, newestFirst: true })).toEqual(sorted.slice(-1));
    });

    it('takes an entry once, however often it is logged', async () => {
      const entry = { id: freshId(), at: NOW, body: BODY };
      await parallel(5, () => books.log(entry));
      await books.log({ ...entry, body: 'another' });
      const entries = await books.readLog({ limit: 1_000 });
      expect(entries.filter(({ id }) => id === entry.id)).toEqual([entry]);
    });
  });

  describe('notes', () => {
    it('are kept by kind and key, counted, and deleted', async () => {
      const [kind, other] = [`kind-${freshId()}`, `kind-${freshId()}`];
      await books.putNote(kind, 'b', { why: 1 }, later(2));
      await books.putNote(kind, 'a', { why: 2 }, later(1));
      await books.putNote(other, 'a', null, NOW);
      await books.putNote(kind, 'b', BODY, later(5));
      expect(await books.notes(kind, { limit: 10 })).toEqual([
        { key: 'a', body: { why: 2 }, firstAt: later(1), lastAt: later(1), times: 1 },
        { key: 'b', body: BODY, firstAt: later(2), lastAt: later(5), times: 2 },
      ]);
      expect(await books.notes(kind, { limit: 1 })).toHaveLength(1);
      expect(await books.countNotes()).toMatchObject({ [kind]: 2, [other]: 1 });
      expect(await books.deleteNote(kind, 'b', 1)).toBe(false);
      expect(await books.deleteNote(kind, 'b', 2)).toBe(true);
      expect(await books.deleteNote(kind, 'b')).toBe(false);
      expect((await books.countNotes())[kind]).toBe(1);
    });

    it('count every time when put at once', async () => {
      const kind = `kind-${freshId()}`;
      await parallel(10, (index) => books.putNote(kind, 'k', index, NOW));
      expect(await books.notes(kind, { limit: 2 })).toMatchObject([{ key: 'k', times: 10 }]);
    });
  });
}

let years = 0;
/** A time of its own for each case that looks at all entries of a time, later than any other’s. */
function freshYears(): number {
  years += 1;
  return 8_766 * (10 + years);
}
