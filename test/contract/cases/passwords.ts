import { describe, expect, it } from 'vitest';
import { fakeHash, freshId, later, liveIds, logIn, NOW, sessionOf, signUp, userOf } from '../fixtures.ts';
import type { Subject } from '../harness.ts';

export function passwordCases({ repo, readRaw }: Subject): void {
  describe('upgradeHash', () => {
    it('replaces the hash it knows, and nothing else', async () => {
      const { user } = await signUp(repo);
      const change = {
        userId: user.id,
        oldHash: user.passwordHash ?? '',
        newHash: fakeHash('better'),
        now: later(5),
      };
      expect(await repo.upgradeHash(change)).toBe(true);
      expect(await userOf(repo, user.id)).toMatchObject({
        ...user,
        passwordHash: fakeHash('better'),
        updatedAt: later(5),
      });
    });

    it('answers false when the hash is another, the user erased, or not there', async () => {
      const { user } = await signUp(repo);
      const erased = (await signUp(repo)).user;
      await repo.eraseUser({ userId: erased.id, sessionGeneration: null, now: NOW });
      const upgrade = (userId: string, oldHash: string | null) =>
        repo.upgradeHash({ userId, oldHash: oldHash ?? '', newHash: fakeHash('better'), now: NOW });
      expect(await upgrade(user.id, fakeHash('another'))).toBe(false);
      expect(await upgrade(erased.id, erased.passwordHash)).toBe(false);
      expect(await upgrade(freshId(), user.passwordHash)).toBe(false);
      expect((await userOf(repo, user.id)).passwordHash).toBe(user.passwordHash);
      expect((await userOf(repo, erased.id)).passwordHash).toBeNull();
    });
  });

  describe('changePassword', () => {
    const change = (userId: string, keepSessionId: string, sessionGeneration = 0) =>
      repo.changePassword({
        userId,
        sessionGeneration,
        newHash: fakeHash('new'),
        keepSessionId,
        now: later(5),
      });

    it('stores the hash, ends every session but the one kept, and retires reset tokens', async () => {
      const { user, session } = await signUp(repo);
      await logIn(repo, user.id);
      expect(await change(user.id, session.id)).toBe('done');
      expect(await userOf(repo, user.id)).toMatchObject({
        passwordHash: fakeHash('new'),
        sessionGeneration: 1,
        resetGeneration: 1,
        updatedAt: later(5),
      });
      expect(await liveIds(repo, user.id)).toEqual([session.id]);
      expect((await sessionOf(repo, session.id)).generation).toBe(1);
    });

    it('lets the kept session be rotated and ended afterwards', async () => {
      const { user, session } = await signUp(repo);
      await change(user.id, session.id);
      await repo.endSessions({ userId: user.id, now: NOW });
      expect(await liveIds(repo, user.id)).toEqual([]);
    });

    it('revives no session that was revoked, is of an older generation, or is another user’s', async () => {
      const { user, session } = await signUp(repo);
      const other = await signUp(repo);
      await repo.revokeSession({ sessionId: session.id, userId: user.id, reason: 'logout', now: NOW });
      expect(await change(user.id, other.session.id)).toBe('done');
      expect(await change(user.id, session.id, 1)).toBe('done');
      const old = await logIn(repo, user.id, { generation: 0 });
      expect(await change(user.id, old.id, 2)).toBe('done');
      expect(await liveIds(repo, user.id)).toEqual([]);
      expect((await sessionOf(repo, session.id)).revokedReason).toBe('logout');
      expect((await sessionOf(repo, other.session.id)).generation).toBe(0);
    });

    it('does without the session to keep when it is not there', async () => {
      const { user } = await signUp(repo);
      expect(await change(user.id, freshId())).toBe('done');
    });

    it('answers changed when another change came first, and then writes nothing', async () => {
      const { user, session } = await signUp(repo);
      await repo.endSessions({ userId: user.id, now: NOW });
      const before = await readRaw('user', user.id);
      expect(await change(user.id, session.id)).toBe('changed');
      expect(await readRaw('user', user.id)).toEqual(before);
      expect((await sessionOf(repo, session.id)).generation).toBe(0);
    });

    it('answers gone for a tombstone and for nobody', async () => {
      const { user, session } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      expect(await change(user.id, session.id, 1)).toBe('gone');
      expect(await change(freshId(), session.id)).toBe('gone');
    });
  });
}
