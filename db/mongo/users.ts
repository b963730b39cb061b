import { STORE_FIELDS } from '../canonical.ts';
import { EmailTaken, IdTaken } from '../errors.ts';
import type { Repository } from '../port.ts';
import * as transitions from '../transitions.ts';
import type { Client } from './client.ts';
import { dropKey, type EmailKeyPass } from './email-keys.ts';
import { lookUpEmail } from './emails.ts';
import { asKept, namesKept } from './kept-session.ts';
import { beginErasure, endErasure, scrubErased } from './scrub.ts';
import { inSteps } from './steps.ts';
import { eraseUnreadable, nullIfUndecodable } from './unreadable.ts';
import { type Change, change, find, insert, type Scope } from './writes.ts';

type Users = Pick<
  Repository,
  | 'createAccount'
  | 'findUser'
  | 'findUserByEmail'
  | 'upgradeHash'
  | 'changePassword'
  | 'eraseUser'
  | 'endSessions'
>;

export function createUsers(scope: Scope, pass: EmailKeyPass): Users {
  const { client } = scope;
  return {
    async createAccount({ user, token, session }) {
      const { holders, unkeyed } = await lookUpEmail(client, user.email ?? '');
      if (unkeyed) pass.kick();
      if (holders.length > 0) throw new EmailTaken('the e-mail is taken');
      // The user goes in first, so whatever could refuse its companions is asked before.
      if ((await find(client, 'verificationToken', token.id)) !== null)
        throw new IdTaken('verificationToken');
      if ((await find(client, 'session', session.id)) !== null) throw new IdTaken('session');
      await inSteps(scope, async (inner) => {
        await insert(inner, 'user', user);
        await insert(inner, 'verificationToken', token);
        await insert(inner, 'session', session);
      });
    },

    findUser: async (id) => (await find(client, 'user', id))?.record ?? null,

    async findUserByEmail(email) {
      const { holders, unkeyed } = await lookUpEmail(client, email);
      if (unkeyed) pass.kick();
      const [first] = holders;
      if (first === undefined) return null;
      const key: unknown = first.doc[STORE_FIELDS.emailKey];
      const isStale = typeof key === 'string' && key !== first.user.emailKey;
      if (isStale) await dropKey(client, first.doc).then(pass.kick);
      return first.user;
    },

    async upgradeHash(hash) {
      const result = await change(scope, 'user', hash.userId, (user) => transitions.upgradeHash(user, hash));
      return result !== null && 'done' in result;
    },

    changePassword: (password) =>
      inSteps(scope, async (inner) => {
        const { sessionGeneration: from } = password;
        const stored = await storedGeneration(client, password);
        const result = await change(
          inner,
          'user',
          password.userId,
          (user) => transitions.changePassword(user, password),
          { also: namesKept(password, stored) },
        );
        if (result === null || 'refused' in result) return result?.refused ?? 'gone';
        const to = result.done.sessionGeneration;
        await change(inner, 'session', password.keepSessionId, (session) => {
          if (session.userId !== password.userId) return { refused: 'changed' };
          const counted = session.generation === stored ? { ...session, generation: from } : session;
          return transitions.adoptGeneration(counted, { from, to });
        });
        return 'done';
      }),

    eraseUser: (erasure) =>
      inSteps(scope, async (inner) => {
        // Before the tombstone: if this process dies between user and sessions, `purge` goes on from here.
        await beginErasure(inner, erasure.userId, erasure.now);
        const readable = change(
          inner,
          'user',
          erasure.userId,
          (user) => transitions.eraseUser(user, erasure),
          // A phone number or an address in a field we know nothing of is personal data, too.
          { bare: true },
        );
        // Who asks for any state of the user asks for a document that cannot be read as well.
        const result =
          erasure.sessionGeneration === null
            ? ((await readable.catch(nullIfUndecodable)) ?? (await eraseUnreadable(inner, erasure)))
            : await readable;
        const isTombstone = result !== null && ('done' in result || result.refused === 'gone');
        if (isTombstone) await scrubErased(inner, erasure.userId, erasure.now);
        await endErasure(inner, erasure.userId);
        return outcome(result);
      }),

    async endSessions(ending) {
      return outcome(
        await change(scope, 'user', ending.userId, (user) => transitions.endSessions(user, ending)),
      );
    },
  };
}

/** The generation that the session's document holds while it counts as one of the user's (see `asKept`). */
async function storedGeneration(
  client: Client,
  { keepSessionId, userId, sessionGeneration }: Parameters<Users['changePassword']>[0],
): Promise<number> {
  const session = (await find(client, 'session', keepSessionId))?.record;
  if (session === undefined || session.userId !== userId) return sessionGeneration;
  const counted = asKept(session, await find(client, 'user', userId));
  return counted.generation === sessionGeneration ? session.generation : sessionGeneration;
}

/** The port's word for how a change of a user went; a user that is not there is gone. */
export function outcome<R extends string>(result: Change<'user', R> | null): 'done' | 'gone' | R {
  if (result === null) return 'gone';
  return 'done' in result ? 'done' : result.refused;
}
