import { type Kysely, sql } from 'kysely';
import type { PurgeCounts, PurgeQuery, Repository } from '../port.ts';
import { type Database, TABLES } from './database.ts';
import type { Scope } from './writes.ts';

export function createPurge({ db }: Scope): Pick<Repository, 'purge'> {
  return { purge: (query) => deleteExpired(db, query) };
}

/** Rows that another instance is purging are skipped, not waited for. */
export async function deleteExpired(
  db: Kysely<Database>,
  { expiredBefore, limit }: PurgeQuery,
): Promise<PurgeCounts> {
  const deleteFrom = async (table: string): Promise<number> => {
    const { numAffectedRows } = await sql`
      delete from ${sql.table(table)} where id = any(array(
        select id from ${sql.table(table)} where expires_at < ${expiredBefore}
        order by expires_at limit ${limit} for update skip locked
      ))`.execute(db);
    return Number(numAffectedRows ?? 0n);
  };
  return {
    verificationTokens: await deleteFrom(TABLES.verificationToken),
    resetTokens: await deleteFrom(TABLES.resetToken),
    sessions: await deleteFrom(TABLES.session),
  };
}
