import { describe, expect, it } from 'vitest';
import { IdTaken, StaleWrite } from '../../db/errors.ts';
import {
  askReset,
  fakeHash,
  freshHash,
  logIn,
  NOW,
  newAccount,
  newResetToken,
  newSession,
  sessionOf,
  signUp,
  userOf,
} from '../contract/fixtures.ts';
import { openPostgres } from '../support/stores.ts';

/** Where the port allows a store to write record by record, this one commits all or nothing. */
describe('use cases of several records', async () => {
  const { store } = await openPostgres();
  const repo = store.at({ epoch: 1, pending: false });

  /** An account whose session was written under a later epoch, its user not. */
  async function accountWithNewerSession() {
    const account = await signUp(repo);
    const { session } = account;
    const rotated = await store.at({ epoch: 9, pending: false }).rotateSession({
      sessionId: session.id,
      fromHash: session.tokenHash,
      toHash: freshHash(),
      now: NOW,
      idleExpiresAt: session.idleExpiresAt,
    });
    expect(rotated?.stamp.epoch).toBe(9);
    return account;
  }

  it.each(['token', 'session'] as const)(
    'createAccount stores nothing when the %s is there',
    async (which) => {
      const known = await signUp(repo);
      const account = newAccount();
      const clashing = { ...account, [which]: { ...account[which], id: known[which].id } };
      await expect(repo.createAccount(clashing)).rejects.toBeInstanceOf(IdTaken);
      expect(await repo.findUser(account.user.id)).toBeNull();
    },
  );

  it('requestReset retires no token when the new one is there', async () => {
    const { user } = await signUp(repo);
    const { id, generation } = await askReset(repo, user.id);
    const token = newResetToken(user.id, { id });
    await expect(repo.requestReset({ token, decoy: false, now: NOW })).rejects.toBeInstanceOf(IdTaken);
    expect((await userOf(repo, user.id)).resetGeneration).toBe(generation);
  });

  it('changePassword changes nothing when the session to keep is of a later epoch', async () => {
    const { user, session } = await accountWithNewerSession();
    const change = { userId: user.id, sessionGeneration: 0, newHash: fakeHash('new'), now: NOW };
    const stale = repo.changePassword({ ...change, keepSessionId: session.id });
    await expect(stale).rejects.toBeInstanceOf(StaleWrite);
    expect(await userOf(repo, user.id)).toMatchObject(user);
  });

  it('eraseUser erases nothing when one session is of a later epoch', async () => {
    const { user, session } = await accountWithNewerSession();
    const other = await logIn(repo, user.id);
    const stale = repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
    await expect(stale).rejects.toBeInstanceOf(StaleWrite);
    expect(await userOf(repo, user.id)).toMatchObject(user);
    expect((await sessionOf(repo, session.id)).revokedAt).toBeNull();
    expect((await sessionOf(repo, other.id)).revokedAt).toBeNull();
  });

  it('openSession opens none when the one it replaces is of a later epoch', async () => {
    const { user, session } = await accountWithNewerSession();
    const next = newSession(user.id);
    const opening = { session: next, replacesId: session.id, sessionsMax: 5, now: NOW };
    await expect(repo.openSession(opening)).rejects.toBeInstanceOf(StaleWrite);
    expect(await repo.findSession(next.id)).toBeNull();
  });
});
