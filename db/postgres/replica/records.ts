import { type Kysely, sql } from 'kysely';
import { assertRaises } from '../../apply.ts';
import type { Entity } from '../../records.ts';
import type { Aside, Held, Looked, Replica } from '../../replica.ts';
import { columnList } from '../columns.ts';
import { type Database, TABLES } from '../database.ts';
import { emptyWhenNoTable } from '../errors.ts';
import { forgetKept } from '../kept.ts';
import { fromRow, type RowOf } from '../rows.ts';

type Records = Pick<
  Replica,
  'read' | 'touch' | 'moveAside' | 'asides' | 'forgetKept' | 'releaseEmailKey' | 'scan' | 'holdsUsers'
>;

interface AsideRow {
  readonly entity: Entity;
  readonly record_id: string;
  readonly epoch: number;
  readonly version: number;
  readonly reason: string;
  readonly moved_at: Date;
}

export function createRecords(db: Kysely<Database>): Records {
  return {
    read: (entity, ids) => look(db, entity, ids),

    async touch(entity, id, stamps) {
      assertRaises(stamps);
      const { expected, to } = stamps;
      const { numAffectedRows } = await sql`
        update ${sql.table(TABLES[entity])}
        set epoch = ${to.epoch}, version = ${to.version}, pending_at = coalesce(pending_at, ${new Date()})
        where id = ${id} and epoch = ${expected.epoch} and version = ${expected.version}`.execute(db);
      return numAffectedRows === 1n;
    },

    async moveAside(entity, id, { expected, reason, now }) {
      // Foreign keys are checked at the end of the statement: by then the sessions are gone as well.
      const sessions =
        entity === 'user'
          ? sql`
            , followed as (
              delete from sessions using moved where sessions.user_id = moved.id returning sessions.*
            ), followed_log as (
              insert into cutover_aside (entity, record_id, epoch, version, reason, moved_at, body)
              select 'session', id, epoch, version, ${reason}::text, ${now}::timestamptz, to_jsonb(followed)
              from followed
            )`
          : sql``;
      const { numAffectedRows } = await sql`
        with moved as (
          delete from ${sql.table(TABLES[entity])}
          where id = ${id} and epoch = ${expected.epoch} and version = ${expected.version} returning *
        ) ${sessions}
        insert into cutover_aside (entity, record_id, epoch, version, reason, moved_at, body)
        select ${entity}::text, id, epoch, version, ${reason}::text, ${now}::timestamptz, to_jsonb(moved)
        from moved`.execute(db);
      return numAffectedRows === 1n;
    },

    async asides({ limit }) {
      const { rows } = await sql<AsideRow>`
        select entity, record_id, epoch, version, reason, moved_at from cutover_aside
        order by seq desc limit ${limit}`.execute(db);
      return rows.map(
        ({ entity, record_id, epoch, version, reason, moved_at }): Aside => ({
          entity,
          id: record_id,
          stamp: { epoch, version },
          reason,
          movedAt: moved_at,
        }),
      );
    },

    forgetKept: (userIds) => forgetKept(db, userIds),

    async releaseEmailKey(userId, { expected }) {
      if (expected === null) return false;
      // A blank is in no address, so nobody can ever hold this key; the address itself stays readable.
      const { numAffectedRows } = await sql`
        update users set email_key = 'released ' || id
        where id = ${userId} and epoch = ${expected.epoch} and version = ${expected.version}
          and email_key is not null`.execute(db);
      return numAffectedRows === 1n;
    },

    async scan(entity, { after, limit }) {
      const table = TABLES[entity];
      const { rows } = await sql<RowOf<typeof entity>>`
        select ${columnList(table)} from ${sql.table(table)}
        where id > ${after ?? ''} order by id limit ${limit}`.execute(db);
      const records = rows.map((row) => fromRow[entity](row));
      const next = rows.length < limit ? null : (records.at(-1)?.id ?? null);
      return { records, unreadable: [], next };
    },

    async holdsUsers() {
      const asked = sql<{ readonly holds: boolean }>`select exists (select from users) as holds`.execute(db);
      const { rows } = await asked.catch(emptyWhenNoTable);
      return rows[0]?.holds ?? false;
    },
  };
}

export async function look<E extends Entity>(
  db: Kysely<Database>,
  entity: E,
  ids: readonly string[],
): Promise<Looked<E>> {
  if (ids.length === 0) return { found: new Map(), unreadable: [] };
  const table = TABLES[entity];
  const { rows } = await sql<RowOf<E> & { readonly id: string; readonly pending_at: Date | null }>`
    select ${columnList(table)} from ${sql.table(table)} where id = any(${[...ids]}::text[])`.execute(db);
  const held = rows.map((row): readonly [string, Held<E>] => [
    row.id,
    { record: fromRow[entity](row), pendingAt: row.pending_at },
  ]);
  return { found: new Map(held), unreadable: [] };
}
