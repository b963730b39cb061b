/** The bulk copy's own connections to PostgreSQL: patient ones, and as durable as the service's. */
import pg from 'pg';
import { endsConnection, isFatal, toStoreError } from '../errors.ts';
import { connectionTo } from '../session.ts';

export interface PostgresBulkOptions {
  readonly url: string;
  readonly poolMax: number;
  /** Bound on one statement, ms; merging and analysing take long. */
  readonly statementTimeoutMs: number;
}

export type Connection = pg.PoolClient;

export interface PostgresBulk {
  /** One statement on any connection. Throws the port's errors. */
  query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<readonly R[]>;
  /** Statements in one transaction; rolled back when `work` throws. */
  transaction<T>(work: (connection: Connection) => Promise<T>): Promise<T>;
  /** As they stand, several statements in one text included: for pg-boss, which wants the driver's own answers and errors. */
  execute(text: string, values?: readonly unknown[]): Promise<{ readonly rows: unknown[] }>;
  /** The session's advisory lock on this number; null when another session has it. It ends with the process. */
  lock(key: number): Promise<{ release(): Promise<void> } | null>;
  close(): Promise<void>;
}

/**
 * How the server notices within some ten seconds that a machine is gone without a word: by then pg-boss hands out what that
 * had in hand, and whoever takes it up waits for what its open transaction has locked.
 */
const NOTICING = {
  tcp_keepalives_idle: '5',
  tcp_keepalives_interval: '2',
  tcp_keepalives_count: '3',
  tcp_user_timeout: '11000',
};

/** Opens without a word to the server. */
export function openPostgresBulk(options: PostgresBulkOptions): PostgresBulk {
  const { statementTimeoutMs: limitMs } = options;
  const times = { statement_timeout: limitMs, idle_in_transaction_session_timeout: limitMs };
  const pool = new pg.Pool({
    ...connectionTo(options.url, { synchronous_commit: 'on', ...NOTICING }, times),
    max: options.poolMax,
    application_name: 'auth-copy',
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
  });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));

  async function connect(): Promise<Connection> {
    try {
      return await pool.connect();
    } catch (error) {
      throw toStoreError(error, 'connecting');
    }
  }

  async function transaction<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await connect();
    let committing = false;
    try {
      await connection.query('begin');
      const result = await work(connection);
      committing = true;
      await connection.query('commit');
      connection.release();
      return result;
    } catch (error) {
      // Ended, not rolled back: a connection in the middle of a COPY takes no statement.
      connection.release(true);
      throw toStoreError(error, committing ? 'committing' : 'uncommitted');
    }
  }

  return {
    async query<R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) {
      const connection = await connect();
      try {
        const { rows } = await connection.query<R>(text, [...values]);
        connection.release();
        return rows;
      } catch (error) {
        connection.release(isFatal(error));
        throw toStoreError(error, 'committing');
      }
    },
    transaction,
    async execute(text, values) {
      const connection = await pool.connect();
      try {
        const result = await connection.query(text, values === undefined ? undefined : [...values]);
        connection.release();
        return result;
      } catch (error) {
        // The text may have begun a transaction.
        connection.release(true);
        throw error;
      }
    },
    async lock(key) {
      const connection = await connect();
      let isHeld: boolean;
      try {
        const text = 'select pg_try_advisory_lock($1) as held';
        const { rows } = await connection.query<{ held: boolean }>(text, [key]);
        isHeld = rows[0]?.held === true;
      } catch (error) {
        // Ended with whatever it may have locked.
        connection.release(true);
        throw toStoreError(error, 'uncommitted');
      }
      if (!isHeld) {
        connection.release();
        return null;
      }
      return {
        async release() {
          // Asked for, because the server notices the end of a connection only in its own time.
          await connection.query('select pg_advisory_unlock($1)', [key]).catch(() => {});
          connection.release(true);
        },
      };
    },
    close: () => pool.end(),
  };
}

/** Runs statements of a transaction that may be refused, and undoes only them. Null, or the refusal. */
export async function attempt(
  connection: Connection,
  work: () => Promise<void>,
): Promise<pg.DatabaseError | null> {
  await connection.query('savepoint attempt');
  try {
    await work();
    await connection.query('release savepoint attempt');
    return null;
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || endsConnection(error)) throw error;
    await connection.query('rollback to savepoint attempt');
    return error;
  }
}
