import { createHash } from 'node:crypto';
import type { PostgresCursor, PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import pg from 'pg';
import type { PoolUse } from '../port.ts';
import { isFatal, type Phase, toStoreError } from './errors.ts';
import { connectionTo, type Times } from './session.ts';

export interface PoolOptions {
  readonly url: string;
  /** Connections at most. */
  readonly poolMax: number;
  /** The server cancels a statement after this; the client gives up a little later and drops the connection. */
  readonly statementTimeoutMs: number;
  /** Bounds both connecting and waiting for a free connection. */
  readonly connectTimeoutMs: number;
  /** Told of each statement as it is sent. */
  readonly onQuery?: (sql: string, parameters: readonly unknown[]) => void;
}

/** How much longer than the server's own limit the client waits, ms: only a server that hangs is cut off by it. */
const CLIENT_MARGIN_MS = 500;
/** Statements that get a name; more than this many different texts would be a leak on the server. */
const NAMES_MAX = 256;

export interface Pool extends PostgresPool {
  use(): PoolUse;
}

/** The server's own limits on what such a pool asks of it. */
export const timesOf = ({
  statementTimeoutMs,
}: Pick<PoolOptions, 'statementTimeoutMs'>): Required<Times> => ({
  statement_timeout: statementTimeoutMs,
  lock_timeout: Math.ceil(statementTimeoutMs * 0.75),
  idle_in_transaction_session_timeout: statementTimeoutMs * 2,
});

/** A `pg` pool as Kysely wants one, with time-outs, named prepared statements, and errors of the port. */
export function createPool(options: PoolOptions): Pool {
  const pool = new pg.Pool({
    ...connectionTo(options.url, { synchronous_commit: 'on' }, timesOf(options)),
    max: options.poolMax,
    application_name: 'auth',
    keepAlive: true,
    idleTimeoutMillis: 30_000,
    connectionTimeoutMillis: options.connectTimeoutMs,
    query_timeout: options.statementTimeoutMs + CLIENT_MARGIN_MS,
  });
  // An idle or checked-out connection that breaks must not end the process; its next use reports it.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return {
    options: pool.options,
    connect: async () => wrap(await connect(pool), options.onQuery),
    use: () => ({
      used: pool.totalCount - pool.idleCount,
      idle: pool.idleCount,
      waiting: pool.waitingCount,
      max: options.poolMax,
    }),
    end: () => pool.end(),
  };
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw toStoreError(error, 'connecting');
  }
}

function wrap(client: pg.PoolClient, onQuery: PoolOptions['onQuery']): PostgresPoolClient {
  let inTransaction = false;
  let broken: Error | undefined;

  async function run<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    // Kysely rolls back after a failure: on a dead connection that must not wait, and must report the first cause.
    if (broken !== undefined) throw broken;
    onQuery?.(text, values);
    const phase: Phase =
      text === 'commit' || (!inTransaction && !isRead(text)) ? 'committing' : 'uncommitted';
    try {
      const name = values.length > 0 ? nameOf(text) : undefined;
      const result = await client.query({
        text,
        values: [...values],
        ...(name === undefined ? {} : { name }),
      });
      if (text === 'begin') inTransaction = true;
      if (text === 'commit' || text === 'rollback') inTransaction = false;
      return result as pg.QueryResult & PostgresQueryResult<R>;
    } catch (error) {
      const mapped = toStoreError(error, phase);
      if (isFatal(error)) broken = mapped;
      throw mapped;
    }
  }

  function query<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>>;
  function query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>;
  function query<R>(
    text: string | PostgresCursor<R>,
    values: readonly unknown[] = [],
  ): Promise<PostgresQueryResult<R>> | PostgresCursor<R> {
    if (typeof text !== 'string') throw new Error('this pool does not stream');
    return run<R>(text, values);
  }

  return {
    query,
    release: (destroy) => client.release(destroy === true || broken !== undefined),
  };
}

function isRead(text: string): boolean {
  return /^\s*(select|show|begin)\b/i.test(text);
}

const names = new Map<string, string>();

/** A stable name by the text: planning once for each connection is worth a third of a short query's time. */
function nameOf(text: string): string | undefined {
  const known = names.get(text);
  if (known !== undefined || names.size >= NAMES_MAX) return known;
  const name = createHash('sha256').update(text).digest('hex').slice(0, 32);
  names.set(text, name);
  return name;
}
