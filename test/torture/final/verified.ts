/** Invariant 7 by the product's own verbs: `verify` finds one byte that a foreign hand has changed, `repair` puts it right. */
import mongoose from 'mongoose';
import { startCoordinator } from '../flips/operator.ts';
import type { System } from '../system/system.ts';
import type { Contents } from './records.ts';

/** At rest, while PostgreSQL has authority. Resolves to what does not hold. */
export async function verifyFindsAByte(system: System, { rows }: Contents): Promise<readonly string[]> {
  const user = [...rows.users.values()].find(({ deleted_at: deletedAt }) => deletedAt === null);
  if (user === undefined) return ['there is no user to plant a difference in'];
  const [id, name] = [String(user['id']), String(user['name'])];
  const run = async (verb: 'verify' | 'repair') => (await startCoordinator(system, { verb })).ended;
  const client = new mongoose.mongo.MongoClient(system.stores.mongo.url, { directConnection: true });
  try {
    const users = client.db().collection('users');
    const _id = new mongoose.mongo.ObjectId(id);
    const planted = `${name.slice(0, -1)}${name.endsWith('!') ? '?' : '!'}`;
    await users.updateOne({ _id }, { $set: { name: planted } });
    const found = await run('verify');
    const [, ...named] = found?.reasons ?? [];
    const isFound = named.length === 1 && named[0]?.startsWith(`user ${id} `) && named[0].endsWith(' name');
    if (found?.result !== 'difference' || !isFound)
      return [`verify did not find one byte: ${JSON.stringify(found)}`];
    const repaired = await run('repair');
    if (repaired?.result !== 'done') return [`repair did not go through: ${JSON.stringify(repaired)}`];
    const after = await run('verify');
    if (after?.result !== 'done') return [`verify is not clean after the repair: ${JSON.stringify(after)}`];
    const document = await users.findOne({ _id });
    return document?.['name'] === name ? [] : [`repair did not put back the name of user ${id}`];
  } finally {
    await client.close();
  }
}
