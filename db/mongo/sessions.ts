import { decodeId } from '../ids.ts';
import type { Repository } from '../port.ts';
import { compareStamps, type New, type SessionRecord } from '../records.ts';
import * as transitions from '../transitions.ts';
import { asKept } from './kept-session.ts';
import { inSteps } from './steps.ts';
import { change, type Found, find, findAll, insert, type Scope } from './writes.ts';

type Sessions = Pick<
  Repository,
  'openSession' | 'findSession' | 'listSessions' | 'rotateSession' | 'revokeSession'
>;

/** Far above any sensible bound per user; what lies past it expires by itself. */
const SESSIONS_READ_MAX = 10_000;

/** The documents of sessions that were found, for as long as somebody holds on to the record: a rotation mostly follows. */
const foundAs = new WeakMap<SessionRecord, Found<'session'>>();

export function createSessions(scope: Scope): Sessions {
  const { client, serial } = scope;

  async function unrevoked(userId: string, now: Date): Promise<SessionRecord[]> {
    const filter = {
      userId: { $eq: decodeId(userId) },
      revokedAt: null,
      expiresAt: { $gt: now },
      idleExpiresAt: { $gt: now },
    };
    const found = await findAll(client, 'session', filter, { limit: SESSIONS_READ_MAX });
    return found.map(({ record }) => record).sort(transitions.byLastUse);
  }

  /** The session as revoked, in a list; an empty one when there was nothing to revoke. */
  async function revoke(
    inner: Scope,
    id: string,
    userId: string | null,
    reason: SessionRecord['revokedReason'],
    now: Date,
  ): Promise<SessionRecord[]> {
    const result = await change(inner, 'session', id, (session) =>
      userId === null || session.userId === userId
        ? transitions.revokeSession(session, { reason: reason ?? 'ended', now })
        : { refused: 'revoked' },
    );
    return result !== null && 'done' in result ? [result.done] : [];
  }

  async function enforceLimit(
    inner: Scope,
    session: New<SessionRecord>,
    sessionsMax: number,
    now: Date,
  ): Promise<SessionRecord[]> {
    const others = (await unrevoked(session.userId, now)).filter(
      ({ id, generation }) => id !== session.id && generation === session.generation,
    );
    const ended: SessionRecord[] = [];
    for (const other of others.slice(Math.max(0, sessionsMax - 1))) {
      // One opened after this on another instance counts this one: revoking each other would leave neither.
      if (other.createdAt <= session.createdAt) {
        ended.push(...(await revoke(inner, other.id, null, 'limit', now)));
      }
    }
    return ended;
  }

  /** Of the user as it is once the session is there: what comes later ends a session that others could have used. */
  async function isLiveOnceStored(inner: Scope, session: New<SessionRecord>, now: Date): Promise<boolean> {
    const user = (await find(client, 'user', session.userId))?.record ?? null;
    // An erasure takes the personal data out of the sessions that it finds: one that came after it does so itself.
    if (user !== null && user.deletedAt !== null) {
      await change(inner, 'session', session.id, (stored) => transitions.scrubSession(stored, { now }));
    }
    return transitions.isLive(session, user, now);
  }

  return {
    openSession: ({ session, replacesId, sessionsMax, now }) =>
      inSteps(scope, async (inner) => {
        await insert(inner, 'session', session);
        if (!(await isLiveOnceStored(inner, session, now))) return { isLive: false, ended: [] };
        const replaced = replacesId === null ? [] : await revoke(inner, replacesId, null, 'replaced', now);
        const key = `sessions of ${session.userId}`;
        const surplus = await serial(key, () => enforceLimit(inner, session, sessionsMax, now));
        return { isLive: true, ended: [...replaced, ...surplus] };
      }),

    async findSession(id) {
      const found = await find(client, 'session', id);
      if (found === null) return null;
      // After the session: a generation read before it could be older than the end of the session.
      const user = await find(client, 'user', found.record.userId);
      const session = asKept(found.record, user);
      foundAs.set(session, found);
      return { session, user: user?.record ?? null };
    },

    async listSessions({ userId, now }) {
      const sessions = await unrevoked(userId, now);
      const user = await find(client, 'user', userId);
      return sessions
        .map((session) => asKept(session, user))
        .filter((session) => transitions.isLive(session, user?.record ?? null, now));
    },

    async rotateSession({ known, ...rotation }) {
      const decide = (session: SessionRecord) => {
        // It was found to be kept (see `asKept`), and has not been written so.
        const isAsFound = known !== undefined && compareStamps(known.stamp, session.stamp) === 0;
        const kept = isAsFound ? { ...session, generation: known.generation } : session;
        return transitions.rotateSession(kept, rotation);
      };
      const found = known === undefined ? null : (foundAs.get(known) ?? null);
      const result = await change(scope, 'session', rotation.sessionId, decide, {}, found);
      return result !== null && 'done' in result ? result.done : null;
    },

    async revokeSession({ sessionId, userId, reason, now }) {
      return (await revoke(scope, sessionId, userId, reason, now)).length > 0;
    },
  };
}
