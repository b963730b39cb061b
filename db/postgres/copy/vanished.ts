/**
 * Rows of the live tables whose document is gone: whoever deleted it while nothing was mirrored told nobody. They are
 * taken out, and kept like all that a run writes over, so that undoing the run brings them back.
 */
import { type Entity, ERASED, type Stamp } from '../../records.ts';
import { TABLES } from '../database.ts';
import { attempt, type Connection, type PostgresBulk } from './client.ts';
import { assertEpoch, lockUsers, type MergeOptions, TAKEN_OUT, type UndoStep } from './merge.ts';
import { holdRun } from './runs.ts';
import { stagingTable } from './staging.ts';

export interface Seen extends Stamp {
  readonly id: string;
}

/** Rows that nothing staged belongs to, in pages; without those past retention, which expire by themselves, and marked ones. */
export function unstaged(
  bulk: PostgresBulk,
  entity: Entity,
  page: { readonly after: string; readonly limit: number; readonly expiredBefore: Date },
): Promise<readonly Seen[]> {
  const isKept = entity === 'user' ? '$3::timestamptz is not null' : 'held.expires_at >= $3';
  return bulk.query<Seen & Record<string, unknown>>(
    `select held.id, held.epoch, held.version from ${TABLES[entity]} as held
     where held.id > $1 and held.pending_at is null and ${isKept}
       and (select true from ${stagingTable(entity)} as s where s.id = held.id) is null
     order by held.id limit $2`,
    [page.after, page.limit, page.expiredBefore],
  );
}

/**
 * Takes rows out that are still what was seen, users with their sessions; how many. Throws `StaleEpoch`, or `RangeLost`; may
 * be made again.
 */
export function takeOut(
  bulk: PostgresBulk,
  entity: Entity,
  rows: readonly Seen[],
  { run, epoch }: MergeOptions,
): Promise<number> {
  if (rows.length === 0) return Promise.resolve(0);
  return bulk.transaction(async (connection) => {
    await holdRun(connection, run, 'merging');
    await assertEpoch(connection, epoch);
    const seen = [
      rows.map(({ id }) => id),
      rows.map((row) => row.epoch),
      rows.map((row) => row.version),
    ] as const;
    const isSeen = `(held.id, held.epoch, held.version) in (select * from unnest($3::text[], $4::int[], $5::int[]))
      and held.pending_at is null`;
    if (entity !== 'user') return keepAndDelete(connection, { entity, run, where: isSeen, values: seen });
    // No session of theirs comes to be between the two.
    await lockUsers(connection, rows);
    const theirs = 'held.user_id = any($3::text[]) and held.pending_at is null';
    const unused = `${isSeen} and not exists (select from sessions where sessions.user_id = held.id)`;
    const sessions = await keepAndDelete(connection, {
      entity: 'session',
      run,
      where: theirs,
      values: [seen[0]],
    });
    return sessions + (await keepAndDelete(connection, { entity, run, where: unused, values: seen }));
  });
}

async function keepAndDelete(
  connection: Connection,
  given: {
    readonly entity: Entity;
    readonly run: string;
    readonly where: string;
    readonly values: readonly unknown[];
  },
): Promise<number> {
  const { entity, run, where, values } = given;
  const { rowCount } = await connection.query(
    `with gone as (
       delete from ${TABLES[entity]} as held where ${where}
       returning held.id, to_jsonb(held)::text as before, held.${entity === 'user' ? 'id' : 'user_id'} as owner)
     insert into copy_undo (run, entity, record_id, epoch, version, before, owner)
     select $1, $2, id, ${TAKEN_OUT}, ${TAKEN_OUT}, before, owner from gone
     on conflict (run, entity, record_id) do update set epoch = excluded.epoch, version = excluded.version`,
    [run, entity, ...values],
  );
  return rowCount ?? 0;
}

/** Brings up to `limit` rows back that a run took out, and forgets that. Throws `StaleEpoch`; may be made again. */
export function putBackStep(
  bulk: PostgresBulk,
  entity: Entity,
  { run, epoch, limit }: MergeOptions & { readonly limit: number },
): Promise<UndoStep> {
  const live = TABLES[entity];
  return bulk.transaction(async (connection) => {
    await assertEpoch(connection, epoch);
    const { rows } = await connection.query<{ before: string | null }>(
      `delete from copy_undo where ctid = any(array(
         select ctid from copy_undo where run = $1 and entity = $2 and version = ${TAKEN_OUT}
         order by record_id limit $3 for update))
       returning before`,
      [run, entity, limit],
    );
    // Of what the run itself had written there was nothing before.
    const kept = rows.filter(({ before }) => before !== null);
    let restored = 0;
    for (const { before } of kept) {
      if (before === ERASED) continue;
      const refused = await attempt(connection, async () => {
        const { rowCount } = await connection.query(
          `insert into ${live} select was.* from jsonb_populate_record(null::${live}, $1::jsonb) as was
           on conflict (id) do nothing`,
          [before],
        );
        restored += rowCount ?? 0;
      });
      // Another has its e-mail by now, or its user did not come back.
      if (refused !== null && refused.code !== '23505' && refused.code !== '23503') throw refused;
    }
    return { removed: 0, restored, spared: kept.length - restored, done: rows.length < limit };
  });
}
