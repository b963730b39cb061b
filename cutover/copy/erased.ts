/** Users who have been erased while a copy was at work, or while nothing was mirrored to PostgreSQL. */
import type { StoreName } from '../../db/errors.ts';
import { decodeIds } from '../../db/ids.ts';
import { eachRaw } from '../../db/mongo/copy/scan.ts';
import type { CopyScope } from './types.ts';

const PAGE = 200;

/**
 * Forgets what copies keep of erased users. Mostly it went with them; but a copy may have kept something that it had read
 * before, and PostgreSQL may not have been told of them.
 */
export async function forgetErased(scope: CopyScope, authority: StoreName): Promise<void> {
  const { mongo, postgres, stores } = scope;
  const known = await postgres.query<{ id: string }>(
    `select distinct users.id from (
       select owner from copy_quarantine where document <> ''
       union all select owner from copy_undo where before <> '') as kept
     join users on users.id = kept.owner where users.deleted_at is not null`,
  );
  await forget(known.map(({ id }) => id));
  if (authority === 'postgres') return;
  // Of what is put aside PostgreSQL may have no record at all.
  const owners = await postgres.query<{ id: string }>(
    `select distinct owner as id from copy_quarantine where document <> '' and owner is not null`,
  );
  for (let from = 0; from < owners.length; from += PAGE) {
    const _ids = decodeIds(owners.slice(from, from + PAGE).map(({ id }) => id));
    const erased: string[] = [];
    for await (const { id, doc } of eachRaw(mongo, 'user', _ids)) {
      const read = doc === null ? null : mongo.codec.read('user', doc);
      if (read !== null && 'record' in read && read.record.deletedAt !== null) erased.push(id);
    }
    await forget(erased);
  }

  async function forget(ids: readonly string[]): Promise<void> {
    for (let from = 0; from < ids.length; from += PAGE) {
      await stores.postgres.replica.forgetKept(ids.slice(from, from + PAGE));
    }
  }
}
