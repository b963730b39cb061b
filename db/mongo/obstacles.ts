/** What this service cannot work with, or only until a document is refused: of the server, and of the old service's collections. */
import type mongoose from 'mongoose';
import type { Codec, Doc } from '../canonical.ts';

export interface Obstacle {
  /** Only with `validator` can there be any work at all. */
  readonly kind: 'sharded' | 'view' | 'collation' | 'capped' | 'validator';
  readonly found: string;
  readonly remedy: string;
}

export async function obstaclesIn(
  db: mongoose.mongo.Db,
  { collections }: Codec,
): Promise<readonly Obstacle[]> {
  const names = new Set<string>(Object.values(collections));
  const hello = await db.admin().command({ hello: 1 });
  const listed = await db.listCollections({}, { nameOnly: false }).toArray();
  return obstaclesOf(
    hello,
    listed.filter(({ name }) => names.has(name)),
  );
}

interface Listed {
  readonly name: string;
  readonly type?: string;
  readonly options?: Doc;
}

/** By the server's own words. */
function obstaclesOf(hello: Doc, listed: readonly Listed[]): readonly Obstacle[] {
  const sharded: Obstacle = {
    kind: 'sharded',
    found: 'MONGO_URL leads to mongos, and a sharded cluster keeps no e-mail unique',
    remedy: 'let it lead to a replica set',
  };
  return [...(hello['msg'] === 'isdbgrid' ? [sharded] : []), ...listed.flatMap(obstaclesOfCollection)];
}

function obstaclesOfCollection({ name, type = 'collection', options = {} }: Listed): readonly Obstacle[] {
  if (type !== 'collection') {
    const remedy = 'name the collection of the documents themselves in the mapping';
    return [{ kind: 'view', found: `${name} is a ${type}, which takes no writes or no indexes`, remedy }];
  }
  const { capped, collation, validator, validationAction, validationLevel } = options;
  const found: Obstacle[] = [];
  if (collation !== undefined && collation !== null) {
    found.push({
      kind: 'collation',
      found: `${name} has a collation, under which ids and tokens in other letters count as the same`,
      remedy: 'copy its documents into a collection without one, and rename that',
    });
  }
  if (capped === true) {
    found.push({
      kind: 'capped',
      found: `${name} is capped, and deletes its oldest documents when it is full`,
      remedy: 'copy its documents into a collection that is not capped, and rename that',
    });
  }
  const isHeeded = validationLevel !== 'off' && (validationAction ?? 'error') !== 'warn';
  if (validator !== undefined && Object.keys(Object(validator)).length > 0 && isHeeded) {
    found.push({
      kind: 'validator',
      found: `${name} has a validator, which may refuse what this service writes: documents have new fields, and lack what only the old service knows`,
      remedy: `db.runCommand({ collMod: '${name}', validationLevel: 'off' })`,
    });
  }
  return found;
}

/** Those with which there is no work at all. */
export const forbidding = (obstacles: readonly Obstacle[]): readonly Obstacle[] =>
  obstacles.filter(({ kind }) => kind !== 'validator');
