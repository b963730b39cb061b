/**
 * What is kept of users besides their records: rows that were moved aside, originals that a copy put aside, and what a
 * copy wrote over. It goes when they are erased, in whichever way that is told to this store.
 */
import { CompiledQuery, type Kysely, sql } from 'kysely';
import { ERASED } from '../records.ts';
import type { Database } from './database.ts';
import { emptyWhenNoTable } from './errors.ts';

/** Takes the ids of users; answers how many things there were. What stays are ids, and that there was something. */
export const FORGET_KEPT = `
  with aside as (
    delete from cutover_aside
    where (entity = 'user' and record_id = any($1::text[])) or body ->> 'user_id' = any($1::text[])
    returning 1
  ), originals as (
    update copy_quarantine
    set document = '', state = case state when 'moved' then state else 'dropped' end,
      resolution = case state when 'moved' then resolution else 'erased' end,
      resolved_at = coalesce(resolved_at, date_trunc('milliseconds', now()))
    where owner = any($1::text[]) and document <> ''
    returning 1
  ), written_over as (
    update copy_undo set before = '${ERASED}' where owner = any($1::text[]) and before <> '${ERASED}'
    returning 1
  )
  select ((select count(*) from aside) + (select count(*) from originals)
    + (select count(*) from written_over))::int as count`;

/** How many things there were. To be asked after the tombstone: what a copy keeps meanwhile is seen then. */
export async function forgetKept(db: Kysely<Database>, userIds: readonly string[]): Promise<number> {
  if (userIds.length === 0) return 0;
  const asked = CompiledQuery.raw(FORGET_KEPT, [[...userIds]]);
  const { rows } = await db
    .executeQuery<{ readonly count: number }>(asked as CompiledQuery<{ count: number }>)
    .catch(async (error: unknown) => {
      // Of three tables some may be missing, where the schema is behind; without the first one there is none.
      const first = await sql<{ name: string | null }>`select to_regclass('cutover_aside') as name`.execute(
        db,
      );
      if (first.rows[0]?.name === null) return emptyWhenNoTable(error);
      throw error;
    });
  return rows[0]?.count ?? 0;
}
