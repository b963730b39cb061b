/** The tables a copy fills before it touches the live ones. They have the same checks, so that a row that got in fits. */
import { finished } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import { ENTITIES, type Entity } from '../../records.ts';
import { TABLES } from '../database.ts';
import { StatementRefused } from '../errors.ts';
import { attempt, type Connection, type PostgresBulk } from './client.ts';
import { columnsOf } from './rows.ts';

export const stagingTable = (entity: Entity): string => `staging.${TABLES[entity]}`;

/** Unlogged like the others, with one row: while that is there, no crash of the server has emptied any of them. */
const SEAL = 'staging.seal';

/** Made by whoever has something to put there. */
export const DECIDED = 'staging.decided';

/** Makes the tables anew, empty. Their role needs to own the schema `staging`, or to be let make it. */
export async function createStaging(bulk: PostgresBulk): Promise<void> {
  await bulk.transaction(async (connection) => {
    const { rows } = await connection.query("select from pg_namespace where nspname = 'staging'");
    if (rows.length === 0) await connection.query('create schema staging');
    for (const entity of ENTITIES) {
      const table = stagingTable(entity);
      await connection.query(`drop table if exists ${table}`);
      // Unlogged: a crash of the server empties it, and breaks the seal.
      await connection.query(
        `create unlogged table ${table} (range integer not null, is_marked boolean not null, like public.${TABLES[entity]} including constraints)`,
      );
    }
    await connection.query(`drop table if exists ${SEAL}`);
    await connection.query(`create unlogged table ${SEAL} (key text not null)`);
  });
}

/** To be done before what is there already is looked at: from here on a crash of the server shows. */
export async function sealStaging(bulk: PostgresBulk, key: string): Promise<void> {
  await bulk.transaction(async (connection) => {
    await connection.query(`delete from ${SEAL}`);
    await connection.query(`insert into ${SEAL} (key) values ($1)`, [key]);
  });
}

/** `broken`: a crash of the server has emptied staging since, or it is gone. `other`: somebody has begun to fill it anew. */
export async function sealState(
  bulk: PostgresBulk,
  key: string | null,
): Promise<'whole' | 'broken' | 'other'> {
  if (!(await stagingExists(bulk))) return 'broken';
  const [row] = await bulk.query<{ key: string }>(`select key from ${SEAL}`);
  if (row === undefined || key === null) return 'broken';
  return row.key === key ? 'whole' : 'other';
}

export async function dropStaging(bulk: PostgresBulk): Promise<void> {
  await bulk.transaction(async (connection) => {
    for (const table of [...ENTITIES.map(stagingTable), SEAL, DECIDED])
      await connection.query(`drop table if exists ${table}`);
  });
}

/** After all rows are in: what checks and merge look them up by. */
export async function indexStaging(bulk: PostgresBulk): Promise<void> {
  for (const entity of ENTITIES) {
    await indexIds(bulk, entity).catch(async (error: unknown) => {
      if (!(error instanceof StatementRefused) || error.code !== '23505') throw error;
      await keepLatest(bulk, entity);
      await indexIds(bulk, entity);
    });
  }
  await bulk.query('create index if not exists users_staged_email_key on staging.users (email_key)');
  for (const entity of ENTITIES) await bulk.query(`analyze ${stagingTable(entity)}`);
}

async function indexIds(bulk: PostgresBulk, entity: Entity): Promise<void> {
  const [schema, table] = stagingTable(entity).split('.');
  await bulk.query(`create unique index if not exists ${table}_staged_id on ${schema}.${table} (id)`);
}

/** A document that was deleted and inserted again in front of a cursor comes twice: of its rows the later one counts. */
async function keepLatest(bulk: PostgresBulk, entity: Entity): Promise<void> {
  const table = stagingTable(entity);
  await bulk.query(
    `delete from ${table} as earlier using ${table} as later where earlier.id = later.id and earlier.ctid < later.ctid`,
  );
}

/**
 * Copies lines into staging; the places of those that the table refuses, which then are not in it. Fails for any other
 * reason as a whole.
 */
export async function stageLines(
  connection: Connection,
  entity: Entity,
  lines: readonly string[],
): Promise<readonly { readonly place: number; readonly constraint: string }[]> {
  if (lines.length === 0) return [];
  const refusal = await attempt(connection, () => copy(connection, entity, lines));
  if (refusal === null) return [];
  if (!/^2[23]|^54/.test(refusal.code ?? '')) throw refusal;
  if (lines.length === 1) return [{ place: 0, constraint: refusal.constraint ?? refusal.code ?? '' }];
  const middle = Math.ceil(lines.length / 2);
  const low = await stageLines(connection, entity, lines.slice(0, middle));
  const high = await stageLines(connection, entity, lines.slice(middle));
  return [...low, ...high.map(({ place, constraint }) => ({ place: place + middle, constraint }))];
}

async function copy(connection: Connection, entity: Entity, lines: readonly string[]): Promise<void> {
  const columns = ['range', 'is_marked', ...columnsOf(entity)].join(', ');
  const stream = connection.query(copyFrom(`copy ${stagingTable(entity)} (${columns}) from stdin`));
  stream.end(lines.join(''));
  await finished(stream);
}

/** How many rows each range has in staging. */
export async function stagedCounts(bulk: PostgresBulk): Promise<ReadonlyMap<number, number>> {
  const each = ENTITIES.map(
    (entity) => `select range, count(*)::int as count from ${stagingTable(entity)} group by range`,
  );
  const rows = await bulk.query<{ range: number; count: number }>(each.join(' union all '));
  const counts = new Map<number, number>();
  for (const { range, count } of rows) counts.set(range, (counts.get(range) ?? 0) + count);
  return counts;
}

export async function stagingExists(bulk: PostgresBulk): Promise<boolean> {
  const rows = await bulk.query<{ count: number }>(
    `select count(*)::int as count from unnest($1::text[]) as name where to_regclass(name) is not null`,
    [[...ENTITIES.map(stagingTable), SEAL]],
  );
  return rows[0]?.count === ENTITIES.length + 1;
}
