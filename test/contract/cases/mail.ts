import { describe, expect, it } from 'vitest';
import type { MailPurpose } from '../../../db/port.ts';
import { freshId, later, newResetToken, newVerificationToken, parallel, signUp } from '../fixtures.ts';
import type { Subject } from '../harness.ts';

/** Long before every other case, so that only mail of these cases is due. */
const ERA = new Date('1991-05-05T00:00:00.001Z');

export function mailCases({ repo, readRaw }: Subject): void {
  const times = (dueMs: number | null, expiresMs: number) => ({
    mailDueAt: dueMs === null ? null : later(dueMs, ERA),
    expiresAt: later(expiresMs, ERA),
  });

  async function addDue(purpose: MailPurpose, dueMs: number | null, expiresMs = 9_000): Promise<string> {
    if (purpose === 'verificationToken') {
      const token = newVerificationToken(freshId(), times(dueMs, expiresMs));
      await repo.addVerificationToken(token);
      return token.id;
    }
    const { user } = await signUp(repo);
    const token = newResetToken(user.id, times(dueMs, expiresMs));
    await repo.requestReset({ token, decoy: false, now: ERA });
    return token.id;
  }

  describe('listDueMail', () => {
    it('lists tokens of both kinds whose mail is due, the longest due first, up to the limit', async () => {
      const ids = [
        await addDue('resetToken', -500),
        await addDue('verificationToken', -400),
        await addDue('resetToken', -300),
      ];
      const future = await addDue('verificationToken', 8_000);
      const settled = await addDue('verificationToken', null);
      const expired = await addDue('verificationToken', -450, -400);
      const listed = await repo.listDueMail({ now: ERA, limit: 1_000 });
      const mine = listed.filter(({ token }) => [...ids, future, settled, expired].includes(token.id));
      expect(mine.map(({ token }) => token.id)).toEqual(ids);
      expect(mine.map(({ purpose }) => purpose)).toEqual(['resetToken', 'verificationToken', 'resetToken']);
      expect(mine[1]?.token).toMatchObject({ ...times(-400, 9_000), nonce: expect.any(String) });
      const limited = await repo.listDueMail({ now: ERA, limit: 2 });
      expect(limited).toEqual(listed.slice(0, 2));
    });
  });

  describe('moveMailDue', () => {
    const purposes: readonly MailPurpose[] = ['verificationToken', 'resetToken'];

    it.each(purposes)('moves or settles the time of a %s', async (purpose) => {
      const tokenId = await addDue(purpose, 7_000);
      const [first, second] = [later(7_000, ERA), later(7_500, ERA)];
      expect(await repo.moveMailDue({ purpose, tokenId, from: first, to: second })).toBe(true);
      expect((await readRaw(purpose, tokenId))?.['mailDueAt']).toEqual(second);
      expect(await repo.moveMailDue({ purpose, tokenId, from: second, to: null })).toBe(true);
      expect((await readRaw(purpose, tokenId))?.['mailDueAt'] ?? null).toBeNull();
    });

    it.each(purposes)(
      'answers false when another moved the %s first, or it is not there',
      async (purpose) => {
        const tokenId = await addDue(purpose, 7_000);
        const [from, to] = [later(7_001, ERA), null];
        expect(await repo.moveMailDue({ purpose, tokenId, from, to })).toBe(false);
        expect(await repo.moveMailDue({ purpose, tokenId: freshId(), from, to })).toBe(false);
        expect((await readRaw(purpose, tokenId))?.['mailDueAt']).toEqual(later(7_000, ERA));
      },
    );

    it('lets exactly one of many instances claim a mail', async () => {
      const tokenId = await addDue('resetToken', 7_000);
      const claims = await parallel(10, (index) =>
        repo.moveMailDue({
          purpose: 'resetToken',
          tokenId,
          from: later(7_000, ERA),
          to: later(8_000 + index, ERA),
        }),
      );
      expect(claims.filter(Boolean)).toHaveLength(1);
    });
  });
}
