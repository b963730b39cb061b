/** A snapshot's own connection to PostgreSQL, without a bound on statements: it reads or writes everything. */
import pg from 'pg';
import { toStoreError } from '../errors.ts';
import { connectionTo } from '../session.ts';

const CONNECT_MS = 10_000;

/** Not connected yet. Throws what the driver does, where it cannot read the URL. */
export const clientOf = (url: string): pg.Client =>
  new pg.Client({
    ...connectionTo(url),
    application_name: 'auth-snapshot',
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
  });

/** Where the driver goes by a URL, which need not name all of it, nor in its place. */
export function placeOf(url: string): {
  readonly host: string;
  readonly port: number;
  readonly database: string;
} {
  const { host, port, database = '' } = clientOf(url);
  return { host, port, database };
}

/** The signal ends the connection, whatever it waits for. Throws `StoreUnavailable`. */
export async function connectPostgres(url: string, signal?: AbortSignal): Promise<pg.Client> {
  const client = clientOf(url);
  client.on('error', () => {});
  try {
    await client.connect();
    const stop = (): void => void client.connection.stream.destroy();
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted === true) stop();
    return client;
  } catch (error) {
    throw toStoreError(error, 'connecting');
  }
}

/** A table of the present schema, by its bare name. */
export interface Table {
  readonly name: string;
  readonly columns: readonly string[];
}

/** Every table of the present schema; those without a journal, whose content a crash may take, left out. */
export async function tablesOf(client: pg.Client): Promise<readonly Table[]> {
  const { rows } = await client.query<{ name: string; columns: string[] }>(`
    select c.relname as name,
      array(select a.attname::text from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        order by a.attnum) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = current_schema() and c.relkind = 'r' and c.relpersistence = 'p'
    order by c.relname`);
  return rows;
}

/** The one that bare names lead to. */
export async function presentSchema(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ name: string | null }>('select current_schema() as name');
  return rows[0]?.name ?? 'public';
}

export async function serverMajor(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ number: string }>(
    "select current_setting('server_version_num') as number",
  );
  return Math.floor(Number(rows[0]?.number) / 10_000);
}
