/** Checks over all staged rows together, and the changes of staging that follow from them. */
import type { Entity } from '../../records.ts';
import type { Connection, PostgresBulk } from './client.ts';
import { stagingTable } from './staging.ts';

/** E-mail keys that more than one staged user answers to, in pages. */
export async function sharedEmails(
  bulk: PostgresBulk,
  page: { readonly after: string; readonly limit: number },
): Promise<readonly string[]> {
  const rows = await bulk.query<{ key: string }>(
    `select email_key as key from staging.users
     where email_key > $1 group by email_key having count(*) > 1 order by email_key limit $2`,
    [page.after, page.limit],
  );
  return rows.map(({ key }) => key);
}

/** Staged users of an e-mail key, in pages. */
export async function stagedByKey(
  bulk: PostgresBulk,
  emailKey: string,
  page: { readonly after: string; readonly limit: number },
): Promise<readonly string[]> {
  const rows = await bulk.query<{ id: string }>(
    'select id from staging.users where email_key = $1 and id > $2 order by id limit $3',
    [emailKey, page.after, page.limit],
  );
  return rows.map(({ id }) => id);
}

export async function unstage(
  connection: Pick<Connection, 'query'>,
  entity: Entity,
  ids: readonly string[],
): Promise<void> {
  await connection.query(`delete from ${stagingTable(entity)} where id = any($1::text[])`, [[...ids]]);
}

/** Staged sessions of users that were put aside, in pages; `isHeld`: nothing was decided about the user yet. */
export function sessionsOfAside(
  bulk: PostgresBulk,
  who: 'all' | 'decided',
  page: { readonly after: string; readonly limit: number },
): Promise<readonly { readonly id: string; readonly isHeld: boolean }[]> {
  return bulk.query<{ id: string; isHeld: boolean }>(
    `select s.id, q.state = 'held' as "isHeld" from staging.sessions as s
     join copy_quarantine as q on q.entity = 'user' and q.record_id = s.user_id and q.state = any($3::text[])
     where s.id > $1 and not exists (select from staging.users as u where u.id = s.user_id)
       and not exists (select from users as u where u.id = s.user_id)
     order by s.id limit $2`,
    [page.after, page.limit, [...(who === 'all' ? ['held'] : []), 'accepted', 'dropped']],
  );
}

/** How many staged tokens of a kind are of nobody: neither staged nor mirrored meanwhile, nor bad or put aside. */
export async function countDanglingTokens(
  bulk: PostgresBulk,
  entity: 'verificationToken' | 'resetToken',
  run: string,
): Promise<number> {
  const [row] = await bulk.query<{ count: number }>(
    `select count(*)::int as count from ${stagingTable(entity)} as s
     where (select true from staging.users as u where u.id = s.user_id) is null
       and (select true from users as u where u.id = s.user_id) is null
       and not exists (select from copy_quarantine as q where q.entity = 'user' and q.record_id = s.user_id)
       and not exists (select from copy_findings as f
         where f.run = $1 and f.entity = 'user' and f.record_id = s.user_id)`,
    [run],
  );
  return row?.count ?? 0;
}

/** How many staged tokens of a kind are the same as another's. */
export async function countSharedTokens(
  bulk: PostgresBulk,
  entity: 'verificationToken' | 'resetToken',
): Promise<number> {
  const [row] = await bulk.query<{ count: number }>(
    `select coalesce(sum(each), 0)::int as count
     from (select count(*) as each from ${stagingTable(entity)} group by token_hash having count(*) > 1) as shared`,
  );
  return row?.count ?? 0;
}
