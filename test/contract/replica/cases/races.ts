import { describe, expect, it } from 'vitest';
import { NOW, parallel, signUp } from '../../fixtures.ts';
import type { ReplicaSubject } from '../harness.ts';
import { applyTo, heldBy, next, sessionAt, UNDER, userAt } from '../records.ts';

/** Either order may win each time: a few rounds meet both. */
const ROUNDS = Array.from({ length: 8 }, (_, index) => index);

export function raceCases({ store }: ReplicaSubject): void {
  const { replica } = store;

  describe('races', () => {
    it('appliers of different states end at the newest', async () => {
      for (const round of ROUNDS) {
        const first = userAt([1, 1]);
        const states = [1, 2, 3, 4].map((version) => next(first, [1, version], { name: `v${version}` }));
        const order = round % 2 === 0 ? states : states.toReversed();
        await Promise.all(order.map((state) => applyTo(store, 'user', state)));
        expect((await heldBy(store, 'user', first.id)).record).toEqual(states[3]);
      }
    });

    it('appliers of the same batch in different orders all get through', async () => {
      const users = Array.from({ length: 40 }, () => userAt([1, 1]));
      await Promise.all(
        ROUNDS.map(async (round) => {
          const newer = users.map((user) => next(user, [1, 2 + round], { name: `round ${round}` }));
          const kinds = await applyTo(store, 'user', ...(round % 2 === 0 ? newer : newer.toReversed()));
          expect(kinds.every((kind) => kind === 'applied' || kind === 'ahead')).toBe(true);
        }),
      );
      const { found } = await replica.read(
        'user',
        users.map(({ id }) => id),
      );
      expect(new Set([...found.values()].map(({ record }) => record.name))).toEqual(new Set(['round 7']));
    });

    it('appliers of users and of their sessions do not stop each other', async () => {
      const users = Array.from({ length: 30 }, () => userAt([1, 1]));
      await applyTo(store, 'user', ...users);
      await Promise.all(
        ROUNDS.map((round) =>
          round % 2 === 0
            ? applyTo(store, 'user', ...users.map((user) => next(user, [1, 2 + round])))
            : applyTo(store, 'session', ...users.toReversed().map(({ id }) => sessionAt([1, 1], id))),
        ),
      );
      expect((await heldBy(store, 'user', users[0]?.id ?? '')).record.stamp.version).toBe(8);
    });

    it('an apply never undoes a live write of a later epoch', async () => {
      for (const _ of ROUNDS) {
        const { user } = await signUp(store.at({ epoch: 1, pending: false }));
        const copy = { ...user, sessionGeneration: 10, stamp: { epoch: 1, version: 5 } };
        const [ended] = await Promise.all([
          store.at({ epoch: 2, pending: false }).endSessions({ userId: user.id, now: NOW }),
          applyTo(store, 'user', copy),
        ]);
        expect(ended).toBe('done');
        const { record } = await heldBy(store, 'user', user.id);
        expect(record.stamp.epoch).toBe(2);
        expect([1, 11]).toContain(record.sessionGeneration);
      }
    });

    it('a live write keeps its mark, whatever clear of the state before it meets', async () => {
      const repo = store.at({ epoch: 1, pending: true });
      for (const _ of ROUNDS) {
        const { user } = await signUp(repo);
        const mirrored = { entity: 'user', id: user.id, stamp: { epoch: 1, version: 1 } } as const;
        await Promise.all([
          replica.clearMarks([mirrored]),
          repo.endSessions({ userId: user.id, now: NOW }),
          replica.clearMarks([mirrored]),
        ]);
        const held = await heldBy(store, 'user', user.id);
        expect(held.record.stamp.version).toBe(2);
        expect(held.pendingAt).toBeInstanceOf(Date);
      }
    });

    it('one of many touches of one state wins', async () => {
      const { user } = await signUp(store.at({ epoch: 1, pending: false }));
      const stamps = { expected: { epoch: 1, version: 1 }, to: { epoch: 2, version: 2 } };
      const touched = await parallel(10, () => replica.touch('user', user.id, stamps));
      expect(touched.filter(Boolean)).toHaveLength(1);
    });

    it('one of many moves aside wins, and its record is in the log once', async () => {
      const { user } = await signUp(store.at({ epoch: 1, pending: false }));
      const move = { expected: { epoch: 1, version: 1 }, reason: 'race', now: NOW };
      const moved = await parallel(10, () => replica.moveAside('user', user.id, move));
      expect(moved.filter(Boolean)).toHaveLength(1);
      const log = await replica.asides({ limit: 100 });
      expect(log.filter(({ id }) => id === user.id)).toHaveLength(1);
    });

    it('two users never get one key', async () => {
      for (const _ of ROUNDS) {
        const email = userAt([1, 1]).email ?? '';
        const rivals = [userAt([1, 1], { email }), userAt([1, 1], { email })];
        const kinds = await Promise.all(rivals.map((user) => applyTo(store, 'user', user, userAt([1, 1]))));
        expect(kinds.map(([first]) => first).sort()).toEqual(['applied', 'clash']);
        expect(kinds.map(([, second]) => second)).toEqual(['applied', 'applied']);
      }
    });

    it('a batch is refused once another authority has been recorded', async () => {
      const { books } = store;
      await books.createControl({ epoch: 1, revision: 1, body: null });
      for (const _ of ROUNDS) {
        const control = await books.readControl();
        if (control === null) throw new Error('no control record');
        const { epoch, revision } = control;
        const user = userAt([epoch, 1]);
        const flip = books.replaceControl(control, { epoch: epoch + 1, revision: revision + 1, body: null });
        await Promise.allSettled([flip, replica.apply('user', [user], { ...UNDER, epoch })]);
        const late = replica.apply('user', [next(user, [epoch, 2])], { ...UNDER, epoch });
        await expect(late).rejects.toMatchObject({ name: 'StaleEpoch', stored: epoch + 1 });
      }
    });
  });
}
