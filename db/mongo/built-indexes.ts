/** The indexes that are there: one that is still being built refuses nothing yet, though servers list it. */
import type mongoose from 'mongoose';

export type Index = mongoose.mongo.IndexDescriptionInfo;

/** Asked so, a server lists one under construction as `{ spec, buildUUID }`. */
export async function builtIndexes(
  db: mongoose.mongo.Db,
  collection: string,
  maxTimeMS?: number,
): Promise<readonly Index[]> {
  const command = { listIndexes: collection, includeBuildUUIDs: true, cursor: {} };
  const entries = await db
    .runCursorCommand(maxTimeMS === undefined ? command : { ...command, maxTimeMS })
    .toArray();
  return entries.filter((entry) => !Object.hasOwn(entry, 'buildUUID')) as Index[];
}
