import { describe, expect, it } from 'vitest';
import { StoreUnavailable } from '../../../db/errors.ts';
import type { Repository } from '../../../db/port.ts';
import type { Entity } from '../../../db/records.ts';
import {
  type Account,
  fakeHash,
  freshHash,
  later,
  logIn,
  NOW,
  newAccount,
  newResetToken,
  newSession,
  newVerificationToken,
  signUp,
} from '../fixtures.ts';
import type { RawRecord, StoreSubject } from '../harness.ts';

type Written = readonly [Entity, id: string];

interface Prepared {
  run(repo: Repository): Promise<unknown>;
  /** What it writes, in a store that writes one record at a time in this order. */
  readonly writes: readonly Written[];
}

interface Operation {
  readonly name: string;
  prepare(repo: Repository): Promise<Prepared>;
}

const OPERATIONS: readonly Operation[] = [
  {
    name: 'createAccount',
    async prepare() {
      const account = newAccount();
      return { run: (repo) => repo.createAccount(account), writes: recordsOf(account) };
    },
  },
  {
    name: 'changePassword',
    async prepare(repo) {
      const { user, session } = await signUp(repo);
      return {
        run: (asked) =>
          asked.changePassword({
            userId: user.id,
            sessionGeneration: 0,
            newHash: fakeHash('new'),
            keepSessionId: session.id,
            now: later(1),
          }),
        writes: [
          ['user', user.id],
          ['session', session.id],
        ],
      };
    },
  },
  {
    name: 'eraseUser',
    async prepare(repo) {
      const { user, session } = await signUp(repo);
      const second = await logIn(repo, user.id);
      return {
        run: (asked) => asked.eraseUser({ userId: user.id, sessionGeneration: null, now: later(1) }),
        writes: [['user', user.id], ...[session.id, second.id].sort().map((id) => ['session', id] as const)],
      };
    },
  },
  {
    name: 'requestReset',
    async prepare(repo) {
      const { user } = await signUp(repo);
      const token = newResetToken(user.id);
      return {
        run: (asked) => asked.requestReset({ token, decoy: false, now: later(1) }),
        writes: [
          ['user', user.id],
          ['resetToken', token.id],
        ],
      };
    },
  },
  {
    name: 'openSession',
    async prepare(repo) {
      const { user, session } = await signUp(repo);
      const older = await logIn(repo, user.id, { rotatedAt: later(-2), createdAt: later(-2) });
      const other = await signUp(repo);
      const opened = newSession(user.id, { createdAt: later(1), rotatedAt: later(1) });
      return {
        run: (asked) =>
          asked.openSession({
            session: opened,
            replacesId: other.session.id,
            sessionsMax: 1,
            now: later(1),
          }),
        writes: [
          ['session', opened.id],
          ['session', other.session.id],
          ['session', session.id],
          ['session', older.id],
        ],
      };
    },
  },
];

/** Operations of one write, on an account whose verification mail is due. */
const SINGLE: Readonly<Record<string, (repo: Repository, account: Account) => Promise<unknown>>> = {
  upgradeHash: (repo, { user }) =>
    repo.upgradeHash({
      userId: user.id,
      oldHash: user.passwordHash ?? '',
      newHash: fakeHash('x'),
      now: NOW,
    }),
  endSessions: (repo, { user }) => repo.endSessions({ userId: user.id, now: NOW }),
  addVerificationToken: (repo, { user }) => repo.addVerificationToken(newVerificationToken(user.id)),
  verifyEmail: (repo, { user, token }) => repo.verifyEmail({ userId: user.id, tokenId: token.id, now: NOW }),
  consumeReset: (repo, { user }) =>
    repo.consumeReset({ userId: user.id, generation: 0, newHash: fakeHash('x'), now: NOW }),
  rotateSession: (repo, { session }) =>
    repo.rotateSession({
      sessionId: session.id,
      fromHash: session.tokenHash,
      toHash: freshHash(),
      now: NOW,
      idleExpiresAt: later(9),
    }),
  revokeSession: (repo, { session }) =>
    repo.revokeSession({ sessionId: session.id, userId: null, reason: 'logout', now: NOW }),
  moveMailDue: (repo, { token }) =>
    repo.moveMailDue({
      purpose: 'verificationToken',
      tokenId: token.id,
      from: token.mailDueAt ?? NOW,
      to: null,
    }),
};

export function stepCases({ store, repo, readRaw, commits }: StoreSubject): void {
  const all = (written: readonly Written[]): Promise<readonly (RawRecord | null)[]> =>
    Promise.all(written.map(([entity, id]) => readRaw(entity, id)));

  /** Runs it with so many permissions to continue; what it was refused with, null when it went through. */
  async function attempt({ run }: Prepared, granted: number) {
    const heard: string[] = [];
    /** How many records had been written at each question. */
    const questions: number[] = [];
    const asking = store.at({
      epoch: 1,
      pending: false,
      onWrite: (entity, id) => heard.push(`${entity} ${id}`),
      mayContinue: () => questions.push(heard.length) <= granted,
    });
    const refusal = await run(asking).then(
      () => null,
      (error: unknown) => error,
    );
    return { heard, questions, refusal };
  }

  describe('mayContinue', () => {
    it.each(OPERATIONS)('ends $name where it is refused, and nowhere else', async ({ prepare }) => {
      for (let granted = 0; ; granted += 1) {
        const prepared = await prepare(repo);
        const before = await all(prepared.writes);
        const { heard, questions, refusal } = await attempt(prepared, granted);
        const after = await all(prepared.writes);
        if (refusal === null) {
          expect(questions).toHaveLength(granted);
          expect(heard.toSorted()).toEqual(prepared.writes.map((each) => each.join(' ')).toSorted());
          if (commits === 'one by one') expect(granted).toBeGreaterThanOrEqual(prepared.writes.length);
          else expect(granted).toBe(1);
          return;
        }
        expect(refusal).toBeInstanceOf(StoreUnavailable);
        expect(refusal).toMatchObject({ store: store.name, reason: 'lease-lost' });
        if (commits === 'together' || granted === 0) {
          expect(refusal).toMatchObject({ outcome: 'none' });
          expect(heard).toEqual([]);
          expect(after).toEqual(before);
          continue;
        }
        expect(refusal).toMatchObject({ outcome: 'unknown' });
        expect(heard.length).toBeLessThanOrEqual(granted);
        const changed = prepared.writes.filter(
          (_, index) => JSON.stringify(after[index]) !== JSON.stringify(before[index]),
        );
        expect(changed.map((each) => each.join(' ')).toSorted()).toEqual(heard.toSorted());
      }
    });

    it.each(Object.entries(SINGLE))(
      'is asked by %s between what it read and its only write',
      async (_, run) => {
        const account = newAccount();
        const due = { ...account, token: { ...account.token, mailDueAt: later(60_000) } };
        await repo.createAccount(due);
        const before = await all(recordsOf(account));
        let asked = 0;
        const mayContinue = (): boolean => {
          asked += 1;
          return false;
        };
        const refusal = { store: store.name, reason: 'lease-lost', outcome: 'none' };
        const asking = store.at({ epoch: 1, pending: false, mayContinue });
        await expect(run(asking, due)).rejects.toMatchObject(refusal);
        expect(asked).toBe(1);
        expect(await all(recordsOf(account))).toEqual(before);
      },
    );

    it('is not asked when there is nothing to write', async () => {
      const { user, session } = await signUp(repo);
      const refusing = store.at({ epoch: 1, pending: false, mayContinue: () => false });
      const change = { userId: user.id, newHash: fakeHash('new'), keepSessionId: session.id, now: NOW };
      expect(await refusing.changePassword({ ...change, sessionGeneration: 7 })).toBe('changed');
      const token = newResetToken(session.id);
      expect(await refusing.requestReset({ token, decoy: false, now: NOW })).toBe('gone');
      const revocation = { sessionId: session.id, userId: null, reason: 'logout', now: NOW } as const;
      expect(await repo.revokeSession(revocation)).toBe(true);
      expect(await refusing.revokeSession(revocation)).toBe(false);
      expect(await refusing.findUser(user.id)).toMatchObject(user);
    });
  });
}

function recordsOf({ user, token, session }: Account): readonly Written[] {
  return [
    ['user', user.id],
    ['verificationToken', token.id],
    ['session', session.id],
  ];
}
