/** What stands between here and the server. */
import type { PostgresPool, PostgresPoolClient } from 'kysely';

/** A pooler that many use may happen to give the same connection again. */
const TRIES = 3;

/**
 * A pooler that gives each transaction another connection of the server takes the locks and the prepared statements of a session
 * away from it: two coordinate a copy, or nobody any more. `pool` has two connections to give.
 */
export async function poolerProblems(pool: Pick<PostgresPool, 'connect'>): Promise<readonly string[]> {
  const one = await pool.connect();
  try {
    const other = await pool.connect();
    try {
      for (let tries = 0; tries < TRIES; tries += 1) {
        if (await isMoved(one, other))
          return [
            'PostgreSQL is reached by a pooler that gives each transaction a connection: pool_mode = session',
          ];
      }
      return [];
    } finally {
      other.release();
    }
  } finally {
    one.release();
  }
}

/** Whether one comes to another connection when the other keeps the one that it had, which is the next to be given. */
async function isMoved(one: PostgresPoolClient, other: PostgresPoolClient): Promise<boolean> {
  const before = await backendOf(one);
  await other.query('begin', []);
  try {
    await backendOf(other);
    return (await backendOf(one)) !== before;
  } finally {
    await other.query('rollback', []);
  }
}

async function backendOf(client: PostgresPoolClient): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid', []);
  return rows[0]?.pid;
}
