import { describe, expect, it } from 'vitest';
import { StaleWrite } from '../../../db/errors.ts';
import type { Repository } from '../../../db/port.ts';
import type { Entity } from '../../../db/records.ts';
import { eventually } from '../../support/wait.ts';
import {
  type Account,
  fakeHash,
  freshHash,
  freshId,
  later,
  liveIds,
  NOW,
  newAccount,
  newResetToken,
  newSession,
  newVerificationToken,
  signUp,
  userOf,
} from '../fixtures.ts';
import type { RawRecord, StoreSubject } from '../harness.ts';

interface Write {
  readonly name: string;
  /** The record that is written, and so refused when it is newer than the writer. */
  readonly guarded: Entity;
  run(repo: Repository, account: Account): Promise<unknown>;
}

const DUE = later(60_000);

/** Each write of an existing record, on a fresh account whose verification mail is due at `DUE`. */
const WRITES: readonly Write[] = [
  {
    name: 'upgradeHash',
    guarded: 'user',
    run: (repo, { user }) =>
      repo.upgradeHash({
        userId: user.id,
        oldHash: user.passwordHash ?? '',
        newHash: fakeHash('better'),
        now: NOW,
      }),
  },
  {
    name: 'changePassword',
    guarded: 'user',
    run: (repo, { user, session }) =>
      repo.changePassword({
        userId: user.id,
        sessionGeneration: 0,
        newHash: fakeHash('new'),
        keepSessionId: session.id,
        now: NOW,
      }),
  },
  {
    name: 'eraseUser',
    guarded: 'user',
    run: (repo, { user }) => repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW }),
  },
  {
    name: 'endSessions',
    guarded: 'user',
    run: (repo, { user }) => repo.endSessions({ userId: user.id, now: NOW }),
  },
  {
    name: 'verifyEmail',
    guarded: 'user',
    run: (repo, { user, token }) => repo.verifyEmail({ userId: user.id, tokenId: token.id, now: NOW }),
  },
  {
    name: 'requestReset',
    guarded: 'user',
    run: (repo, { user }) => repo.requestReset({ token: newResetToken(user.id), decoy: false, now: NOW }),
  },
  {
    name: 'consumeReset',
    guarded: 'user',
    run: (repo, { user }) =>
      repo.consumeReset({ userId: user.id, generation: 0, newHash: fakeHash('new'), now: NOW }),
  },
  {
    name: 'rotateSession',
    guarded: 'session',
    run: (repo, { session }) =>
      repo.rotateSession({
        sessionId: session.id,
        fromHash: session.tokenHash,
        toHash: freshHash(),
        now: NOW,
        idleExpiresAt: later(9),
      }),
  },
  {
    name: 'revokeSession',
    guarded: 'session',
    run: (repo, { session }) =>
      repo.revokeSession({ sessionId: session.id, userId: null, reason: 'logout', now: NOW }),
  },
  {
    name: 'openSession (the one it replaces)',
    guarded: 'session',
    run: (repo, { user, session }) =>
      repo.openSession({
        session: newSession(user.id),
        replacesId: session.id,
        sessionsMax: 5,
        now: NOW,
      }),
  },
  {
    name: 'openSession (the one past the bound)',
    guarded: 'session',
    run: (repo, { user }) =>
      repo.openSession({ session: newSession(user.id), replacesId: null, sessionsMax: 1, now: NOW }),
  },
  {
    name: 'moveMailDue',
    guarded: 'verificationToken',
    run: (repo, { token }) =>
      repo.moveMailDue({ purpose: 'verificationToken', tokenId: token.id, from: DUE, to: null }),
  },
];

export function stampCases({ store, readRaw }: StoreSubject): void {
  async function accountAt(epoch: number, pending = false): Promise<Account> {
    const account = newAccount();
    const due = { ...account, token: { ...account.token, mailDueAt: DUE } };
    await store.at({ epoch, pending }).createAccount(due);
    return due;
  }

  function rawOf({ user, token, session }: Account, entity: Entity): Promise<RawRecord | null> {
    return readRaw(entity, entity === 'user' ? user.id : entity === 'session' ? session.id : token.id);
  }

  async function allRaw(account: Account): Promise<readonly (RawRecord | null)[]> {
    return [
      await rawOf(account, 'user'),
      await rawOf(account, 'verificationToken'),
      await rawOf(account, 'session'),
    ];
  }

  describe('stamps', () => {
    it('starts every record at version 1 of the writer’s epoch', async () => {
      const account = await accountAt(3);
      for (const raw of await allRaw(account)) expect(raw).toMatchObject({ epoch: 3, version: 1 });
      const repo = store.at({ epoch: 3, pending: false });
      expect((await userOf(repo, account.user.id)).stamp).toEqual({ epoch: 3, version: 1 });
    });

    it.each(WRITES)('$name counts one version up under the writer’s epoch', async ({ guarded, run }) => {
      const account = await accountAt(3);
      await run(store.at({ epoch: 5, pending: false }), account);
      expect(await rawOf(account, guarded)).toMatchObject({ epoch: 5, version: 2 });
    });

    it.each(WRITES)(
      '$name refuses a record of a later epoch, and writes nothing',
      async ({ guarded, run }) => {
        const account = await accountAt(3);
        // Only the guarded record is newer, so what else the operation writes must not stay either.
        await raise(account, guarded);
        const before = await allRaw(account);
        const stale = store.at({ epoch: 4, pending: true });
        await expect(run(stale, account)).rejects.toBeInstanceOf(StaleWrite);
        expect(await allRaw(account)).toEqual(before);
      },
    );

    it('names the stored stamp in StaleWrite', async () => {
      const account = await accountAt(9);
      const stale = store.at({ epoch: 8, pending: false });
      await expect(stale.endSessions({ userId: account.user.id, now: NOW })).rejects.toMatchObject({
        stored: { epoch: 9, version: 1 },
      });
    });

    it('lets a later epoch read and write what an earlier one wrote', async () => {
      const { user, session } = await accountAt(3);
      const next = store.at({ epoch: 4, pending: false });
      expect(await next.findUser(user.id)).toMatchObject(user);
      expect(await liveIds(next, user.id)).toEqual([session.id]);
      expect(await next.endSessions({ userId: user.id, now: NOW })).toBe('done');
    });

    it('leaves the stamp of what is only refused', async () => {
      const account = await accountAt(3);
      const repo = store.at({ epoch: 5, pending: true });
      await repo.consumeReset({ userId: account.user.id, generation: 7, newHash: fakeHash('new'), now: NOW });
      await repo.revokeSession({
        sessionId: account.session.id,
        userId: freshId(),
        reason: 'ended',
        now: NOW,
      });
      for (const raw of await allRaw(account)) expect(raw).toMatchObject({ epoch: 3, version: 1 });
    });
  });

  describe('pending marks', () => {
    it('are set on every new record only when asked for', async () => {
      for (const raw of await allRaw(await accountAt(3, true))) {
        expect(raw?.['pendingAt']).toBeInstanceOf(Date);
      }
      for (const raw of await allRaw(await accountAt(3, false))) {
        expect(raw?.['pendingAt'] ?? null).toBeNull();
      }
    });

    it.each(WRITES)('$name sets it only when asked for', async ({ guarded, run }) => {
      const [marked, unmarked] = [await accountAt(3), await accountAt(3)];
      await run(store.at({ epoch: 3, pending: true }), marked);
      await run(store.at({ epoch: 3, pending: false }), unmarked);
      expect((await rawOf(marked, guarded))?.['pendingAt']).toBeInstanceOf(Date);
      expect((await rawOf(unmarked, guarded))?.['pendingAt'] ?? null).toBeNull();
    });

    it.each(WRITES)('$name leaves a mark that is there as old as it is', async ({ guarded, run }) => {
      const account = await accountAt(3, true);
      const before = (await rawOf(account, guarded))?.['pendingAt'];
      await eventually(() => Date.now() > Number(before));
      await run(store.at({ epoch: 3, pending: true }), account);
      expect((await rawOf(account, guarded))?.['pendingAt']).toEqual(before);
    });

    it('are set on tokens and decoys alike', async () => {
      const repo = store.at({ epoch: 3, pending: true });
      const verification = newVerificationToken(freshId());
      await repo.addVerificationToken(verification);
      const decoy = newResetToken(freshId());
      await repo.requestReset({ token: decoy, decoy: true, now: NOW });
      expect((await readRaw('verificationToken', verification.id))?.['pendingAt']).toBeInstanceOf(Date);
      expect((await readRaw('resetToken', decoy.id))?.['pendingAt']).toBeInstanceOf(Date);
    });
  });

  describe('onWrite', () => {
    function listening() {
      const heard: string[] = [];
      const seen: Promise<RawRecord | null>[] = [];
      const onWrite = (entity: Entity, id: string): void => {
        heard.push(`${entity} ${id}`);
        seen.push(readRaw(entity, id));
      };
      return { heard, seen, repo: store.at({ epoch: 3, pending: false, onWrite }) };
    }

    it('is told of each record of a new account, once it is stored', async () => {
      const { heard, seen, repo } = listening();
      const { user, token, session } = await signUp(repo);
      expect(heard.toSorted()).toEqual(
        [`user ${user.id}`, `verificationToken ${token.id}`, `session ${session.id}`].toSorted(),
      );
      for (const raw of await Promise.all(seen)) expect(raw).not.toBeNull();
    });

    it.each(WRITES)('is told after $name has committed', async ({ guarded, run }) => {
      const account = await accountAt(3);
      const { heard, seen, repo } = listening();
      await run(repo, account);
      const { id, epoch, version } = (await rawOf(account, guarded)) ?? {};
      expect(heard.some((line) => line.startsWith(`${guarded} `))).toBe(true);
      expect(await Promise.all(seen)).toContainEqual(expect.objectContaining({ id, epoch, version }));
    });

    it.each(WRITES)('is not told when $name is refused as stale', async ({ guarded, run }) => {
      const account = await accountAt(2);
      await raise(account, guarded);
      const { heard, repo } = listening();
      await expect(run(repo, account)).rejects.toBeInstanceOf(StaleWrite);
      const { user, token, session } = account;
      for (const id of [user.id, token.id, session.id]) expect(heard.join()).not.toContain(id);
    });

    it('is not told of what was taken already', async () => {
      const taken = await accountAt(3);
      const { heard, repo } = listening();
      await expect(repo.createAccount(newAccount({ email: taken.user.email }))).rejects.toThrow();
      await repo.revokeSession({ sessionId: freshId(), userId: null, reason: 'ended', now: NOW });
      expect(heard).toEqual([]);
    });
  });

  /** Writes one record of the account under a later epoch, in a way that none of `WRITES` depends on. */
  async function raise({ user, token, session }: Account, entity: Entity): Promise<void> {
    const repo = store.at({ epoch: 9, pending: false });
    if (entity === 'user') {
      const [oldHash, newHash] = [user.passwordHash ?? '', fakeHash('another')];
      await repo.upgradeHash({ userId: user.id, oldHash, newHash, now: NOW });
      await repo.upgradeHash({ userId: user.id, oldHash: newHash, newHash: oldHash, now: NOW });
    }
    if (entity === 'session') {
      const other = freshHash();
      const rotation = { sessionId: session.id, now: NOW, idleExpiresAt: session.idleExpiresAt };
      await repo.rotateSession({ ...rotation, fromHash: session.tokenHash, toHash: other });
      await repo.rotateSession({ ...rotation, fromHash: other, toHash: session.tokenHash });
    }
    if (entity === 'verificationToken') {
      const move = { purpose: 'verificationToken', tokenId: token.id } as const;
      await repo.moveMailDue({ ...move, from: DUE, to: later(1) });
      await repo.moveMailDue({ ...move, from: later(1), to: DUE });
    }
  }
}
