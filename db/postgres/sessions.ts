import type { Repository } from '../port.ts';
import type { New, SessionRecord, UserRecord } from '../records.ts';
import * as transitions from '../transitions.ts';
import { COLUMNS, prefixed, qualified, unprefixed } from './columns.ts';
import { fromRow } from './rows.ts';
import { prepare } from './statements.ts';
import { change, newRow, read, replaceLocked, type Scope, transact } from './writes.ts';

type Sessions = Pick<
  Repository,
  'openSession' | 'findSession' | 'listSessions' | 'rotateSession' | 'revokeSession'
>;

const findWithUser = prepare<[id: string]>()((db, id) =>
  db
    .selectFrom('sessions')
    .innerJoin('users', 'users.id', 'sessions.user_id')
    .select(qualified('sessions'))
    .select(prefixed('users', 'u_'))
    .where('sessions.id', '=', id)
    .compile(),
);

const listLive = prepare<[userId: string, now: Date]>()((db, userId, now) =>
  db
    .selectFrom('sessions')
    .innerJoin('users', (join) =>
      join
        .onRef('users.id', '=', 'sessions.user_id')
        .onRef('users.session_generation', '=', 'sessions.generation'),
    )
    .select(qualified('sessions'))
    .where('sessions.user_id', '=', userId)
    .where('sessions.revoked_at', 'is', null)
    .where('sessions.expires_at', '>', now)
    .where('sessions.idle_expires_at', '>', now)
    .where('users.deleted_at', 'is', null)
    .orderBy('sessions.rotated_at', 'desc')
    .orderBy('sessions.id', 'desc')
    .compile(),
);

const listUnrevoked = prepare<[userId: string]>()((db, userId) =>
  db
    .selectFrom('sessions')
    .select(COLUMNS.sessions)
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .compile(),
);

export function createSessions(scope: Scope): Sessions {
  const { db } = scope;
  return {
    openSession: ({ session, replacesId, sessionsMax, now }) =>
      transact(scope, async (inner) => {
        // The user's lock queues the logins of one user, so that together they cannot pass the bound.
        const user = await read(inner, 'user', session.userId, true);
        const stored = transitions.openSession(session, user, { now });
        await inner.db
          .insertInto('sessions')
          .values(newRow('session', stored, inner.context))
          .execute();
        inner.context.onWrite?.('session', session.id);
        if (user === null || !transitions.isLive(stored, user, now)) return { isLive: false, ended: [] };
        const isOther = replacesId !== null && replacesId !== session.id;
        const ended = isOther ? await revoke(inner, replacesId, 'replaced', now) : [];
        for (const { id } of await surplus(inner, session.id, user, sessionsMax, now)) {
          ended.push(...(await revoke(inner, id, 'limit', now)));
        }
        return { isLive: true, ended };
      }),

    async findSession(id) {
      const [row] = await findWithUser(db, id);
      if (row === undefined) return null;
      const user = unprefixed(row, 'users', 'u_');
      return { session: fromRow.session(row), user: user === null ? null : fromRow.user(user) };
    },

    async listSessions({ userId, now }) {
      const rows = await listLive(db, userId, now);
      return rows.map(fromRow.session);
    },

    async rotateSession(request) {
      const { sessionId, known = null } = request;
      const decide = (session: SessionRecord) => transitions.rotateSession(session, request);
      const result = await change(scope, 'session', sessionId, decide, known);
      return result !== null && 'done' in result ? result.done : null;
    },

    async revokeSession({ sessionId, userId, reason, now }) {
      const result = await change<'session', 'foreign' | 'revoked'>(scope, 'session', sessionId, (session) =>
        userId !== null && session.userId !== userId
          ? { refused: 'foreign' }
          : transitions.revokeSession(session, { reason, now }),
      );
      return result !== null && 'done' in result;
    },
  };
}

/** The session as revoked, in a list; an empty one when there was nothing left to revoke. */
async function revoke(
  scope: Scope,
  id: string,
  reason: 'replaced' | 'limit',
  now: Date,
): Promise<New<SessionRecord>[]> {
  const session = await read(scope, 'session', id, true);
  const decision = session && transitions.revokeSession(session, { reason, now });
  if (session === null || decision === null || 'refused' in decision) return [];
  await replaceLocked(scope, 'session', session, decision.next);
  return [decision.next];
}

/** The user's live sessions but the new one, less the most recently used that leave room for it. */
async function surplus(
  { db }: Scope,
  newId: string,
  user: UserRecord,
  sessionsMax: number,
  now: Date,
): Promise<readonly SessionRecord[]> {
  const rows = await listUnrevoked(db, user.id);
  return rows
    .map(fromRow.session)
    .filter((session) => session.id !== newId && transitions.isLive(session, user, now))
    .sort(transitions.byLastUse)
    .slice(Math.max(0, sessionsMax - 1));
}
