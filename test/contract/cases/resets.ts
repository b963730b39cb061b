import { describe, expect, it } from 'vitest';
import { IdTaken } from '../../../db/errors.ts';
import {
  askReset,
  fakeHash,
  freshId,
  freshToken,
  later,
  liveIds,
  NOW,
  newResetToken,
  parallel,
  signUp,
  userOf,
} from '../fixtures.ts';
import type { Subject } from '../harness.ts';

export function resetCases({ repo, readRaw }: Subject): void {
  const consume = (userId: string, generation: number, newHash = fakeHash('new')) =>
    repo.consumeReset({ userId, generation, newHash, now: later(5) });

  describe('requestReset', () => {
    it('raises the generation and stores the token under it', async () => {
      const { user } = await signUp(repo);
      const presented = freshToken();
      const token = newResetToken(user.id, { tokenHash: presented.hash, mailDueAt: later(60_000) });
      expect(await repo.requestReset({ token, decoy: false, now: later(5) })).toBe('done');
      const found = await repo.findResetToken(presented);
      expect(found?.token).toMatchObject({ ...token, generation: 1 });
      expect(found?.user).toMatchObject({ resetGeneration: 1, sessionGeneration: 0, updatedAt: later(5) });
      expect(found?.superseded).toBe(false);
    });

    it('gives each of many that arrive at once a generation of its own, of which one is current', async () => {
      const { user } = await signUp(repo);
      const asked = await parallel(10, () => askReset(repo, user.id));
      expect(new Set(asked.map((token) => token.generation)).size).toBe(10);
      expect((await userOf(repo, user.id)).resetGeneration).toBe(10);
    });

    it('answers gone for a tombstone and for nobody, and stores nothing', async () => {
      const { user } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      for (const userId of [user.id, freshId()]) {
        const token = newResetToken(userId);
        expect(await repo.requestReset({ token, decoy: false, now: NOW })).toBe('gone');
        expect(await readRaw('resetToken', token.id)).toBeNull();
      }
    });

    it('stores a decoy without a user', async () => {
      const presented = freshToken();
      const token = newResetToken(freshId(), { tokenHash: presented.hash });
      expect(await repo.requestReset({ token, decoy: true, now: NOW })).toBe('done');
      expect(await repo.findResetToken(presented)).toMatchObject({ token, user: null, superseded: false });
      expect(await readRaw('user', token.userId)).toBeNull();
    });

    it('throws IdTaken for a known id, and retires no token for it', async () => {
      const { user } = await signUp(repo);
      const first = await askReset(repo, user.id);
      const before = await readRaw('resetToken', first.id);
      const again = newResetToken(user.id, { id: first.id });
      await expect(repo.requestReset({ token: again, decoy: true, now: NOW })).rejects.toBeInstanceOf(
        IdTaken,
      );
      expect(await readRaw('resetToken', first.id)).toEqual(before);
      expect((await userOf(repo, user.id)).resetGeneration).toBe(first.generation);
    });
  });

  describe('findResetToken', () => {
    it('returns null for an unknown token, and for what is stored instead of the token', async () => {
      const { user } = await signUp(repo);
      const { presented } = await askReset(repo, user.id);
      expect(await repo.findResetToken(freshToken())).toBeNull();
      const clear = `sha256:${presented.hash}`;
      expect(await repo.findResetToken({ clear, hash: freshToken().hash })).toBeNull();
    });

    it('returns a token that was overtaken by a newer request with its old generation', async () => {
      const { user } = await signUp(repo);
      const first = await askReset(repo, user.id);
      await askReset(repo, user.id);
      const found = await repo.findResetToken(first.presented);
      expect(found?.token.generation).toBe(1);
      expect(found?.user?.resetGeneration).toBe(2);
    });

    it('calls the older of two tokens of one generation superseded, by time, then by id', async () => {
      const userId = freshId();
      const tokens = [
        { id: freshId(), createdAt: later(-1) },
        // In UTF-16, which JavaScript compares by, these two are the other way round.
        ...[`\u{ff21}${freshId()}`, `\u{1f600}${freshId()}`].map((id) => ({ id, createdAt: NOW })),
      ].map((given) => ({ ...given, presented: freshToken() }));
      for (const { presented, ...given } of tokens) {
        const token = newResetToken(userId, { ...given, tokenHash: presented.hash });
        await repo.requestReset({ token, decoy: true, now: NOW });
      }
      const found = await Promise.all(tokens.map(({ presented }) => repo.findResetToken(presented)));
      expect(found.map((each) => each?.superseded)).toEqual([true, true, false]);
    });

    it('returns a token that has outlived its user', async () => {
      const { user } = await signUp(repo);
      const { presented, generation } = await askReset(repo, user.id);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      const found = await repo.findResetToken(presented);
      expect(found?.user).toMatchObject({ deletedAt: NOW, resetGeneration: generation });
    });
  });

  describe('consumeReset', () => {
    it('stores the hash, retires every token and ends every session', async () => {
      const { user } = await signUp(repo);
      const { generation } = await askReset(repo, user.id);
      expect(await consume(user.id, generation)).toBe('done');
      expect(await userOf(repo, user.id)).toMatchObject({
        passwordHash: fakeHash('new'),
        resetGeneration: generation + 1,
        sessionGeneration: 1,
        updatedAt: later(5),
      });
      expect(await liveIds(repo, user.id)).toEqual([]);
    });

    it('answers used the second time, and to a token overtaken by a newer one', async () => {
      const { user } = await signUp(repo);
      const first = await askReset(repo, user.id);
      const second = await askReset(repo, user.id);
      expect(await consume(user.id, first.generation, fakeHash('never'))).toBe('used');
      expect(await consume(user.id, second.generation)).toBe('done');
      expect(await consume(user.id, second.generation, fakeHash('never'))).toBe('used');
      expect((await userOf(repo, user.id)).passwordHash).toBe(fakeHash('new'));
    });

    it('is done by exactly one of 50 that present one generation at once, and its hash stays', async () => {
      const { user } = await signUp(repo);
      const { generation } = await askReset(repo, user.id);
      const answers = await parallel(50, (index) => consume(user.id, generation, fakeHash(`${index}`)));
      expect(answers.toSorted()).toEqual(['done', ...Array<string>(49).fill('used')]);
      expect(await userOf(repo, user.id)).toMatchObject({
        passwordHash: fakeHash(`${answers.indexOf('done')}`),
        resetGeneration: generation + 1,
      });
    });

    it('answers gone for a tombstone and for nobody', async () => {
      const { user } = await signUp(repo);
      const { generation } = await askReset(repo, user.id);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      expect(await consume(user.id, generation)).toBe('gone');
      expect(await consume(freshId(), 0)).toBe('gone');
    });
  });
}
