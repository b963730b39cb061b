/** Who may bring the planner's statistics of the live tables up to date: their owner, or who may call its function. */
import { TABLES } from './database.ts';

export type AnalyzeWay = 'own' | 'function' | 'none';

const NAMES = Object.values(TABLES)
  .map((table) => `'${table}'`)
  .join(', ');

/** One row, `way`. Of PostgreSQL 17 on the right to maintain a table is enough; older servers do not know the word. */
export const analyzeWay = (major: number): string => `
  select case
    when (
      select bool_and(pg_has_role(c.relowner, 'usage')
        ${major >= 17 ? "or has_table_privilege(c.oid, 'maintain')" : ''})
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = current_schema() and c.relkind = 'r' and c.relname in (${NAMES})
    ) then 'own'
    when exists (
      select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'staging' and p.proname = 'analyze_live'
        and has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')
    ) then 'function'
    else 'none'
  end as way`;
