/** One case for each operation of the port, short enough to be run under every fault. */
import { expect } from 'vitest';
import type { Repository } from '../../../db/port.ts';
import {
  askReset,
  fakeHash,
  freshHash,
  later,
  logIn,
  NOW,
  newAccount,
  newVerificationToken,
  signUp,
} from '../fixtures.ts';

export const EACH: { readonly [K in keyof Repository]: (repo: Repository) => Promise<void> } = {
  async createAccount(repo) {
    const account = newAccount();
    await repo.createAccount(account);
    expect(await repo.findUser(account.user.id)).toMatchObject(account.user);
  },
  async findUser(repo) {
    const { user } = await signUp(repo);
    expect(await repo.findUser(user.id)).toMatchObject(user);
  },
  async findUserByEmail(repo) {
    const { user } = await signUp(repo);
    expect(await repo.findUserByEmail(user.email ?? '')).toMatchObject({ id: user.id });
  },
  async upgradeHash(repo) {
    const { user } = await signUp(repo);
    const change = {
      userId: user.id,
      oldHash: user.passwordHash ?? '',
      newHash: fakeHash('upgraded'),
      now: NOW,
    };
    expect(await repo.upgradeHash(change)).toBe(true);
    expect(await repo.findUser(user.id)).toMatchObject({ passwordHash: change.newHash });
  },
  async changePassword(repo) {
    const { user, session } = await signUp(repo);
    const change = {
      userId: user.id,
      sessionGeneration: 0,
      newHash: fakeHash('changed'),
      keepSessionId: session.id,
      now: NOW,
    };
    expect(await repo.changePassword(change)).toBe('done');
    expect(await repo.changePassword(change)).toBe('changed');
  },
  async eraseUser(repo) {
    const { user } = await signUp(repo);
    expect(await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW })).toBe('done');
    expect(await repo.findUser(user.id)).toMatchObject({ email: null, deletedAt: NOW });
  },
  async endSessions(repo) {
    const { user } = await signUp(repo);
    expect(await repo.endSessions({ userId: user.id, now: NOW })).toBe('done');
    expect(await repo.listSessions({ userId: user.id, now: NOW })).toEqual([]);
  },
  async addVerificationToken(repo) {
    const { user } = await signUp(repo);
    const token = newVerificationToken(user.id);
    await repo.addVerificationToken(token);
    expect(await repo.findVerificationToken({ clear: 'unused', hash: token.tokenHash })).toMatchObject({
      token,
    });
  },
  async findVerificationToken(repo) {
    const { user, token } = await signUp(repo);
    expect(await repo.findVerificationToken({ clear: 'unused', hash: token.tokenHash })).toMatchObject({
      user,
    });
  },
  async verifyEmail(repo) {
    const { user, token } = await signUp(repo);
    expect(await repo.verifyEmail({ userId: user.id, tokenId: token.id, now: NOW })).toBe('done');
    expect(await repo.findUser(user.id)).toMatchObject({ isVerified: true });
  },
  async requestReset(repo) {
    const { user } = await signUp(repo);
    expect((await askReset(repo, user.id)).generation).toBe(1);
    expect(await repo.findUser(user.id)).toMatchObject({ resetGeneration: 1 });
  },
  async findResetToken(repo) {
    const { user } = await signUp(repo);
    const { presented } = await askReset(repo, user.id);
    expect(await repo.findResetToken(presented)).toMatchObject({
      user: { id: user.id },
      superseded: false,
    });
  },
  async consumeReset(repo) {
    const { user } = await signUp(repo);
    await askReset(repo, user.id);
    const change = { userId: user.id, generation: 1, newHash: fakeHash('reset'), now: NOW };
    expect(await repo.consumeReset(change)).toBe('done');
    expect(await repo.consumeReset(change)).toBe('used');
  },
  async openSession(repo) {
    const { user } = await signUp(repo);
    const session = await logIn(repo, user.id);
    expect(await repo.findSession(session.id)).toMatchObject({ session: { userId: user.id } });
  },
  async findSession(repo) {
    const { user, session } = await signUp(repo);
    expect(await repo.findSession(session.id)).toMatchObject({ session, user });
  },
  async listSessions(repo) {
    const { user, session } = await signUp(repo);
    expect(await repo.listSessions({ userId: user.id, now: NOW })).toMatchObject([{ id: session.id }]);
  },
  async rotateSession(repo) {
    const { session } = await signUp(repo);
    const rotation = {
      sessionId: session.id,
      fromHash: session.tokenHash,
      toHash: freshHash(),
      now: NOW,
      idleExpiresAt: session.idleExpiresAt,
    };
    expect(await repo.rotateSession(rotation)).toMatchObject({ tokenHash: rotation.toHash, rotation: 1 });
    expect(await repo.rotateSession(rotation)).toBeNull();
  },
  async revokeSession(repo) {
    const { session } = await signUp(repo);
    const change = { sessionId: session.id, userId: null, reason: 'logout', now: NOW } as const;
    expect(await repo.revokeSession(change)).toBe(true);
    expect(await repo.findSession(session.id)).toMatchObject({ session: { revokedAt: NOW } });
  },
  async listDueMail(repo) {
    const { user } = await signUp(repo);
    const token = newVerificationToken(user.id, { mailDueAt: NOW });
    await repo.addVerificationToken(token);
    const due = await repo.listDueMail({ now: later(1), limit: 10_000 });
    expect(due.map((mail) => mail.token.id)).toContain(token.id);
  },
  async moveMailDue(repo) {
    const { user } = await signUp(repo);
    const token = newVerificationToken(user.id, { mailDueAt: NOW });
    await repo.addVerificationToken(token);
    const move = { purpose: 'verificationToken', tokenId: token.id, from: NOW, to: null } as const;
    expect(await repo.moveMailDue(move)).toBe(true);
    expect(await repo.moveMailDue(move)).toBe(false);
  },
  async purge(repo) {
    const { user } = await signUp(repo);
    const expired = newVerificationToken(user.id, { expiresAt: new Date(0), mailDueAt: null });
    await repo.addVerificationToken(expired);
    expect((await repo.purge({ expiredBefore: new Date(1), limit: 100 })).verificationTokens).toBe(1);
    expect(await repo.findVerificationToken({ clear: 'unused', hash: expired.tokenHash })).toBeNull();
  },
};
