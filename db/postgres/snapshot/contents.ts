/** Whether the present schema holds anything, and how it is emptied: both go by the same list. */
import type pg from 'pg';
import { toStoreError } from '../errors.ts';
import { quoted } from './dump.ts';

/** In an order in which they can be dropped. */
const KINDS = {
  view: 'v',
  'materialized view': 'm',
  table: 'rp',
  'foreign table': 'f',
  sequence: 'S',
} as const;
type Kind = keyof typeof KINDS;

/** By kind. What an extension brought stays with it; a sequence goes with the column that it is of. */
async function relationsOf(client: pg.Client): Promise<Readonly<Record<Kind, readonly string[]>>> {
  const { rows } = await client.query<{ name: string; kind: string }>(`
    select c.relname as name, c.relkind::text as kind
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = current_schema() and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not exists (
      select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
        and (d.deptype = 'e' or (c.relkind = 'S' and d.deptype in ('a', 'i'))))`);
  const named = (kind: Kind) => rows.filter((row) => KINDS[kind].includes(row.kind)).map(({ name }) => name);
  const kinds = Object.keys(KINDS) as readonly Kind[];
  return Object.fromEntries(kinds.map((kind) => [kind, named(kind)])) as unknown as Record<Kind, string[]>;
}

/** Whether no table holds a row, and there is nothing besides tables; the journal of migrations does not count. */
export async function isEmptyPostgres(client: pg.Client): Promise<boolean> {
  try {
    const { table: tables, ...others } = await relationsOf(client);
    if (Object.values(others).some(({ length }) => length > 0)) return false;
    for (const name of tables) {
      if (name === 'schema_migrations') continue;
      const { rows } = await client.query(`select from ${quoted(name)} limit 1`);
      if (rows.length > 0) return false;
    }
    return true;
  } catch (error) {
    throw toStoreError(error, 'uncommitted');
  }
}

/** Drops everything that the present schema holds, or nothing. */
export async function emptyPostgres(client: pg.Client): Promise<void> {
  try {
    const held = Object.entries(await relationsOf(client)).filter(([, names]) => names.length > 0);
    // One message of several statements is one transaction; one may have taken along what the next one names.
    const drops = held.map(
      ([kind, names]) => `drop ${kind} if exists ${names.map(quoted).join(', ')} cascade`,
    );
    if (drops.length > 0) await client.query(drops.join('; '));
  } catch (error) {
    throw toStoreError(error, 'committing');
  }
}
