import { describe, expect, it } from 'vitest';
import { IdTaken } from '../../../db/errors.ts';
import type { RevocationReason, SessionRecord } from '../../../db/records.ts';
import {
  type Account,
  askReset,
  fakeHash,
  freshHash,
  freshId,
  later,
  liveIds,
  logIn,
  NOW,
  newSession,
  parallel,
  sessionOf,
  signUp,
} from '../fixtures.ts';
import type { Subject } from '../harness.ts';

export function sessionCases({ repo, readRaw }: Subject): void {
  const revoke = (sessionId: string, userId: string | null, reason: RevocationReason = 'logout') =>
    repo.revokeSession({ sessionId, userId, reason, now: later(5) });

  describe('openSession', () => {
    const open = (userId: string, sessionsMax: number, given = {}, replacesId: string | null = null) => {
      const session = newSession(userId, given);
      return repo.openSession({ session, replacesId, sessionsMax, now: later(5) }).then(() => session.id);
    };

    it('stores the session and leaves the others', async () => {
      const { user, session } = await signUp(repo);
      const second = newSession(user.id);
      await repo.openSession({ session: second, replacesId: null, sessionsMax: 5, now: NOW });
      expect(await sessionOf(repo, second.id)).toMatchObject(second);
      expect((await sessionOf(repo, session.id)).revokedAt).toBeNull();
    });

    it('revokes the one it replaces, another user’s too', async () => {
      const [{ user, session }, other] = [await signUp(repo), await signUp(repo)];
      await open(user.id, 5, {}, session.id);
      await open(user.id, 5, {}, other.session.id);
      for (const { id } of [session, other.session]) {
        expect(await sessionOf(repo, id)).toMatchObject({ revokedReason: 'replaced', revokedAt: later(5) });
      }
    });

    it('replaces what was revoked before, or is not there, without a change', async () => {
      const { user, session } = await signUp(repo);
      await revoke(session.id, null);
      await open(user.id, 5, {}, session.id);
      await open(user.id, 5, {}, freshId());
      expect((await sessionOf(repo, session.id)).revokedReason).toBe('logout');
    });

    it('revokes the least recently used live ones past the bound', async () => {
      const { user, session } = await signUp(repo);
      const recent = await logIn(repo, user.id, { rotatedAt: later(3) });
      const idle = await logIn(repo, user.id, { rotatedAt: later(-3) });
      const newest = await open(user.id, 2, { rotatedAt: later(5) });
      expect(await liveIds(repo, user.id)).toEqual([newest, recent.id]);
      for (const { id } of [session, idle]) {
        expect(await sessionOf(repo, id)).toMatchObject({ revokedReason: 'limit', revokedAt: later(5) });
      }
    });

    it('never revokes the new one, even as the least recently used and the only one allowed', async () => {
      const { user } = await signUp(repo);
      const newest = await open(user.id, 1, { rotatedAt: later(-9) });
      expect(await liveIds(repo, user.id)).toEqual([newest]);
    });

    it('makes no room for one that has ended already', async () => {
      const { user, session } = await signUp(repo);
      const ended = await open(user.id, 1, { revokedAt: later(5), revokedReason: 'logout' });
      expect(await liveIds(repo, user.id)).toEqual([session.id]);
      expect((await sessionOf(repo, ended)).revokedReason).toBe('logout');
    });

    it('stores that of a user who was erased meanwhile as ended, without personal data', async () => {
      const { user } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      const late = await open(user.id, 5);
      const ended = { userAgent: null, revokedAt: later(5), revokedReason: 'erased' };
      expect(await sessionOf(repo, late)).toMatchObject(ended);
      expect((await readRaw('session', late))?.['userAgent'] ?? null).toBeNull();
    });

    it('leaves no personal data of a user who is erased at the same time', async () => {
      for (let round = 0; round < 5; round += 1) {
        const { user } = await signUp(repo);
        const [, ...opened] = await Promise.all([
          repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW }),
          open(user.id, 50),
          open(user.id, 50),
        ]);
        for (const id of opened) expect(await sessionOf(repo, id)).toMatchObject({ userAgent: null });
      }
    });

    it('tells that the session is live, and which ones ended for it', async () => {
      const [{ user, session }, other] = [await signUp(repo), await signUp(repo)];
      const opening = { replacesId: other.session.id, sessionsMax: 1, now: later(5) };
      const first = await repo.openSession({ ...opening, session: newSession(user.id) });
      expect(first).toEqual({
        isLive: true,
        ended: [
          expect.objectContaining({ id: other.session.id, userId: other.user.id, revokedReason: 'replaced' }),
          expect.objectContaining({ id: session.id, userId: user.id, revokedReason: 'limit' }),
        ],
      });
      const again = await repo.openSession({ ...opening, sessionsMax: 9, session: newSession(user.id) });
      expect(again).toEqual({ isLive: true, ended: [] });
    });

    it('tells that it is not, and ends none for it, when its user’s sessions ended or it came to be erased', async () => {
      const end = [
        ({ user }: Account) => repo.endSessions({ userId: user.id, now: NOW }),
        ({ user }: Account) => repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW }),
        async ({ user }: Account) => {
          const { generation } = await askReset(repo, user.id);
          return repo.consumeReset({ userId: user.id, generation, newHash: fakeHash('new'), now: NOW });
        },
        ({ user, session }: Account) =>
          repo.changePassword({
            userId: user.id,
            sessionGeneration: 0,
            newHash: fakeHash('new'),
            keepSessionId: session.id,
            now: NOW,
          }),
      ];
      for (const ended of end) {
        const [account, other] = [await signUp(repo), await signUp(repo)];
        expect(await ended(account)).toBe('done');
        const session = newSession(account.user.id);
        const opening = { session, replacesId: other.session.id, sessionsMax: 1, now: later(5) };
        expect(await repo.openSession(opening)).toEqual({ isLive: false, ended: [] });
        expect(await repo.findSession(session.id)).not.toBeNull();
        expect((await sessionOf(repo, other.session.id)).revokedAt).toBeNull();
      }
    });

    it('tells of one that has ended already that it is not live', async () => {
      const { user } = await signUp(repo);
      const session = newSession(user.id, { revokedAt: later(5), revokedReason: 'logout' });
      const opened = await repo.openSession({ session, replacesId: null, sessionsMax: 5, now: later(5) });
      expect(opened.isLive).toBe(false);
    });

    it('counts neither revoked nor expired sessions, nor those of an older generation', async () => {
      const { user, session } = await signUp(repo);
      const dead = [
        await logIn(repo, user.id, { expiresAt: later(1), idleExpiresAt: later(1) }),
        await logIn(repo, user.id, { idleExpiresAt: later(1) }),
        await logIn(repo, user.id, { generation: 7 }),
      ];
      const ended = await logIn(repo, user.id);
      await revoke(ended.id, user.id);
      const newest = await open(user.id, 2, { rotatedAt: later(5) });
      const live = await repo.listSessions({ userId: user.id, now: later(5) });
      expect(live.map(({ id }) => id)).toEqual([newest, session.id]);
      for (const { id } of dead) expect((await sessionOf(repo, id)).revokedAt).toBeNull();
    });

    it('throws IdTaken for a known id, and then changes nothing', async () => {
      const { user, session } = await signUp(repo);
      const other = await logIn(repo, user.id);
      const before = await readRaw('session', session.id);
      await expect(open(user.id, 1, { id: session.id }, other.id)).rejects.toBeInstanceOf(IdTaken);
      expect(await readRaw('session', session.id)).toEqual(before);
      expect((await sessionOf(repo, other.id)).revokedAt).toBeNull();
    });

    it('keeps the bound for many that arrive at once', async () => {
      const { user } = await signUp(repo);
      await parallel(12, () => open(user.id, 3));
      expect((await liveIds(repo, user.id)).length).toBeLessThanOrEqual(3);
      const newest = await open(user.id, 3, { rotatedAt: later(9) });
      expect((await liveIds(repo, user.id))[0]).toBe(newest);
    });
  });

  describe('findSession', () => {
    it('returns a live one with its user', async () => {
      const { user, session } = await signUp(repo);
      expect(await repo.findSession(session.id)).toMatchObject({ session, user });
    });

    it('returns one that is revoked, expired, or of an erased user', async () => {
      const { user, session } = await signUp(repo);
      const expired = await logIn(repo, user.id, { expiresAt: later(-1), idleExpiresAt: later(-1) });
      await revoke(session.id, null);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      expect((await repo.findSession(session.id))?.session.revokedReason).toBe('logout');
      expect((await repo.findSession(expired.id))?.user?.deletedAt).toEqual(NOW);
    });

    it('returns null when there is no record', async () => {
      expect(await repo.findSession(freshId())).toBeNull();
    });
  });

  describe('listSessions', () => {
    it('lists the live ones, the most recently used first', async () => {
      const { user, session } = await signUp(repo);
      const newer = await logIn(repo, user.id, { rotatedAt: later(2) });
      const older = await logIn(repo, user.id, { rotatedAt: later(-2) });
      const listed = await repo.listSessions({ userId: user.id, now: NOW });
      expect(listed).toMatchObject([newer, session, older]);
    });

    it('lists those that were used at once by id, in the order that both stores have', async () => {
      const { user, session } = await signUp(repo);
      // In UTF-16, which JavaScript compares by, these two are the other way round.
      const [lower, higher] = [`\u{ff21}${freshId()}`, `\u{1f600}${freshId()}`];
      for (const id of [higher, lower]) await logIn(repo, user.id, { id, rotatedAt: session.rotatedAt });
      expect(await liveIds(repo, user.id)).toEqual([higher, lower, session.id]);
    });

    it('leaves out what is revoked, expired, idle too long, of an older generation, or another user’s', async () => {
      const { user, session } = await signUp(repo);
      await signUp(repo);
      await logIn(repo, user.id, { expiresAt: NOW });
      await logIn(repo, user.id, { idleExpiresAt: NOW });
      await logIn(repo, user.id, { generation: 7 });
      await revoke((await logIn(repo, user.id)).id, user.id);
      expect(await liveIds(repo, user.id)).toEqual([session.id]);
    });

    it('lists nothing for a tombstone and for nobody', async () => {
      const { user } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      expect(await liveIds(repo, user.id)).toEqual([]);
      expect(await liveIds(repo, freshId())).toEqual([]);
    });
  });

  describe('rotateSession', () => {
    const rotate = (sessionId: string, fromHash: string, toHash = freshHash()) =>
      repo.rotateSession({ sessionId, fromHash, toHash, now: later(5), idleExpiresAt: later(99_000) });

    it('replaces the token, remembers its predecessor, and returns the session as written', async () => {
      const { session } = await signUp(repo);
      const toHash = freshHash();
      const rotated = await rotate(session.id, session.tokenHash, toHash);
      expect(rotated).toMatchObject({
        ...session,
        tokenHash: toHash,
        previousTokenHash: session.tokenHash,
        rotation: 1,
        rotatedAt: later(5),
        idleExpiresAt: later(99_000),
      });
      expect(await sessionOf(repo, session.id)).toEqual(rotated);
    });

    it('returns null for a token that is not the current one, its predecessor included', async () => {
      const { session } = await signUp(repo);
      await rotate(session.id, session.tokenHash);
      const before = await readRaw('session', session.id);
      expect(await rotate(session.id, session.tokenHash)).toBeNull();
      expect(await rotate(session.id, freshHash())).toBeNull();
      expect(await readRaw('session', session.id)).toEqual(before);
    });

    it('returns null when the session is revoked or not there', async () => {
      const { session } = await signUp(repo);
      await revoke(session.id, null);
      expect(await rotate(session.id, session.tokenHash)).toBeNull();
      expect(await rotate(freshId(), session.tokenHash)).toBeNull();
    });

    describe('with the session as it was found', () => {
      const rotateKnown = (known: SessionRecord) =>
        repo.rotateSession({
          ...{ sessionId: known.id, known, fromHash: known.tokenHash, toHash: freshHash() },
          ...{ now: later(5), idleExpiresAt: later(99_000) },
        });

      it('writes over nothing that came between', async () => {
        const { user, session } = await signUp(repo);
        const known = await sessionOf(repo, session.id);
        const change = { sessionGeneration: 0, newHash: fakeHash('n'), keepSessionId: session.id, now: NOW };
        await repo.changePassword({ userId: user.id, ...change });
        const rotated = await rotateKnown(known);
        expect(rotated).toMatchObject({ generation: 1, rotation: 1 });
        expect(await sessionOf(repo, session.id)).toEqual(rotated);
      });

      it('returns null when it has been rotated or revoked meanwhile', async () => {
        const { session } = await signUp(repo);
        const first = await sessionOf(repo, session.id);
        const rotated = await rotate(session.id, session.tokenHash);
        expect(await rotateKnown(first)).toBeNull();
        expect(await sessionOf(repo, session.id)).toEqual(rotated);
        const second = await sessionOf(repo, session.id);
        await revoke(session.id, null);
        const revoked = await readRaw('session', session.id);
        expect(await rotateKnown(second)).toBeNull();
        expect(await readRaw('session', session.id)).toEqual(revoked);
      });

      it('is done by exactly one of many', async () => {
        const { session } = await signUp(repo);
        const known = await Promise.all([1, 2, 3, 4].map(() => sessionOf(repo, session.id)));
        const results = await Promise.all(known.map(rotateKnown));
        expect(results.filter((result) => result !== null)).toHaveLength(1);
      });
    });

    it('is done by exactly one of many that present one token at once', async () => {
      const { session } = await signUp(repo);
      const hashes = Array.from({ length: 20 }, freshHash);
      const results = await Promise.all(hashes.map((hash) => rotate(session.id, session.tokenHash, hash)));
      const won = hashes.filter((_, index) => results[index] !== null);
      expect(won).toHaveLength(1);
      expect(await sessionOf(repo, session.id)).toMatchObject({ tokenHash: won[0], rotation: 1 });
    });
  });

  describe('revokeSession', () => {
    it('revokes it, once, and the first reason stays', async () => {
      const { user, session } = await signUp(repo);
      expect(await revoke(session.id, user.id, 'reuse')).toBe(true);
      expect(await revoke(session.id, user.id, 'logout')).toBe(false);
      expect(await sessionOf(repo, session.id)).toMatchObject({
        revokedAt: later(5),
        revokedReason: 'reuse',
        userAgent: session.userAgent,
      });
    });

    it('answers true to exactly one of many at once', async () => {
      const { session } = await signUp(repo);
      const answers = await parallel(20, () => revoke(session.id, null));
      expect(answers.filter(Boolean)).toHaveLength(1);
    });

    it('answers false for another user’s session and for none, and revokes nothing', async () => {
      const [{ session }, other] = [await signUp(repo), await signUp(repo)];
      expect(await revoke(session.id, other.user.id)).toBe(false);
      expect(await revoke(freshId(), other.user.id)).toBe(false);
      expect((await sessionOf(repo, session.id)).revokedAt).toBeNull();
    });

    it('revokes whoever’s it is without a user', async () => {
      const { session } = await signUp(repo);
      expect(await revoke(session.id, null, 'operator')).toBe(true);
    });
  });
}
