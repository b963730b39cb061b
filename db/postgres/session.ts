/** What every connection of ours rests on, whatever the server, its databases and roles, or a URL have by default. */
import { type Kysely, sql } from 'kysely';

/**
 * Times are read as ISO prints them, in any other style as none at all; who loses a race is to find no row, not to fail for it; and
 * arrays hold nulls.
 */
const NEEDED = {
  DateStyle: 'ISO',
  default_transaction_isolation: 'read committed',
  array_nulls: 'on',
  standard_conforming_strings: 'on',
  extra_float_digits: '1',
  exit_on_error: 'off',
} as const;

/** Each connection says how long it waits for what; an idle one may hold a lock that others rely on. */
const OWN_TIMES = {
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
} as const;

/** Asked for as well; nothing rests on it, for times are read with their offset. */
const WISHED = { TimeZone: 'UTC' } as const;

/** Not for a connection to choose, unless it is a superuser's: with `replica` no foreign key is looked at. */
const SERVERS = { session_replication_role: 'origin' } as const;

type Settings = Readonly<Record<string, string>>;

/** What `pg` would take from a URL above what the connection says. */
const NOT_BY_URL = new Set([
  'options',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'query_timeout',
]);

/** Limits of the server's on a connection, ms. */
export type Times = Partial<
  Readonly<Record<'statement_timeout' | 'lock_timeout' | 'idle_in_transaction_session_timeout', number>>
>;

/**
 * How `pg` is to connect: under `own` settings, then what the URL's `options` say, and what is needed in any case, `times` too. `pg`
 * alone would take the URL's in place of all others, its time-outs above the connection's own, and ask for ours in a form
 * that poolers refuse.
 */
export function connectionTo(
  url: string,
  own: Settings = {},
  times: Times = {},
): { readonly connectionString: string; readonly options: string } {
  const [base = '', query = ''] = url.split(/\?(.*)/s, 2);
  const asked = new URLSearchParams(query).getAll('options');
  const others = query.split('&').filter((pair) => !NOT_BY_URL.has(nameOf(pair)));
  return {
    connectionString: query === '' ? url : `${base}?${others.join('&')}`,
    options: [
      optionsOf({ ...OWN_TIMES, ...own }),
      ...asked,
      optionsOf({ ...NEEDED, ...WISHED, ...textOf(times) }),
    ].join(' '),
  };
}

const nameOf = (pair: string): string => [...new URLSearchParams(pair).keys()][0] ?? '';

const textOf = (times: Times): Settings =>
  Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, String(ms)]));

const optionsOf = (settings: Settings): string =>
  Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
    .join(' ');

/** Which of them a connection does not have all the same; a pooler between may drop them. A shorter time will do. */
export async function sessionProblems<DB>(db: Kysely<DB>, times: Times = {}): Promise<readonly string[]> {
  const needed: Settings = { ...NEEDED, ...SERVERS, ...textOf(times) };
  const isShorter = (name: string, setting: string) =>
    name in times && Number(setting) > 0 && Number(setting) < Number(needed[name]);
  const { rows } = await sql<{ name: string; setting: string }>`
    select name, setting from pg_settings where name = any(${Object.keys(needed)}::text[]) order by name
  `.execute(db);
  return rows
    .filter(({ name, setting }) => setting.split(',')[0] !== needed[name] && !isShorter(name, setting))
    .map(({ name, setting }) => `PostgreSQL runs with ${name} = ${setting}: set it to ${needed[name]}`);
}
