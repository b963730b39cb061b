import { describe, expect, it } from 'vitest';
import { isLive } from '../../../db/transitions.ts';
import {
  askReset,
  fakeHash,
  freshHash,
  later,
  liveIds,
  logIn,
  NOW,
  newSession,
  signUp,
  userOf,
} from '../fixtures.ts';
import type { Subject } from '../harness.ts';

/** Either order may win each time: a few rounds meet both. */
const ROUNDS = Array.from({ length: 8 }, (_, index) => index);

export function raceCases({ repo }: Subject): void {
  async function isSessionLive(id: string): Promise<boolean> {
    const found = await repo.findSession(id);
    return found !== null && isLive(found.session, found.user, NOW);
  }

  describe('races', () => {
    it('logout is final, whatever rotation it meets', async () => {
      for (const _ of ROUNDS) {
        const { user, session } = await signUp(repo);
        const toHash = freshHash();
        const rotation = {
          sessionId: session.id,
          fromHash: session.tokenHash,
          toHash,
          now: NOW,
          idleExpiresAt: later(9),
        };
        const [, revoked] = await Promise.all([
          repo.rotateSession(rotation),
          repo.revokeSession({ sessionId: session.id, userId: user.id, reason: 'logout', now: NOW }),
        ]);
        expect(revoked).toBe(true);
        expect(await isSessionLive(session.id)).toBe(false);
        expect(await repo.rotateSession({ ...rotation, fromHash: toHash })).toBeNull();
      }
    });

    it('a login and the logout of the session it replaces both hold', async () => {
      for (const _ of ROUNDS) {
        const { user, session } = await signUp(repo);
        const next = newSession(user.id);
        await Promise.all([
          repo.openSession({ session: next, replacesId: session.id, sessionsMax: 2, now: NOW }),
          repo.revokeSession({ sessionId: session.id, userId: user.id, reason: 'logout', now: NOW }),
        ]);
        expect(await liveIds(repo, user.id)).toEqual([next.id]);
      }
    });

    it('no login whose password check began before a change or reset outlives it', async () => {
      for (const round of ROUNDS) {
        const { user, session } = await signUp(repo);
        const { generation } = await askReset(repo, user.id);
        const change =
          round % 2 === 0
            ? repo.consumeReset({ userId: user.id, generation, newHash: fakeHash('new'), now: NOW })
            : repo.changePassword({
                userId: user.id,
                sessionGeneration: 0,
                newHash: fakeHash('new'),
                keepSessionId: session.id,
                now: NOW,
              });
        const [opened, answer] = await Promise.all([logIn(repo, user.id), change]);
        expect(answer).toBe('done');
        expect(await isSessionLive(opened.id)).toBe(false);
        expect(await isSessionLive(session.id)).toBe(round % 2 === 1);
      }
    });

    it('no session outlives the erasure of its user', async () => {
      for (const _ of ROUNDS) {
        const { user } = await signUp(repo);
        const [opened] = await Promise.all([
          logIn(repo, user.id),
          repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW }),
        ]);
        expect(await isSessionLive(opened.id)).toBe(false);
      }
    });

    it('one of a password change and a reset wins, and its hash stays', async () => {
      for (const _ of ROUNDS) {
        const { user, session } = await signUp(repo);
        const { generation } = await askReset(repo, user.id);
        const [reset, changed] = await Promise.all([
          repo.consumeReset({ userId: user.id, generation, newHash: fakeHash('reset'), now: NOW }),
          repo.changePassword({
            userId: user.id,
            sessionGeneration: 0,
            newHash: fakeHash('changed'),
            keepSessionId: session.id,
            now: NOW,
          }),
        ]);
        expect([reset, changed].filter((answer) => answer === 'done')).toHaveLength(1);
        const hash = fakeHash(reset === 'done' ? 'reset' : 'changed');
        expect((await userOf(repo, user.id)).passwordHash).toBe(hash);
      }
    });

    it('an upgrade of the hash never undoes a reset', async () => {
      for (const _ of ROUNDS) {
        const { user } = await signUp(repo);
        const { generation } = await askReset(repo, user.id);
        const oldHash = user.passwordHash ?? '';
        await Promise.all([
          repo.upgradeHash({ userId: user.id, oldHash, newHash: fakeHash('upgraded'), now: NOW }),
          repo.consumeReset({ userId: user.id, generation, newHash: fakeHash('reset'), now: NOW }),
        ]);
        expect((await userOf(repo, user.id)).passwordHash).toBe(fakeHash('reset'));
      }
    });

    it('a verification is not lost among other changes of the user', async () => {
      for (const _ of ROUNDS) {
        const { user, token } = await signUp(repo);
        await Promise.all([
          repo.verifyEmail({ userId: user.id, tokenId: token.id, now: NOW }),
          repo.endSessions({ userId: user.id, now: NOW }),
          askReset(repo, user.id),
        ]);
        expect(await userOf(repo, user.id)).toMatchObject({
          isVerified: true,
          sessionGeneration: 1,
          resetGeneration: 2,
        });
      }
    });
  });
}
