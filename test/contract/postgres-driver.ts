import pg from 'pg';
import { TABLES } from '../../db/postgres/database.ts';
import type { PostgresTarget } from '../support/global-setup.ts';
import { openPostgres } from '../support/stores.ts';
import type { RawRecord, ReadRaw, StoreDriver } from './harness.ts';

export function postgresDriver(target: PostgresTarget): StoreDriver {
  return {
    name: target.server,
    commits: 'together',
    async open() {
      const { store, url } = await openPostgres(target);
      const pool = new pg.Pool({ connectionString: url, max: 2 });
      return { store, readRaw: readRowWith(pool), close: () => pool.end() };
    },
  };
}

/** Rows under the names of the record's fields. */
export function readRowWith(pool: pg.Pool): ReadRaw {
  return async (entity, id) => {
    const { rows } = await pool.query<RawRecord>(`select * from ${TABLES[entity]} where id = $1`, [id]);
    return rows[0] === undefined ? null : camelKeys(rows[0]);
  };
}

function camelKeys(row: RawRecord): RawRecord {
  const camel = (key: string) => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [camel(key), value]));
}
