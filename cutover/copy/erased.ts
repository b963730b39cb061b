/** Users who have been erased while a copy was at work, or while nothing was mirrored to PostgreSQL. */
import type { StoreName } from '../../db/errors.ts';
import { decodeIds } from '../../db/ids.ts';
import { eachRaw } from '../../db/mongo/copy/scan.ts';
import type { CopyScope } from './types.ts';

const PAGE = 200;

/** Whose things are kept. */
interface Owner {
  readonly id: string;
  /** In PostgreSQL, of which it is the word only where that has authority: the user may have come back since. */
  readonly hasTombstone: boolean;
}

/**
 * Forgets what copies keep of erased users. Mostly it went with them; but a copy may have kept something that it had read
 * before, and PostgreSQL may not have been told of them.
 */
export async function forgetErased(scope: CopyScope, authority: StoreName): Promise<void> {
  const { postgres, stores } = scope;
  // Of what is put aside PostgreSQL may have no record at all.
  const owners = await postgres.query<Owner & Record<string, unknown>>(
    `select kept.owner as id, users.deleted_at is not null as "hasTombstone"
     from (
       select owner from copy_quarantine where document <> '' and owner is not null
       union select owner from copy_undo join users on users.id = owner
       where before <> '' and users.deleted_at is not null) as kept
     left join users on users.id = kept.owner where users.deleted_at is not null or $1`,
    [authority === 'mongo'],
  );
  for (let from = 0; from < owners.length; from += PAGE) {
    const page = owners.slice(from, from + PAGE);
    const erased = authority === 'postgres' ? page.map(({ id }) => id) : await erasedInMongo(scope, page);
    await stores.postgres.replica.forgetKept(erased);
  }
}

/** Those whom MongoDB holds as erased, or no more while PostgreSQL does. */
async function erasedInMongo({ mongo }: CopyScope, owners: readonly Owner[]): Promise<readonly string[]> {
  const left = new Set(owners.filter(({ hasTombstone }) => hasTombstone).map(({ id }) => id));
  const erased: string[] = [];
  const _ids = decodeIds(owners.map(({ id }) => id));
  for await (const { id, doc } of eachRaw(mongo, 'user', _ids)) {
    left.delete(id);
    const read = doc === null ? null : mongo.codec.read('user', doc);
    if (read !== null && 'record' in read && read.record.deletedAt !== null) erased.push(id);
  }
  return [...erased, ...left];
}
