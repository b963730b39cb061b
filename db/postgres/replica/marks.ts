import { type Kysely, sql } from 'kysely';
import { ENTITIES, type Entity } from '../../records.ts';
import type { Mark, Marked, Replica } from '../../replica.ts';
import { type Database, TABLES } from '../database.ts';

type Marks = Pick<Replica, 'marks' | 'countMarks' | 'clearMarks'>;

interface MarkRow {
  readonly place: number;
  readonly id: string;
  readonly epoch: number;
  readonly version: number;
  readonly pending_at: Date;
}

export function createMarks(db: Kysely<Database>): Marks {
  return {
    async marks({ limit, olderThan, after }) {
      const each = ENTITIES.map((entity, place) => {
        const older = olderThan === undefined ? sql`` : sql`and pending_at <= ${olderThan}`;
        return sql`(
          select ${sql.lit(place)} as place, id, epoch, version, pending_at from ${sql.table(TABLES[entity])}
          where pending_at is not null ${older} ${pastMark(entity, after)}
          order by pending_at, id limit ${limit})`;
      });
      const { rows } = await sql<MarkRow>`
        ${sql.join(each, sql` union all `)} order by pending_at, place, id limit ${limit}`.execute(db);
      return rows.map(({ place, id, epoch, version, pending_at }) => ({
        entity: ENTITIES[place] ?? 'user',
        id,
        stamp: { epoch, version },
        markedAt: pending_at,
      }));
    },

    async countMarks() {
      const each = ENTITIES.map(
        (entity) => sql`
          select count(*)::int as count, min(pending_at) as oldest from ${sql.table(TABLES[entity])}
          where pending_at is not null`,
      );
      const { rows } = await sql<{ readonly count: number; readonly oldest: Date | null }>`
        select sum(count)::int as count, min(oldest) as oldest
        from (${sql.join(each, sql` union all `)}) as each`.execute(db);
      return { count: rows[0]?.count ?? 0, oldestAt: rows[0]?.oldest ?? null };
    },

    clearMarks: (marks) => clearMarks(db, marks),
  };
}

/** Where the mark comes after another in the order of `marks`. */
function pastMark(entity: Entity, after: Mark | undefined) {
  if (after === undefined) return sql``;
  const order = ENTITIES.indexOf(entity) - ENTITIES.indexOf(after.entity);
  if (order < 0) return sql`and pending_at > ${after.markedAt}`;
  if (order > 0) return sql`and pending_at >= ${after.markedAt}`;
  return sql`and (pending_at, id) > (${after.markedAt}::timestamptz, ${after.id})`;
}

/** A row that is locked is being rewritten, and its mark will not match: waiting for it could only delay a request. */
export async function clearMarks(db: Kysely<Database>, marks: readonly Marked[]): Promise<number> {
  let count = 0;
  for (const entity of ENTITIES) {
    const of = marks.filter((mark) => mark.entity === entity);
    if (of.length === 0) continue;
    const table = sql.table(TABLES[entity]);
    const { numAffectedRows } = await sql`
      with mirrored as (
        select held.id from ${table} as held
        join unnest(
          ${of.map((mark) => mark.id)}::text[],
          ${of.map((mark) => mark.stamp.epoch)}::int[],
          ${of.map((mark) => mark.stamp.version)}::int[]
        ) as given (id, epoch, version) using (id, epoch, version)
        where held.pending_at is not null
        for no key update of held skip locked
      )
      update ${table} as held set pending_at = null from mirrored where held.id = mirrored.id`.execute(db);
    count += Number(numAffectedRows ?? 0n);
  }
  return count;
}
