/** What a record says, as levels. */
import type { SessionRecord, UserRecord } from '../../../../db/records.ts';
import type { Levels } from './floors.ts';

const flag = (value: boolean): number => (value ? 1 : 0);

/** A level starts at 1 for a record that is there, so that a missing one is below it. */
export function levelsOfUser(user: Omit<UserRecord, 'stamp'> | null): Levels {
  if (user === null) return {};
  return {
    exists: 1,
    sessionGeneration: user.sessionGeneration,
    resetGeneration: user.resetGeneration,
    verified: flag(user.isVerified),
    erased: flag(user.deletedAt !== null),
  };
}

export function levelsOfSession(session: Omit<SessionRecord, 'stamp'> | null): Levels {
  if (session === null) return {};
  return {
    exists: 1,
    rotation: session.rotation,
    generation: session.generation,
    revoked: flag(session.revokedAt !== null),
  };
}
