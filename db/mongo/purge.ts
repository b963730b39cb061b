/** Retention. */
import type { Repository } from '../port.ts';
import type { Entity } from '../records.ts';
import type { StoredDoc } from './models.ts';
import { finishErasures } from './scrub.ts';
import type { Scope } from './writes.ts';

export function createPurge(scope: Scope): Pick<Repository, 'purge'> {
  const { client } = scope;

  async function purgeExpired(entity: Entity, before: Date, limit: number): Promise<number> {
    const expired = { expiresAt: { $lt: before } };
    const docs = await client.read(({ models, maxTimeMS }) =>
      models[entity].find(expired, { _id: 1 }, { limit, maxTimeMS }).lean<StoredDoc[]>().exec(),
    );
    if (docs.length === 0) return 0;
    const filter = { _id: { $in: docs.map(({ _id }) => _id) }, ...expired };
    const { deletedCount } = await client.write(({ models, maxTimeMS }) =>
      models[entity].collection.deleteMany(filter as never, { maxTimeMS }),
    );
    return deletedCount;
  }

  return {
    async purge({ expiredBefore, limit }) {
      await finishErasures(scope, limit, expiredBefore);
      return {
        verificationTokens: await purgeExpired('verificationToken', expiredBefore, limit),
        resetTokens: await purgeExpired('resetToken', expiredBefore, limit),
        sessions: await purgeExpired('session', expiredBefore, limit),
      };
    },
  };
}
