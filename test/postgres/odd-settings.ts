/** Settings that an operator may have made for a database or a role, and what our connections are to have all the same. */
import pg from 'pg';
import { expect } from 'vitest';
import { asSuperuser, createDatabase } from '../support/databases.ts';

const ODD = {
  datestyle: 'SQL, DMY',
  timezone: 'Asia/Kathmandu',
  intervalstyle: 'sql_standard',
  default_transaction_isolation: 'serializable',
  default_transaction_deferrable: 'on',
  array_nulls: 'off',
  standard_conforming_strings: 'off',
  bytea_output: 'escape',
  extra_float_digits: '-15',
  exit_on_error: 'on',
  row_security: 'off',
  synchronous_commit: 'off',
  client_encoding: 'LATIN1',
  statement_timeout: '1ms',
  lock_timeout: '1ms',
  idle_in_transaction_session_timeout: '1ms',
  idle_session_timeout: '1ms',
};

/** What records and races rest on, with what a wait may take that the connection does not bound itself. */
const RELIED_ON = {
  TimeZone: 'UTC',
  array_nulls: 'on',
  default_transaction_isolation: 'read committed',
  exit_on_error: 'off',
  extra_float_digits: '1',
  idle_session_timeout: '0',
  standard_conforming_strings: 'on',
};
export const QUESTION = `
  select json_object_agg(name, setting) as settings, ('{NULL}'::text[])[1] is null as nulls, now() as now
  from pg_settings where name = any('{DateStyle,${Object.keys(RELIED_ON)},lock_timeout,work_mem}')`;

/** What `QUESTION` is answered with. */
export const answered = (lock_timeout: string, work_mem: string) => ({
  settings: { ...RELIED_ON, DateStyle: expect.stringMatching(/^ISO, /), lock_timeout, work_mem },
  nulls: true,
  now: expect.any(Date),
});

/** Its URL. */
export async function createOddDatabase(server: string, name: string): Promise<string> {
  const url = await createDatabase(server, name);
  const settings = Object.entries(ODD).map(
    ([setting, value]) => `set ${setting} = ${pg.escapeLiteral(value)}`,
  );
  for (const each of settings) await asSuperuser(server, `alter database ${name} ${each}`);
  return url;
}

/** With options, and time-outs, of its own. */
export const askingUrl = (url: string): string =>
  `${url}?statement_timeout=1&lock_timeout=1&query_timeout=1&application_name=odd&options=${encodeURIComponent('-c work_mem=1234kB -c datestyle=German')}`;
