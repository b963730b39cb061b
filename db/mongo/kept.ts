/** What is kept of users besides their records: documents that were moved aside. It goes when they are erased. */
import type { Client } from './client.ts';
import { ASIDE_COLLECTION } from './indexes.ts';

/** How many there were. `before` is asked before each write. */
export async function forgetKept(
  client: Client,
  userIds: readonly string[],
  before: () => void = () => {},
): Promise<number> {
  if (userIds.length === 0) return 0;
  let count = 0;
  for (const filter of [
    { recordId: { $in: [...userIds] }, entity: 'user' },
    { owner: { $in: [...userIds] } },
  ]) {
    const { deletedCount } = await client.write(({ db, maxTimeMS }) => {
      before();
      return db.collection(ASIDE_COLLECTION).deleteMany(filter, { maxTimeMS });
    });
    count += deletedCount;
  }
  return count;
}
