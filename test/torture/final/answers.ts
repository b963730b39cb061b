/** What a store holds for each address, as the answer of the history's last operation. */
import type { Answer } from '../history/types.ts';
import type { Contents, Row } from './records.ts';

export interface Stored {
  readonly answer: Answer;
  /** Server ids of the sessions that are alive. */
  readonly sessionIds: readonly string[];
}

const isNull = (row: Row, field: string): boolean => (row[field] ?? null) === null;

/** By address, those with a living account; whoever is missing has none. */
export function storedAccounts({ rows }: Contents): ReadonlyMap<string, Stored> {
  const sessions = Map.groupBy(rows.sessions.values(), (session) => String(session['user_id']));
  const living = [...rows.users.values()].filter((user) => isNull(user, 'deleted_at'));
  return new Map(
    living.map((user) => {
      const userId = String(user['id']);
      const generation = Number(user['session_generation'] ?? 0);
      const alive = (sessions.get(userId) ?? []).filter(
        (session) => isNull(session, 'revoked_at') && session['generation'] === generation,
      );
      const answer = { exists: true, userId, isVerified: user['is_verified'] === true, generation };
      return [
        String(user['email']).toLowerCase(),
        { answer, sessionIds: alive.map((session) => String(session['id'])) },
      ];
    }),
  );
}
