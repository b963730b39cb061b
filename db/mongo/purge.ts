/** Retention. */
import type { PurgeCounts, PurgeQuery, Repository } from '../port.ts';
import type { Entity } from '../records.ts';
import type { Client } from './client.ts';
import type { StoredDoc } from './models.ts';
import { finishErasures } from './scrub.ts';
import { inSteps } from './steps.ts';
import type { Scope } from './writes.ts';

export function createPurge(scope: Scope): Pick<Repository, 'purge'> {
  return {
    async purge(query) {
      await inSteps(scope, (inner) => finishErasures(inner, query.limit, query.expiredBefore));
      return deleteExpired(scope.client, query);
    },
  };
}

/** Deletes by the records' own times alone, which is the same in every store. */
export async function deleteExpired(
  client: Client,
  { expiredBefore, limit }: PurgeQuery,
): Promise<PurgeCounts> {
  async function deleteFrom(entity: Entity): Promise<number> {
    const { codec } = client;
    const expired = {
      [codec.path(entity, 'expiresAt').text]: codec.before(entity, 'expiresAt', expiredBefore),
    };
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
    verificationTokens: await deleteFrom('verificationToken'),
    resetTokens: await deleteFrom('resetToken'),
    sessions: await deleteFrom('session'),
  };
}
