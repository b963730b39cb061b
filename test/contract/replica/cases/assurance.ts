import { describe, expect, it } from 'vitest';
import { NOW, parallel, signUp } from '../../fixtures.ts';
import type { ReplicaSubject } from '../harness.ts';

export function assuranceCases({ store }: ReplicaSubject): void {
  const marking = store.at({ epoch: 1, pending: true });

  describe('assurance', () => {
    it('counts what is marked and the notes of each kind, and nothing else', async () => {
      await signUp(store.at({ epoch: 1, pending: false }));
      expect(await store.assurance()).toEqual({ marks: 0, notes: {} });
      await signUp(marking);
      await store.books.putNote('poison', 'a', 1, NOW);
      await store.books.putNote('poison', 'b', 1, NOW);
      await store.books.putNote('poison', 'b', 2, NOW);
      await store.books.putNote('conflict', 'a', 1, NOW);
      expect(await store.assurance()).toEqual({ marks: 3, notes: { poison: 2, conflict: 1 } });
      await store.replica.clearMarks(await store.replica.marks({ limit: 2 }));
      await store.books.deleteNote('conflict', 'a');
      expect(await store.assurance()).toEqual({ marks: 1, notes: { poison: 2 } });
    });

    it('knows of every write that was answered before it was asked, however many ask', async () => {
      for (let round = 0; round < 20; round += 1) {
        const { marks } = await store.assurance();
        const early = [store.assurance(), store.assurance()];
        const writing = signUp(marking);
        early.push(store.assurance());
        await writing;
        const late = await parallel(3, () => store.assurance());
        expect(late.map((each) => each.marks)).toEqual([marks + 3, marks + 3, marks + 3]);
        await Promise.all(early);
      }
    });
  });

  describe('poolUse', () => {
    it('says what is in use now', async () => {
      await parallel(4, () => store.ping());
      const { used, idle, waiting, max } = store.poolUse();
      expect({ used, waiting }).toEqual({ used: 0, waiting: 0 });
      expect(idle).toBeLessThanOrEqual(max);
    });
  });
}
