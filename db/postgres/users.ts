import { emailKey } from '../email.ts';
import type { Repository } from '../port.ts';
import * as transitions from '../transitions.ts';
import { COLUMNS } from './columns.ts';
import { forgetKept } from './kept.ts';
import { fromRow } from './rows.ts';
import { scrubAll } from './scrub.ts';
import { prepare } from './statements.ts';
import { assertMayWrite, change, newRow, read, replaceLocked, type Scope, transact } from './writes.ts';

type Users = Pick<
  Repository,
  | 'createAccount'
  | 'findUser'
  | 'findUserByEmail'
  | 'upgradeHash'
  | 'changePassword'
  | 'eraseUser'
  | 'endSessions'
  | 'verifyEmail'
  | 'consumeReset'
>;

const findByKey = prepare<[key: string]>()((db, key) =>
  db.selectFrom('users').select(COLUMNS.users).where('email_key', '=', key).compile(),
);

export function createUsers(scope: Scope): Users {
  const { db, context } = scope;
  return {
    async createAccount({ user, token, session }) {
      assertMayWrite(context);
      // One statement, one commit: foreign keys are checked at its end.
      await db
        .with('account', (qb) => qb.insertInto('users').values(newRow('user', user, context)))
        .with('mailed', (qb) =>
          qb.insertInto('verification_tokens').values(newRow('verificationToken', token, context)),
        )
        .insertInto('sessions')
        .values(newRow('session', session, context))
        .execute();
      context.onWrite?.('user', user.id);
      context.onWrite?.('verificationToken', token.id);
      context.onWrite?.('session', session.id);
    },

    findUser: (id) => read(scope, 'user', id),

    async findUserByEmail(email) {
      const [row] = await findByKey(db, emailKey(email));
      return row === undefined ? null : fromRow.user(row);
    },

    async upgradeHash(request) {
      const result = await change(scope, 'user', request.userId, (user) =>
        transitions.upgradeHash(user, request),
      );
      return result !== null && 'done' in result;
    },

    changePassword: (request) =>
      transact(scope, async (inner) => {
        const user = await read(inner, 'user', request.userId, true);
        if (user === null) return 'gone';
        const decision = transitions.changePassword(user, request);
        if ('refused' in decision) return decision.refused;
        await replaceLocked(inner, 'user', user, decision.next);
        const session = await read(inner, 'session', request.keepSessionId, true);
        if (session === null || session.userId !== user.id) return 'done';
        const kept = transitions.adoptGeneration(session, {
          from: user.sessionGeneration,
          to: decision.next.sessionGeneration,
        });
        if ('next' in kept) await replaceLocked(inner, 'session', session, kept.next);
        return 'done';
      }),

    eraseUser: (request) =>
      transact(scope, async (inner) => {
        const user = await read(inner, 'user', request.userId, true);
        if (user === null) return 'gone';
        const decision = transitions.eraseUser(user, request);
        if ('refused' in decision) return decision.refused;
        await replaceLocked(inner, 'user', user, decision.next);
        await scrubAll(inner, user.id, request.now);
        await forgetKept(inner.db, [user.id]);
        return 'done';
      }),

    async endSessions(request) {
      const result = await change(scope, 'user', request.userId, (user) =>
        transitions.endSessions(user, request),
      );
      return result !== null && 'done' in result ? 'done' : 'gone';
    },

    async verifyEmail(request) {
      const result = await change(scope, 'user', request.userId, (user) =>
        transitions.verifyEmail(user, request),
      );
      return outcome(result);
    },

    async consumeReset(request) {
      const result = await change(scope, 'user', request.userId, (user) =>
        transitions.consumeReset(user, request),
      );
      return outcome(result);
    },
  };
}

function outcome<R extends string>(
  result: { readonly done: unknown } | { readonly refused: R } | null,
): 'done' | 'gone' | R {
  if (result === null) return 'gone';
  return 'refused' in result ? result.refused : 'done';
}
