/** Between a pool and who uses it: like a pooler that gives each transaction, or statement, the connection that was used last. */
import type { PostgresPool } from 'kysely';
import type pg from 'pg';

export function poolingTransactions(real: pg.Pool): Pick<PostgresPool, 'connect'> {
  return {
    async connect() {
      let held: pg.PoolClient | null = null;
      async function query(text: string, values: readonly unknown[]) {
        const client: pg.PoolClient = held ?? (await real.connect());
        held = client;
        const result = await client.query(text, [...values]);
        isIn = text === 'begin' || (isIn && text !== 'rollback');
        if (!isIn) {
          held = null;
          client.release();
        }
        return result;
      }
      let isIn = false;
      return { query: query as never, release: () => {} };
    },
  };
}
