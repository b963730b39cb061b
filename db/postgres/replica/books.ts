import { type Kysely, sql } from 'kysely';
import type { Books, ControlEntry, Json, LeaseEntry, LogEntry } from '../../replica.ts';
import type { Database } from '../database.ts';
import { emptyWhenNoTable } from '../errors.ts';

interface NoteRow {
  readonly key: string;
  readonly body: Json;
  readonly first_at: Date;
  readonly last_at: Date;
  readonly times: number;
}

/** `pg` would send an array as PostgreSQL's own kind of array. */
const json = (value: Json) => sql`cast(${JSON.stringify(value)}::text as jsonb)`;

export function createBooks(db: Kysely<Database>): Books {
  return {
    async readControl() {
      const asked = sql<ControlEntry>`select epoch, revision, body from cutover_control`.execute(db);
      const { rows } = await asked.catch(emptyWhenNoTable);
      return rows[0] ?? null;
    },

    async createControl({ epoch, revision, body }) {
      const { numAffectedRows } = await sql`
        insert into cutover_control (id, epoch, revision, body)
        values (1, ${epoch}, ${revision}, ${json(body)}) on conflict (id) do nothing`.execute(db);
      return numAffectedRows === 1n;
    },

    async replaceControl(expected, { epoch, revision, body }) {
      const { numAffectedRows } = await sql`
        update cutover_control set epoch = ${epoch}, revision = ${revision}, body = ${json(body)}
        where epoch = ${expected.epoch} and revision = ${expected.revision}`.execute(db);
      return numAffectedRows === 1n;
    },

    async writeLease({ instance, counter, body }) {
      const { numAffectedRows } = await sql`
        insert into cutover_leases (instance, counter, body) values (${instance}, ${counter}, ${json(body)})
        on conflict (instance) do update set counter = excluded.counter, body = excluded.body
        where cutover_leases.counter <= excluded.counter`.execute(db);
      return numAffectedRows === 1n;
    },

    async readLeases() {
      const { rows } = await sql<LeaseEntry>`
        select instance, counter, body from cutover_leases order by instance`.execute(db);
      return rows;
    },

    async removeLease(instance, counter) {
      await sql`
        delete from cutover_leases where instance = ${instance}
          and (${counter ?? null}::int is null or counter = ${counter ?? null}::int)`.execute(db);
    },

    async log({ id, at, body }) {
      await sql`
        insert into cutover_log (id, at, body) values (${id}, ${at}, ${json(body)})
        on conflict (id) do nothing`.execute(db);
    },

    async readLog({ limit, after, newestFirst = false }) {
      const [past, way] = newestFirst ? [sql`<`, sql`desc`] : [sql`>`, sql`asc`];
      const where =
        after === undefined ? sql`` : sql`where (at, id) ${past} (${after.at}::timestamptz, ${after.id})`;
      const { rows } = await sql<LogEntry>`
        select id, at, body from cutover_log ${where} order by at ${way}, id ${way} limit ${limit}`.execute(
        db,
      );
      return rows;
    },

    async putNote(kind, key, body, now) {
      await sql`
        insert into cutover_notes as held (kind, key, body, first_at, last_at, times)
        values (${kind}, ${key}, ${json(body)}, ${now}, ${now}, 1)
        on conflict (kind, key) do update
        set body = excluded.body, last_at = excluded.last_at, times = held.times + 1`.execute(db);
    },

    async notes(kind, { limit }) {
      const { rows } = await sql<NoteRow>`
        select key, body, first_at, last_at, times from cutover_notes
        where kind = ${kind} order by first_at, key limit ${limit}`.execute(db);
      return rows.map(({ key, body, first_at, last_at, times }) => ({
        key,
        body,
        firstAt: first_at,
        lastAt: last_at,
        times,
      }));
    },

    async deleteNote(kind, key, timesMax) {
      const asked = sql`
        delete from cutover_notes where kind = ${kind} and key = ${key}
          and (${timesMax ?? null}::int is null or times <= ${timesMax ?? null}::int)
        returning 1`.execute(db);
      const { rows } = await asked.catch(emptyWhenNoTable);
      return rows.length === 1;
    },

    async countNotes() {
      const { rows } = await sql<{ readonly kind: string; readonly count: number }>`
        select kind, count(*)::int as count from cutover_notes group by kind`.execute(db);
      return Object.fromEntries(rows.map(({ kind, count }) => [kind, count]));
    },
  };
}
