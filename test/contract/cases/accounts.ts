import { describe, expect, it } from 'vitest';
import { EmailTaken, IdTaken } from '../../../db/errors.ts';
import {
  type Account,
  askReset,
  fakeHash,
  freshId,
  later,
  logIn,
  NOW,
  newAccount,
  parallel,
  sessionOf,
  signUp,
  userOf,
} from '../fixtures.ts';
import type { Subject } from '../harness.ts';

export function accountCases({ repo, readRaw }: Subject): void {
  async function expectNothingOf({ user, token, session }: Account): Promise<void> {
    expect(await readRaw('user', user.id)).toBeNull();
    expect(await readRaw('verificationToken', token.id)).toBeNull();
    expect(await readRaw('session', session.id)).toBeNull();
  }

  describe('createAccount', () => {
    it('stores the user, its token and its session as given, Unicode and milliseconds included', async () => {
      const { user, token, session } = await signUp(repo);
      expect(await repo.findUser(user.id)).toMatchObject(user);
      expect((await repo.findVerificationToken({ clear: '-', hash: token.tokenHash }))?.token).toMatchObject(
        token,
      );
      expect((await repo.findSession(session.id))?.session).toMatchObject(session);
      expect(await readRaw('user', user.id)).toMatchObject({ email: user.email, name: user.name });
      expect(await readRaw('session', session.id)).toMatchObject({ rotatedAt: NOW, rotation: 0 });
    });

    it('stores what is null as null', async () => {
      const account = newAccount({ passwordHash: null });
      await repo.createAccount({ ...account, session: { ...account.session, userAgent: null } });
      expect((await userOf(repo, account.user.id)).passwordHash).toBeNull();
      expect((await sessionOf(repo, account.session.id)).userAgent).toBeNull();
    });

    it('throws EmailTaken for another spelling of a known address, and stores nothing', async () => {
      const { user } = await signUp(repo);
      const second = newAccount({ email: user.email?.toUpperCase() ?? '' });
      await expect(repo.createAccount(second)).rejects.toBeInstanceOf(EmailTaken);
      await expectNothingOf(second);
    });

    it('throws IdTaken for a known id, and stores nothing', async () => {
      const { user } = await signUp(repo);
      const second = newAccount({ id: user.id });
      await expect(repo.createAccount(second)).rejects.toBeInstanceOf(IdTaken);
      expect(await repo.findUser(user.id)).toMatchObject(user);
      expect(await readRaw('verificationToken', second.token.id)).toBeNull();
      expect(await readRaw('session', second.session.id)).toBeNull();
    });

    it('lets one of many spellings win that arrive at once, and keeps nothing of the others', async () => {
      const email = `race.${freshId()}@example.org`;
      const spell = (index: number) =>
        [...email].map((char, at) => ((index >> (at % 5)) & 1 ? char.toUpperCase() : char)).join('');
      const accounts = Array.from({ length: 20 }, (_, index) => newAccount({ email: spell(index) }));
      const results = await Promise.allSettled(accounts.map((account) => repo.createAccount(account)));
      const won = accounts.filter((_, index) => results[index]?.status === 'fulfilled');
      expect(won).toHaveLength(1);
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(EmailTaken);
      }
      expect((await repo.findUserByEmail(email))?.id).toBe(won[0]?.user.id);
      for (const account of accounts) if (account !== won[0]) await expectNothingOf(account);
    });

    it('gives the address of an erased user away again', async () => {
      const { user } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      const second = await signUp(repo, { email: user.email });
      expect((await repo.findUserByEmail(user.email ?? ''))?.id).toBe(second.user.id);
    });
  });

  describe('findUser', () => {
    it('returns a tombstone too', async () => {
      const { user } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: later(5) });
      expect(await repo.findUser(user.id)).toMatchObject({ id: user.id, deletedAt: later(5) });
    });

    it('returns null when there is no record', async () => {
      expect(await repo.findUser(freshId())).toBeNull();
    });
  });

  describe('findUserByEmail', () => {
    it('finds the user by the exact spelling and by any other of the same key', async () => {
      const { user } = await signUp(repo);
      const email = user.email ?? '';
      for (const spelling of [email, email.toLowerCase(), email.toUpperCase()]) {
        expect((await repo.findUserByEmail(spelling))?.id).toBe(user.id);
      }
    });

    it('takes no character for a wildcard', async () => {
      const { user } = await signUp(repo);
      const email = user.email ?? '';
      for (const pattern of [`.*${email}`, email.replace('@', '.'), '%', '.*', `${email.slice(0, 6)}%`]) {
        expect(await repo.findUserByEmail(pattern)).toBeNull();
      }
    });

    it('returns null for an unknown address and for that of an erased user', async () => {
      const { user } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      expect(await repo.findUserByEmail(user.email ?? '')).toBeNull();
      expect(await repo.findUserByEmail(`nobody.${freshId()}@example.org`)).toBeNull();
    });
  });

  describe('eraseUser', () => {
    it('leaves a tombstone without personal data', async () => {
      const { user } = await signUp(repo);
      const change = { userId: user.id, sessionGeneration: 0, now: later(5) };
      expect(await repo.eraseUser(change)).toBe('done');
      const raw = JSON.stringify(await readRaw('user', user.id));
      for (const personal of [user.email, user.emailKey, user.name, user.passwordHash]) {
        expect(raw).not.toContain(personal);
      }
      expect(await repo.findUser(user.id)).toMatchObject({
        email: null,
        emailKey: null,
        name: '',
        passwordHash: null,
        sessionGeneration: 1,
        resetGeneration: 0,
        createdAt: NOW,
        deletedAt: later(5),
      });
    });

    it('revokes and scrubs every session, those that had ended too, whose first reason stays', async () => {
      const { user, session } = await signUp(repo);
      const ended = await logIn(repo, user.id);
      await repo.revokeSession({ sessionId: ended.id, userId: user.id, reason: 'logout', now: NOW });
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: later(5) });
      expect(await sessionOf(repo, session.id)).toMatchObject({
        revokedAt: later(5),
        revokedReason: 'erased',
        userAgent: null,
      });
      expect(await sessionOf(repo, ended.id)).toMatchObject({
        revokedAt: NOW,
        revokedReason: 'logout',
        userAgent: null,
      });
      expect((await readRaw('session', ended.id))?.['userAgent'] ?? null).toBeNull();
    });

    it('leaves the sessions of other users alone', async () => {
      const [{ user }, other] = [await signUp(repo), await signUp(repo)];
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      expect(await sessionOf(repo, other.session.id)).toMatchObject(other.session);
    });

    it('answers changed under another session generation, and then writes nothing', async () => {
      const { user, session } = await signUp(repo);
      const before = await repo.findUser(user.id);
      expect(await repo.eraseUser({ userId: user.id, sessionGeneration: 7, now: NOW })).toBe('changed');
      expect(await repo.findUser(user.id)).toEqual(before);
      expect((await sessionOf(repo, session.id)).revokedAt).toBeNull();
    });

    it('answers gone for a tombstone and for nobody', async () => {
      const { user } = await signUp(repo);
      const erase = (userId: string) => repo.eraseUser({ userId, sessionGeneration: null, now: NOW });
      await erase(user.id);
      expect(await erase(user.id)).toBe('gone');
      expect(await erase(freshId())).toBe('gone');
    });

    it('is done once when asked many times at once', async () => {
      const { user } = await signUp(repo);
      const answers = await parallel(10, () =>
        repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW }),
      );
      expect(answers.filter((answer) => answer === 'done')).toHaveLength(1);
    });
  });

  describe('endSessions', () => {
    it('ends every session of the user and of nobody else', async () => {
      const [{ user, session }, other] = [await signUp(repo), await signUp(repo)];
      expect(await repo.endSessions({ userId: user.id, now: later(5) })).toBe('done');
      expect(await userOf(repo, user.id)).toMatchObject({ sessionGeneration: 1, updatedAt: later(5) });
      expect(await repo.listSessions({ userId: user.id, now: NOW })).toEqual([]);
      expect((await repo.findSession(session.id))?.session.generation).toBe(0);
      expect(await repo.listSessions({ userId: other.user.id, now: NOW })).toHaveLength(1);
    });

    it('retires every reset token of the user', async () => {
      const { user } = await signUp(repo);
      const { generation } = await askReset(repo, user.id);
      await repo.endSessions({ userId: user.id, now: NOW });
      expect((await userOf(repo, user.id)).resetGeneration).toBe(generation + 1);
      const reset = { userId: user.id, generation, newHash: fakeHash('late'), now: NOW };
      expect(await repo.consumeReset(reset)).toBe('used');
    });

    it('counts each of many that arrive at once', async () => {
      const { user } = await signUp(repo);
      await parallel(10, () => repo.endSessions({ userId: user.id, now: NOW }));
      expect((await userOf(repo, user.id)).sessionGeneration).toBe(10);
    });

    it('answers gone for a tombstone and for nobody', async () => {
      const { user } = await signUp(repo);
      await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW });
      expect(await repo.endSessions({ userId: user.id, now: NOW })).toBe('gone');
      expect(await repo.endSessions({ userId: freshId(), now: NOW })).toBe('gone');
    });
  });
}
