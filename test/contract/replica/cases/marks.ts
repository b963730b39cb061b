import { describe, expect, it } from 'vitest';
import { encodeId } from '../../../../db/ids.ts';
import { ENTITIES } from '../../../../db/records.ts';
import type { Mark, Marked } from '../../../../db/replica.ts';
import { eventually } from '../../../support/wait.ts';
import { askReset, freshId, NOW, signUp, userOf } from '../../fixtures.ts';
import type { ReplicaSubject } from '../harness.ts';
import { applyTo, heldBy, unmarkAll, userAt } from '../records.ts';

export function markCases({ store }: ReplicaSubject): void {
  const { replica } = store;
  const marking = store.at({ epoch: 1, pending: true });

  /** So that the next mark is younger than this one. */
  async function tick(): Promise<void> {
    const start = Date.now();
    await eventually(() => Date.now() > start + 1, { intervalMs: 1 });
  }

  describe('marks', () => {
    it('names what is marked, of every kind, the longest marked first', async () => {
      await unmarkAll(store);
      expect(await replica.countMarks()).toEqual({ count: 0, oldestAt: null });
      const { user, token, session } = await signUp(marking);
      await tick();
      const reset = await askReset(marking, user.id);
      await signUp(store.at({ epoch: 1, pending: false }));
      const marks = await replica.marks({ limit: 10 });
      expect(new Set(marks.slice(0, 3).map(({ id }) => id))).toEqual(
        new Set([user.id, token.id, session.id]),
      );
      expect(marks[3]?.id).toBe(reset.id);
      expect(new Set(marks.map(({ entity }) => entity))).toEqual(new Set(ENTITIES));
      expect(marks.find(({ id }) => id === user.id)?.stamp).toEqual({ epoch: 1, version: 2 });
      const [oldest] = marks;
      expect(await replica.countMarks()).toEqual({ count: 4, oldestAt: oldest?.markedAt });
      expect(await replica.marks({ limit: 2 })).toEqual(marks.slice(0, 2));
    });

    it('goes on past a mark, so that those that stay keep no other from being seen', async () => {
      await unmarkAll(store);
      for (let index = 0; index < 4; index++) await signUp(marking);
      const all = await replica.marks({ limit: 100 });
      const seen: Mark[] = [];
      for (let page = 0; page < 20; page++) {
        const after = seen.at(-1);
        const marks = await replica.marks({ limit: 1, ...(after === undefined ? {} : { after }) });
        seen.push(...marks);
        if (marks.length === 0) break;
      }
      expect(seen).toEqual(all);
      expect(seen).toHaveLength(12);
    });

    it('leaves out marks younger than asked for', async () => {
      await unmarkAll(store);
      const { user } = await signUp(marking);
      const { pendingAt } = await heldBy(store, 'user', user.id);
      await tick();
      await signUp(marking);
      const marks = await replica.marks({ limit: 100, olderThan: pendingAt ?? NOW });
      expect(marks.map(({ id }) => id)).toContain(user.id);
      expect(marks.length).toBeLessThanOrEqual(3);
    });

    it('clears exactly the stamps given, and counts them', async () => {
      await unmarkAll(store);
      const { user, token, session } = await signUp(marking);
      const before = await replica.marks({ limit: 10 });
      await marking.endSessions({ userId: user.id, now: NOW });
      const unknown = { entity: 'user', id: 'f'.repeat(24), stamp: { epoch: 1, version: 1 } } as const;
      expect(await replica.clearMarks([...before, unknown])).toBe(2);
      const left = await replica.marks({ limit: 10 });
      expect(left.map(({ id, stamp }) => [id, stamp.version])).toEqual([[user.id, 2]]);
      expect((await heldBy(store, 'verificationToken', token.id)).pendingAt).toBeNull();
      expect((await heldBy(store, 'session', session.id)).pendingAt).toBeNull();
      const [mark] = left;
      if (mark === undefined) throw new Error('no mark');
      const otherEpoch = { ...mark, stamp: { epoch: 2, version: 2 } };
      expect(await replica.clearMarks([otherEpoch])).toBe(0);
      expect(await replica.clearMarks([mark])).toBe(1);
      expect(await replica.clearMarks([mark])).toBe(0);
      expect(await replica.clearMarks([])).toBe(0);
      expect(await userOf(marking, user.id)).toMatchObject({ stamp: { epoch: 1, version: 2 } });
    });

    it('of many under as many stamps, clears those that have not moved, whatever they are called', async () => {
      await unmarkAll(store);
      const named = ['$_id', '$$REMOVE', 7, { a: 1, b: '$version' }, new Date(0)].map(encodeId);
      const users = [...named, ...Array.from({ length: 20 }, freshId)].map((id, place) =>
        userAt([1, place + 1], { id }),
      );
      expect(new Set(await applyTo(store, 'user', ...users))).toEqual(new Set(['applied']));
      const raise = async ({ id, stamp }: Marked): Promise<Marked> => {
        const to = { epoch: stamp.epoch, version: stamp.version + 1 };
        expect(await replica.touch('user', id, { expected: stamp, to })).toBe(true);
        return { entity: 'user', id, stamp: to };
      };
      const marks: Marked[] = [];
      for (const { id, stamp } of users) marks.push(await raise({ entity: 'user', id, stamp }));
      // To the very version that the next one was given with.
      const moved: Marked[] = [];
      for (const mark of marks.filter((_, place) => place % 3 === 0)) moved.push(await raise(mark));
      expect(await replica.clearMarks(marks)).toBe(marks.length - moved.length);
      const left = await replica.marks({ limit: 100 });
      expect(new Map(left.map(({ id, stamp }) => [id, stamp]))).toEqual(
        new Map(moved.map(({ id, stamp }) => [id, stamp])),
      );
      const { found } = await replica.read(
        'user',
        users.map(({ id }) => id),
      );
      expect(users.map(({ id }) => found.get(id)?.record)).toEqual(
        users.map((user, place) => {
          const version = user.stamp.version + (place % 3 === 0 ? 2 : 1);
          return { ...user, stamp: { epoch: 1, version } };
        }),
      );
      expect(await replica.clearMarks(left)).toBe(moved.length);
    });

    it('a write after a clear marks anew', async () => {
      const { user } = await signUp(marking);
      await unmarkAll(store);
      await marking.endSessions({ userId: user.id, now: NOW });
      expect((await heldBy(store, 'user', user.id)).pendingAt).toBeInstanceOf(Date);
    });
  });
}
