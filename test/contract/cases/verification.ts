import { describe, expect, it } from 'vitest';
import { IdTaken } from '../../../db/errors.ts';
import {
  freshId,
  freshToken,
  later,
  NOW,
  newVerificationToken,
  parallel,
  signUp,
  userOf,
} from '../fixtures.ts';
import type { Subject } from '../harness.ts';

export function verificationCases({ repo, readRaw }: Subject): void {
  describe('addVerificationToken', () => {
    it('stores one more, and earlier ones stay good', async () => {
      const { user, token } = await signUp(repo);
      const presented = freshToken();
      const second = newVerificationToken(user.id, { tokenHash: presented.hash });
      await repo.addVerificationToken(second);
      expect((await repo.findVerificationToken(presented))?.token).toMatchObject(second);
      expect((await repo.findVerificationToken({ clear: '-', hash: token.tokenHash }))?.token.id).toBe(
        token.id,
      );
    });

    it('throws IdTaken for a known id, and leaves the record as it is', async () => {
      const { user, token } = await signUp(repo);
      const before = await readRaw('verificationToken', token.id);
      const again = newVerificationToken(user.id, { id: token.id });
      await expect(repo.addVerificationToken(again)).rejects.toBeInstanceOf(IdTaken);
      expect(await readRaw('verificationToken', token.id)).toEqual(before);
    });
  });

  describe('findVerificationToken', () => {
    it('returns the token and its user as they stand', async () => {
      const { user, token } = await signUp(repo);
      await repo.endSessions({ userId: user.id, now: NOW });
      const found = await repo.findVerificationToken({ clear: '-', hash: token.tokenHash });
      expect(found?.token).toMatchObject(token);
      expect(found?.user).toEqual(await repo.findUser(user.id));
    });

    it('keeps a token without a nonce and an expired one', async () => {
      const presented = freshToken();
      const token = newVerificationToken(freshId(), {
        tokenHash: presented.hash,
        nonce: null,
        expiresAt: later(-1),
      });
      await repo.addVerificationToken(token);
      expect((await repo.findVerificationToken(presented))?.token).toMatchObject(token);
    });

    it('returns a token that has outlived its user: erased, or not there at all', async () => {
      const { user, token } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      const erased = await repo.findVerificationToken({ clear: '-', hash: token.tokenHash });
      expect(erased?.user?.deletedAt).toEqual(NOW);
      const presented = freshToken();
      await repo.addVerificationToken(newVerificationToken(freshId(), { tokenHash: presented.hash }));
      expect((await repo.findVerificationToken(presented))?.user).toBeNull();
    });

    it('returns null for an unknown token, and for what is stored instead of the token', async () => {
      const { token } = await signUp(repo);
      expect(await repo.findVerificationToken(freshToken())).toBeNull();
      for (const clear of [token.tokenHash, `sha256:${token.tokenHash}`, token.nonce ?? '']) {
        expect(await repo.findVerificationToken({ clear, hash: freshToken().hash })).toBeNull();
      }
    });
  });

  describe('verifyEmail', () => {
    it('verifies the user and remembers the token', async () => {
      const { user, token } = await signUp(repo);
      const change = { userId: user.id, tokenId: token.id, now: later(5) };
      expect(await repo.verifyEmail(change)).toBe('done');
      expect(await userOf(repo, user.id)).toMatchObject({
        isVerified: true,
        verifiedWith: token.id,
        updatedAt: later(5),
      });
    });

    it('answers used to a second token, and keeps the first', async () => {
      const { user, token } = await signUp(repo);
      await repo.verifyEmail({ userId: user.id, tokenId: token.id, now: NOW });
      expect(await repo.verifyEmail({ userId: user.id, tokenId: freshId(), now: later(5) })).toBe('used');
      expect(await userOf(repo, user.id)).toMatchObject({ verifiedWith: token.id, updatedAt: NOW });
    });

    it('is done once when asked many times at once', async () => {
      const { user, token } = await signUp(repo);
      const answers = await parallel(20, () =>
        repo.verifyEmail({ userId: user.id, tokenId: token.id, now: NOW }),
      );
      expect(answers.toSorted()).toEqual(['done', ...Array<string>(19).fill('used')]);
    });

    it('answers gone for a tombstone and for nobody', async () => {
      const { user, token } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      expect(await repo.verifyEmail({ userId: user.id, tokenId: token.id, now: NOW })).toBe('gone');
      expect(await repo.verifyEmail({ userId: freshId(), tokenId: token.id, now: NOW })).toBe('gone');
    });
  });
}
