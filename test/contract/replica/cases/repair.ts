import { describe, expect, it } from 'vitest';
import type { New, UserRecord } from '../../../../db/records.ts';
import { later, logIn, NOW, signUp } from '../../fixtures.ts';
import type { ReplicaSubject } from '../harness.ts';
import { applyTo, heldBy, next, sessionAt, tombstoneAt, userAt, verificationAt } from '../records.ts';

export function repairCases({ store, readRaw }: ReplicaSubject): void {
  const { replica } = store;
  const repo = store.at({ epoch: 1, pending: false });
  const AT_FIRST = { epoch: 1, version: 1 };

  it('holds no user before there is one, and then does', async () => {
    const fresh = (await replica.scan('user', { after: null, limit: 1 })).records.length === 0;
    expect(await replica.holdsUsers()).toBe(!fresh);
    await signUp(repo);
    expect(await replica.holdsUsers()).toBe(true);
  });

  describe('touch', () => {
    it('raises the stamp, marks, and changes nothing else', async () => {
      const { user, session } = await signUp(repo);
      const to = { epoch: 3, version: 9 };
      expect(await replica.touch('user', user.id, { expected: AT_FIRST, to })).toBe(true);
      const held = await heldBy(store, 'user', user.id);
      expect(held.record).toEqual({ ...user, stamp: to });
      expect(held.pendingAt).toBeInstanceOf(Date);
      expect(await replica.touch('session', session.id, { expected: AT_FIRST, to })).toBe(true);
      expect((await heldBy(store, 'session', session.id)).record).toEqual({ ...session, stamp: to });
    });

    it('does nothing to a record that moved or is not there', async () => {
      const { user } = await signUp(repo);
      const to = { epoch: 1, version: 3 };
      const expected = { epoch: 1, version: 2 };
      expect(await replica.touch('user', user.id, { expected, to })).toBe(false);
      expect(await replica.touch('user', 'f'.repeat(24), { expected, to })).toBe(false);
      expect(await heldBy(store, 'user', user.id)).toEqual({
        record: { ...user, stamp: AT_FIRST },
        pendingAt: null,
      });
    });

    it('never takes a stamp back', async () => {
      const { user } = await signUp(repo);
      for (const to of [AT_FIRST, { epoch: 0, version: 9 }]) {
        const touched = replica.touch('user', user.id, { expected: AT_FIRST, to });
        await expect(touched).rejects.toBeInstanceOf(RangeError);
      }
    });

    it('makes another content under an equal stamp give way', async () => {
      const { user } = await signUp(repo);
      await replica.touch('user', user.id, { expected: AT_FIRST, to: { epoch: 1, version: 2 } });
      const { record } = await heldBy(store, 'user', user.id);
      expect(await applyTo(store, 'user', { ...record, name: 'from elsewhere' })).toEqual(['differs']);
    });
  });

  describe('moveAside', () => {
    const move = { expected: AT_FIRST, reason: 'orphan', now: NOW };

    it('moves the record into the log', async () => {
      const token = verificationAt([1, 1], 'e'.repeat(24));
      await applyTo(store, 'verificationToken', token);
      expect(await replica.moveAside('verificationToken', token.id, move)).toBe(true);
      expect(await readRaw('verificationToken', token.id)).toBeNull();
      const moved = (await replica.asides({ limit: 50 })).filter(({ id }) => id === token.id);
      expect(moved).toEqual([
        { entity: 'verificationToken', id: token.id, stamp: AT_FIRST, reason: 'orphan', movedAt: NOW },
      ]);
      expect(await replica.moveAside('verificationToken', token.id, move)).toBe(false);
    });

    it('leaves a record alone that moved on, and the log too', async () => {
      const { user } = await signUp(repo);
      await repo.endSessions({ userId: user.id, now: NOW });
      expect(await replica.moveAside('user', user.id, move)).toBe(false);
      expect(await readRaw('user', user.id)).not.toBeNull();
      expect((await replica.asides({ limit: 50 })).filter(({ id }) => id === user.id)).toEqual([]);
    });

    it('takes a user’s sessions along, and gives the address free', async () => {
      const { user, session } = await signUp(repo);
      const second = await logIn(repo, user.id);
      expect(await replica.moveAside('user', user.id, move)).toBe(true);
      for (const { id } of [session, second]) expect(await readRaw('session', id)).toBeNull();
      const ids = (await replica.asides({ limit: 50 })).map(({ id }) => id);
      expect(ids).toEqual(expect.arrayContaining([user.id, session.id, second.id]));
      await signUp(repo, { email: user.email });
    });
  });

  describe('what was moved aside of a user', () => {
    const move = { expected: AT_FIRST, reason: 'orphan', now: NOW };
    const idsAside = async () => (await replica.asides({ limit: 50 })).map(({ id }) => id);

    it('goes when the user is erased, and only that', async () => {
      const [gone, kept] = [await signUp(repo), await signUp(repo)];
      for (const { token } of [gone, kept]) await replica.moveAside('verificationToken', token.id, move);
      expect(await repo.eraseUser({ userId: gone.user.id, sessionGeneration: null, now: NOW })).toBe('done');
      expect(await idsAside()).toContain(kept.token.id);
      expect(await idsAside()).not.toContain(gone.token.id);
    });

    it('goes when the tombstone is applied, or once more', async () => {
      const user = userAt([1, 1]);
      const tombstone = tombstoneAt([1, 2], user, NOW);
      await applyTo(store, 'user', user);
      for (const outcome of ['applied', 'same']) {
        const session = sessionAt([1, 1], user.id);
        await applyTo(store, 'session', session);
        await replica.moveAside('session', session.id, move);
        expect(await idsAside()).toContain(session.id);
        expect(await applyTo(store, 'user', tombstone)).toEqual([outcome]);
        expect(await idsAside()).not.toContain(session.id);
      }
    });
  });

  describe('releaseEmailKey', () => {
    const swapped = (user: UserRecord, { email, emailKey }: New<UserRecord>) =>
      next(user, [1, 2], { email, emailKey });

    it('breaks a cycle of clashes', async () => {
      const [a, b] = [userAt([1, 1]), userAt([1, 1])];
      await applyTo(store, 'user', a, b);
      const [newA, newB] = [swapped(a, b), swapped(b, a)];
      expect(await applyTo(store, 'user', newA, newB)).toEqual(['clash', 'clash']);
      expect(await replica.releaseEmailKey(a.id, { expected: AT_FIRST })).toBe(true);
      expect(await replica.releaseEmailKey(a.id, { expected: AT_FIRST })).toBe(true);
      expect((await heldBy(store, 'user', a.id)).record.stamp).toEqual(AT_FIRST);
      expect(await applyTo(store, 'user', newB)).toEqual(['applied']);
      expect(await applyTo(store, 'user', newA)).toEqual(['applied']);
      expect((await heldBy(store, 'user', a.id)).record).toEqual(newA);
      expect((await heldBy(store, 'user', b.id)).record).toEqual(newB);
      // The key is held again: nobody else gets it.
      const rival = userAt([1, 1], { email: newA.email ?? '' });
      expect(await replica.apply('user', [rival], { epoch: 9, expiredBefore: new Date(0) })).toEqual([
        { kind: 'clash', holderId: a.id },
      ]);
    });

    it('gives the same address back with a newer state', async () => {
      const user = userAt([1, 1]);
      await applyTo(store, 'user', user);
      await replica.releaseEmailKey(user.id, { expected: AT_FIRST });
      const newer = next(user, [1, 2], { updatedAt: later(1) });
      expect(await applyTo(store, 'user', newer)).toEqual(['applied']);
      expect((await heldBy(store, 'user', user.id)).record).toEqual(newer);
      expect(await applyTo(store, 'user', userAt([1, 1], { email: user.email ?? '' }))).toEqual(['clash']);
    });

    it('keeps the mark, and leaves a record alone that moved on', async () => {
      const marking = store.at({ epoch: 1, pending: true });
      const { user } = await signUp(marking);
      expect(await replica.releaseEmailKey(user.id, { expected: AT_FIRST })).toBe(true);
      expect((await heldBy(store, 'user', user.id)).pendingAt).toBeInstanceOf(Date);
      const { user: other } = await signUp(marking);
      expect(await replica.releaseEmailKey(other.id, { expected: { epoch: 1, version: 2 } })).toBe(false);
      expect((await marking.findUser(other.id))?.emailKey).toBe(other.emailKey);
    });
  });
}
