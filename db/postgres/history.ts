/**
 * Which history of the database a server goes on. A standby that is promoted begins a new timeline, and where it was not a
 * synchronous one it lacks the last commits; a cluster that was made anew has another identifier. A server that crashed and
 * came back goes on its own.
 */
import { type Kysely, sql } from 'kysely';
import { StoreUnavailable } from '../errors.ts';
import type { Database } from './database.ts';
import { StatementRefused } from './errors.ts';

/** By what the server is asked, the better first: the name of the current WAL file has a new timeline from the promotion on. */
const WAYS = ['wal', 'checkpoint'] as const;
type Way = (typeof WAYS)[number];

/** Of a standby nobody asks, and the first question cannot be asked there. */
const QUESTIONS: Readonly<Record<Way, ReturnType<typeof sql<Answer>>>> = {
  wal: sql<Answer>`
    select system_identifier::text as system,
      case when not pg_is_in_recovery() then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end as timeline
    from pg_control_system()`,
  // As of the last checkpoint: the one that follows a promotion.
  checkpoint: sql<Answer>`
    select system_identifier::text as system,
      case when not pg_is_in_recovery() then lpad(upper(to_hex(timeline_id)), 8, '0') end as timeline
    from pg_control_system(), pg_control_checkpoint()`,
};

interface Answer {
  readonly system: string;
  readonly timeline: string | null;
}

/** Asked beforehand, so that a server that does not let us leaves no errors in its log. */
const MAY = sql<Record<Way, boolean | null>>`
  with each as (
    select name, has_function_privilege(to_regprocedure(name), 'execute') as may
    from unnest(array['pg_control_system()', 'pg_control_checkpoint()', 'pg_walfile_name(pg_lsn)', 'pg_current_wal_lsn()'])
      as name
  )
  select bool_and(coalesce(may, false)) filter (where name <> 'pg_control_checkpoint()') as wal,
    bool_and(coalesce(may, false)) filter (where name like 'pg_control%') as checkpoint
  from each`;

/** No such right, no such function, not of this kind of server. */
const LACKING: readonly string[] = ['42501', '42883', '0A000', '55000'];

/** Null where the server does not say. What it has once turned out not to answer it is not asked again. */
export function createHistory(db: Kysely<Database>): () => Promise<string | null> {
  let ways: readonly Way[] | null = null;
  return async () => {
    ways ??= await waysOf(db);
    for (const way of ways) {
      try {
        const { rows } = await QUESTIONS[way].execute(db);
        const [answer] = rows;
        if (answer === undefined || answer.timeline === null) return null;
        return `${answer.system}/${answer.timeline}`;
      } catch (error) {
        if (!(error instanceof StatementRefused) && !isForbidden(error)) throw error;
        if (error instanceof StatementRefused && !LACKING.includes(error.code)) return null;
        ways = ways.filter((each) => each !== way);
      }
    }
    return null;
  };
}

async function waysOf(db: Kysely<Database>): Promise<readonly Way[]> {
  const { rows } = await MAY.execute(db);
  return WAYS.filter((way) => rows[0]?.[way] === true);
}

const isForbidden = (error: unknown): boolean =>
  error instanceof StoreUnavailable && error.reason === 'forbidden';
