import { emailKey } from '../../../db/email.ts';
import { EmailTaken } from '../../../db/errors.ts';
import type { DueMail, Repository, WriteContext } from '../../../db/port.ts';
import type { MailedToken, ResetTokenRecord, SessionRecord, UserRecord } from '../../../db/records.ts';
import * as transitions from '../../../db/transitions.ts';
import { createWriter, type Engine, records, type Writer } from './engine.ts';
import { deleteExpired } from './purge.ts';

/** The port, each operation one atomic step. */
export function createRepository(engine: Engine, context: WriteContext): Repository {
  const read = <T>(name: keyof Repository, step: () => T): Promise<T> => engine.operate(name, 'read', step);

  async function write<T>(name: keyof Repository, step: (writer: Writer) => T): Promise<T> {
    const writer = createWriter(engine, context);
    const result = await engine.operate(name, 'write', () => {
      const answer = step(writer);
      writer.commit();
      return answer;
    });
    writer.tell();
    return result;
  }

  const find = createWriter(engine, context).find;

  function userByKey(key: string | null): UserRecord | null {
    return key === null ? null : (records(engine, 'user').find((user) => user.emailKey === key) ?? null);
  }

  function ofUser(userId: string): SessionRecord[] {
    return records(engine, 'session')
      .filter((session) => session.userId === userId)
      .sort(transitions.byLastUse);
  }

  return {
    createAccount: ({ user, token, session }) =>
      write('createAccount', ({ insert }) => {
        insert('user', user);
        const holder = records(engine, 'user').find(
          ({ id, emailKey: key }) => id !== user.id && key === user.emailKey,
        );
        if (user.emailKey !== null && holder !== undefined) throw new EmailTaken('the e-mail is taken');
        insert('verificationToken', token);
        insert('session', session);
      }),

    findUser: (id) => read('findUser', () => find('user', id)),

    findUserByEmail: (email) => read('findUserByEmail', () => userByKey(emailKey(email))),

    upgradeHash: (hash) =>
      write('upgradeHash', ({ change }) =>
        isDone(change('user', hash.userId, (user) => transitions.upgradeHash(user, hash))),
      ),

    changePassword: (password) =>
      write('changePassword', ({ change }) => {
        const changed = change('user', password.userId, (user) => transitions.changePassword(user, password));
        if (changed === null || 'refused' in changed) return changed?.refused ?? 'gone';
        change('session', password.keepSessionId, (session) =>
          session.userId === password.userId
            ? transitions.adoptGeneration(session, {
                from: password.sessionGeneration,
                to: changed.done.sessionGeneration,
              })
            : { refused: 'changed' },
        );
        return 'done';
      }),

    eraseUser: (erasure) =>
      write('eraseUser', ({ change }) => {
        const erased = change('user', erasure.userId, (user) => transitions.eraseUser(user, erasure));
        if (erased === null || 'refused' in erased) return erased?.refused ?? 'gone';
        for (const { id } of ofUser(erasure.userId)) {
          change('session', id, (session) => transitions.scrubSession(session, erasure));
        }
        engine.forgetKept([erasure.userId]);
        return 'done';
      }),

    endSessions: (ending) =>
      write('endSessions', ({ change }) =>
        outcome(change('user', ending.userId, (user) => transitions.endSessions(user, ending))),
      ),

    addVerificationToken: (token) =>
      write('addVerificationToken', ({ insert }) => insert('verificationToken', token)),

    findVerificationToken: ({ hash }) =>
      read('findVerificationToken', () => {
        const token = newestOf(records(engine, 'verificationToken'), hash);
        return token === undefined ? null : { token, user: find('user', token.userId) };
      }),

    verifyEmail: (verification) =>
      write('verifyEmail', ({ change }) =>
        outcome(change('user', verification.userId, (user) => transitions.verifyEmail(user, verification))),
      ),

    requestReset: ({ token, decoy, now }) =>
      write('requestReset', ({ change, insert }) => {
        if (decoy) {
          insert('resetToken', { ...token, generation: 0 });
          return 'done';
        }
        const raised = change('user', token.userId, (user) =>
          transitions.raiseResetGeneration(user, { now }),
        );
        if (raised === null || 'refused' in raised) return 'gone';
        insert('resetToken', { ...token, generation: raised.done.resetGeneration });
        return 'done';
      }),

    findResetToken: ({ hash }) =>
      read('findResetToken', () => {
        const all = records(engine, 'resetToken');
        const token = newestOf(all, hash);
        if (token === undefined) return null;
        const superseded = all.some((each) => isRival(each, token) && transitions.isNewerToken(each, token));
        return { token, user: find('user', token.userId), superseded };
      }),

    consumeReset: (reset) =>
      write('consumeReset', ({ change }) =>
        outcome(change('user', reset.userId, (user) => transitions.consumeReset(user, reset))),
      ),

    openSession: ({ session, replacesId, sessionsMax, now }) =>
      write('openSession', ({ change, insert }) => {
        const revoke = (id: string, reason: 'replaced' | 'limit') => {
          const result = change('session', id, (other) => transitions.revokeSession(other, { reason, now }));
          return result !== null && 'done' in result ? [result.done] : [];
        };
        const user = find('user', session.userId);
        const stored = transitions.openSession(session, user, { now });
        insert('session', stored);
        if (!transitions.isLive(stored, user, now)) return { isLive: false, ended: [] };
        const ended = replacesId !== null && replacesId !== session.id ? revoke(replacesId, 'replaced') : [];
        const others = ofUser(session.userId).filter(
          (other) => other.id !== session.id && transitions.isLive(other, user, now),
        );
        const surplus = others.slice(Math.max(0, sessionsMax - 1));
        return { isLive: true, ended: [...ended, ...surplus.flatMap(({ id }) => revoke(id, 'limit'))] };
      }),

    findSession: (id) =>
      read('findSession', () => {
        const session = find('session', id);
        return session && { session, user: find('user', session.userId) };
      }),

    listSessions: ({ userId, now }) =>
      read('listSessions', () => {
        const user = find('user', userId);
        return ofUser(userId).filter((session) => transitions.isLive(session, user, now));
      }),

    rotateSession: (rotation) =>
      write('rotateSession', ({ change }) => {
        const rotated = change('session', rotation.sessionId, (session) =>
          transitions.rotateSession(session, rotation),
        );
        return rotated !== null && 'done' in rotated ? rotated.done : null;
      }),

    revokeSession: ({ sessionId, userId, reason, now }) =>
      write('revokeSession', ({ change }) =>
        isDone(
          change<'session', 'revoked'>('session', sessionId, (session) =>
            userId === null || session.userId === userId
              ? transitions.revokeSession(session, { reason, now })
              : { refused: 'revoked' },
          ),
        ),
      ),

    listDueMail: ({ now, limit }) =>
      read('listDueMail', () => {
        const due: DueMail[] = [
          ...records(engine, 'verificationToken').map(
            (token) => ({ purpose: 'verificationToken', token }) as const,
          ),
          ...records(engine, 'resetToken').map((token) => ({ purpose: 'resetToken', token }) as const),
        ];
        return due
          .filter(({ token }) => token.mailDueAt !== null && token.mailDueAt <= now && token.expiresAt > now)
          .sort((a, b) => Number(a.token.mailDueAt) - Number(b.token.mailDueAt))
          .slice(0, limit);
      }),

    moveMailDue: ({ purpose, tokenId, from, to }) =>
      write('moveMailDue', ({ change }) => {
        const move = <T extends MailedToken>(token: T) => transitions.moveMailDue(token, { from, to });
        return isDone(
          purpose === 'resetToken' ? change(purpose, tokenId, move) : change(purpose, tokenId, move),
        );
      }),

    purge: (query) => write('purge', () => deleteExpired(engine, query)),
  };
}

type Result<R extends string> = { readonly done: unknown } | { readonly refused: R } | null;

function isDone(result: Result<string>): boolean {
  return result !== null && 'done' in result;
}

function outcome<R extends string>(result: Result<R>): 'done' | 'gone' | R {
  if (result === null) return 'gone';
  return 'refused' in result ? result.refused : 'done';
}

function isRival(a: ResetTokenRecord, b: ResetTokenRecord): boolean {
  return a.userId === b.userId && a.generation === b.generation;
}

/** Legacy documents may share a token: the newest has it. */
function newestOf<T extends MailedToken>(all: readonly T[], hash: string): T | undefined {
  return all
    .filter((each) => each.tokenHash === hash)
    .reduce<T | undefined>(
      (best, each) => (best === undefined || transitions.isNewerToken(each, best) ? each : best),
      undefined,
    );
}
