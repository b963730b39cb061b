import { describe, expect, it } from 'vitest';
import { freshId, later, logIn, newResetToken, newVerificationToken, signUp, userOf } from '../fixtures.ts';
import type { Subject } from '../harness.ts';

/** Records of an era expire long before those of every other case. */
function eraOf(year: number): Date {
  return new Date(`${year}-01-01T00:00:00.001Z`);
}

export function purgeCases({ repo, readRaw }: Subject): void {
  async function addExpiring(expiresAt: Date) {
    const { user } = await signUp(repo);
    const verification = newVerificationToken(user.id, { expiresAt });
    await repo.addVerificationToken(verification);
    const reset = newResetToken(user.id, { expiresAt });
    await repo.requestReset({ token: reset, decoy: false, now: expiresAt });
    const session = await logIn(repo, user.id, { expiresAt, idleExpiresAt: expiresAt });
    const stored = async () =>
      Promise.all([
        readRaw('verificationToken', verification.id),
        readRaw('resetToken', reset.id),
        readRaw('session', session.id),
      ]).then((records) => records.map((record) => record !== null));
    return { user, stored };
  }

  describe('purge', () => {
    it('deletes what expired before the time given, not at it, and never a user', async () => {
      const era = eraOf(1981);
      const before = await addExpiring(later(-1, era));
      const at = await addExpiring(era);
      const counts = await repo.purge({ expiredBefore: era, limit: 1_000 });
      expect(counts).toEqual({ verificationTokens: 1, resetTokens: 1, sessions: 1 });
      expect(await before.stored()).toEqual([false, false, false]);
      expect(await at.stored()).toEqual([true, true, true]);
      expect(await userOf(repo, before.user.id)).toMatchObject({ email: before.user.email });
      await repo.purge({ expiredBefore: later(1, era), limit: 1_000 });
    });

    it('deletes at most the limit of each, until nothing is left', async () => {
      const era = eraOf(1971);
      for (let index = 0; index < 3; index++) await addExpiring(later(-1, era));
      const purge = () => repo.purge({ expiredBefore: era, limit: 2 });
      expect(await purge()).toEqual({ verificationTokens: 2, resetTokens: 2, sessions: 2 });
      expect(await purge()).toEqual({ verificationTokens: 1, resetTokens: 1, sessions: 1 });
      expect(await purge()).toEqual({ verificationTokens: 0, resetTokens: 0, sessions: 0 });
    });

    it('goes by when a session ends for good, not by when it idles out or was revoked', async () => {
      const era = eraOf(1961);
      const { user } = await signUp(repo);
      const idle = await logIn(repo, user.id, { idleExpiresAt: later(-1, era) });
      await repo.revokeSession({ sessionId: idle.id, userId: null, reason: 'logout', now: later(-1, era) });
      await repo.purge({ expiredBefore: era, limit: 1_000 });
      expect(await readRaw('session', idle.id)).not.toBeNull();
      expect(await readRaw('session', freshId())).toBeNull();
    });
  });
}
