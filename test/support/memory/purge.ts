import type { PurgeCounts, PurgeQuery } from '../../../db/port.ts';
import { type Engine, records } from './engine.ts';

/** Within one step. */
export function deleteExpired(engine: Engine, { expiredBefore, limit }: PurgeQuery): PurgeCounts {
  const deleteFrom = (entity: 'verificationToken' | 'resetToken' | 'session'): number => {
    const expired = [...records(engine, entity)]
      .filter(({ expiresAt }) => expiresAt < expiredBefore)
      .sort((a, b) => Number(a.expiresAt) - Number(b.expiresAt))
      .slice(0, limit);
    for (const { id } of expired) engine.remove(entity, id);
    return expired.length;
  };
  return {
    verificationTokens: deleteFrom('verificationToken'),
    resetTokens: deleteFrom('resetToken'),
    sessions: deleteFrom('session'),
  };
}
