/**
 * Who gave an address up by the policy of a run that may yet be rolled back. Kept in staging until the run is past its
 * checks: before, it lays hands on nothing that an earlier run has put aside.
 */
import type { Connection, PostgresBulk } from './client.ts';
import { DECIDED } from './staging.ts';

export interface Decision {
  readonly id: string;
  /** The rule. */
  readonly by: string;
}

/** Makes room for them, and forgets those of an earlier attempt. */
export async function resetDecisions(bulk: PostgresBulk): Promise<void> {
  await bulk.query(
    `create unlogged table if not exists ${DECIDED} (id text collate "C" primary key, by text not null)`,
  );
  await bulk.query(`delete from ${DECIDED}`);
}

export async function noteDecisions(
  connection: Pick<Connection, 'query'>,
  ids: readonly string[],
  by: string,
): Promise<void> {
  await connection.query(
    `insert into ${DECIDED} (id, by) select id, $2 from unnest($1::text[]) as d (id) on conflict do nothing`,
    [[...ids], by],
  );
}

/** In pages. */
export function decisions(
  bulk: PostgresBulk,
  page: { readonly after: string; readonly limit: number },
): Promise<readonly Decision[]> {
  return bulk.query<Decision & Record<string, unknown>>(
    `select id, by from ${DECIDED} where id > $1 order by id limit $2`,
    [page.after, page.limit],
  );
}
