import pg from 'pg';
import { TABLES } from '../../db/postgres/database.ts';
import type { PostgresTarget } from '../support/global-setup.ts';
import { openPostgres } from '../support/stores.ts';
import type { RawRecord, ReadRaw, StoreDriver } from './harness.ts';

export function postgresDriver(target: PostgresTarget): StoreDriver {
  return {
    name: target.server,
    async open() {
      const { store, url } = await openPostgres(target);
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      return { store, readRaw: readRowWith(client), close: () => client.end() };
    },
  };
}

/** Rows under the names of the record's fields. */
export function readRowWith(client: pg.Client): ReadRaw {
  return async (entity, id) => {
    const { rows } = await client.query<RawRecord>(`select * from ${TABLES[entity]} where id = $1`, [id]);
    return rows[0] === undefined ? null : camelKeys(rows[0]);
  };
}

function camelKeys(row: RawRecord): RawRecord {
  const camel = (key: string) => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(row).map(([key, value]) => [camel(key), value]));
}
