/** Marks and notes, counted on a connection of their own: a pool that hangs must not keep the answer back. */
import pg from 'pg';
import { StoreUnavailable } from '../errors.ts';
import type { Assurance } from '../port.ts';
import type { RecordName } from '../replica.ts';
import { gathered, shared, within } from '../within.ts';
import { TABLES } from './database.ts';
import { isFatal, toStoreError } from './errors.ts';
import { leftBehindAmong } from './left-behind.ts';
import { connectionTo } from './session.ts';

const MARKS = Object.values(TABLES).map(
  (table) => `(select count(*) from ${table} where pending_at is not null)`,
);
const QUESTION = `
  select (${MARKS.join(' + ')})::int as marks,
    coalesce((
      select jsonb_object_agg(kind, count)
      from (select kind, count(*)::int as count from cutover_notes group by kind) as each
    ), '{}') as notes,
    pg_is_in_recovery() as standby`;

export interface Assurer {
  ask(): Promise<Assurance>;
  leftBehind(names: readonly RecordName[]): Promise<ReadonlySet<string>>;
  close(): Promise<void>;
}

/**
 * Connects with the first question, and keeps that connection. `timeoutMs` is for connecting, for the server's work, for
 * its answer, and for all of them together.
 */
export function createAssurer(url: string, timeoutMs: number): Assurer {
  const pool = new pg.Pool({
    ...connectionTo(url, {}, { statement_timeout: timeoutMs }),
    max: 1,
    application_name: 'auth assurance',
    keepAlive: true,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));

  async function query<T extends pg.QueryResultRow>(given: pg.QueryConfig): Promise<{ readonly rows: T[] }> {
    const client = await pool.connect().catch((error: unknown) => {
      throw toStoreError(error, 'connecting');
    });
    try {
      const answer = await client.query<T>(given);
      client.release();
      return answer;
    } catch (error) {
      client.release(isFatal(error));
      throw toStoreError(error, 'uncommitted');
    }
  }

  async function ask(): Promise<Assurance> {
    const { rows } = await query<Assurance & { readonly standby: boolean }>({
      name: 'assurance',
      text: QUESTION,
    });
    const [answer] = rows;
    if (answer === undefined || answer.standby) throw new StoreUnavailable('postgres', 'none', 'read-only');
    return { marks: answer.marks, notes: answer.notes };
  }

  const timely = <T>(answer: Promise<T>): Promise<T> =>
    within(timeoutMs, answer, () => new StoreUnavailable('postgres', 'none', 'timeout'));
  const askShared = shared(ask);
  // Reads fall back in crowds: one turn each on the one connection would take longer than any of them waits.
  const askOfAll = gathered((names: readonly RecordName[]) =>
    leftBehindAmong((text, values) => query({ name: 'left-behind', text, values }), names),
  );

  async function leftBehind(names: readonly RecordName[]): Promise<ReadonlySet<string>> {
    if (names.length === 0) return new Set();
    const behind = await timely(askOfAll(names));
    return new Set(names.map(({ entity, id }) => `${entity}/${id}`).filter((name) => behind.has(name)));
  }

  return {
    ask: () => timely(askShared()),
    leftBehind,
    close: () => pool.end(),
  };
}
