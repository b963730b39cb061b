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
  await nameOwners(client, before);
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

/** No id is empty, and null would be found together with what is missing. */
export const NOBODY = '';

/** Few at a time: each entry holds a whole document. */
const PAGE = 100;

/** Earlier versions, and instances that still run one, do not write down whose a document is. */
async function nameOwners({ codec, read, write }: Client, before: () => void): Promise<void> {
  for (let found = PAGE; found === PAGE; ) {
    const entries = await read(({ db, maxTimeMS }) =>
      db.collection(ASIDE_COLLECTION).find({ owner: null }, { limit: PAGE, maxTimeMS }).toArray(),
    );
    const operations = entries.map(({ _id, entity, document }) => {
      const update = { $set: { owner: codec.owner(entity, document) ?? NOBODY } };
      return { updateOne: { filter: { _id }, update } };
    });
    if (operations.length > 0)
      await write(({ db, maxTimeMS }) => {
        before();
        return db.collection(ASIDE_COLLECTION).bulkWrite(operations, { maxTimeMS });
      });
    found = entries.length;
  }
}
