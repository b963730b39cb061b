/** What PostgreSQL says about being copied into. Reads only. */
import type { PostgresBulk } from './client.ts';

export interface PostgresFacts {
  readonly mayWrite: boolean;
  /** May make the staging tables. */
  readonly mayStage: boolean;
  /** ANALYZE is for a table's owner: without it the first queries after a copy may be slow. */
  readonly mayAnalyze: boolean;
  readonly freeConnections: number;
  readonly databaseBytes: number;
}

export async function inspectPostgres(bulk: PostgresBulk): Promise<PostgresFacts> {
  const [row] = await bulk.query<PostgresFacts & Record<string, unknown>>(
    `select
       (select bool_and(has_table_privilege(name, 'select, insert, update, delete'))
          and bool_and(has_table_privilege(name, 'select') and has_table_privilege(name, 'insert')
            and has_table_privilege(name, 'update') and has_table_privilege(name, 'delete'))
        from unnest(array['users', 'verification_tokens', 'password_reset_tokens', 'sessions', 'copy_runs', 'copy_ranges',
          'copy_findings', 'copy_quarantine', 'copy_undo']) as name) as "mayWrite",
       coalesce((select has_schema_privilege(oid, 'create') from pg_namespace where nspname = 'staging'),
         has_database_privilege(current_database(), 'create')) as "mayStage",
       (select bool_and(pg_has_role(relowner, 'usage')) from pg_class
        where oid in ('users'::regclass, 'sessions'::regclass)) as "mayAnalyze",
       (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - (select count(*)::int from pg_stat_activity where backend_type = 'client backend')) as "freeConnections",
       pg_database_size(current_database())::float8 as "databaseBytes"`,
  );
  if (row === undefined) throw new Error('no answer');
  return row;
}
