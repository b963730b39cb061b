/** Retention. */
import { canonicalUser, STORE_FIELDS } from '../canonical.ts';
import type { Repository } from '../port.ts';
import type { Entity } from '../records.ts';
import type { StoredDoc } from './models.ts';
import { scrubSessions } from './scrub.ts';
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

  /** Finishes what an erasure left when its process died between user and sessions. */
  async function scrubLeftovers(limit: number): Promise<void> {
    const due = { [STORE_FIELDS.scrubDue]: true };
    const docs = await client.read(({ models, maxTimeMS }) =>
      models.user.find(due, null, { limit, maxTimeMS }).lean<StoredDoc[]>().exec(),
    );
    for (const doc of docs) {
      const user = canonicalUser(doc);
      if ('record' in user && user.record.deletedAt !== null) {
        await scrubSessions(scope, user.record.id, user.record.deletedAt);
      }
    }
  }

  return {
    async purge({ expiredBefore, limit }) {
      await scrubLeftovers(limit);
      return {
        verificationTokens: await purgeExpired('verificationToken', expiredBefore, limit),
        resetTokens: await purgeExpired('resetToken', expiredBefore, limit),
        sessions: await purgeExpired('session', expiredBefore, limit),
      };
    },
  };
}
