/**
 * A URL as PostgreSQL's own programs have to be told it. libpq reads the words of a URL otherwise than `pg`: `ssl=true` is
 * nothing to it, `sslmode=require` verifies nobody, `verify-full` asks a file for its authorities. So what `pg` made of
 * the URL is said in libpq's words.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, getCACertificates } from 'node:tls';
import { clientOf } from './client.ts';
import { bareEnvironment } from './tools.ts';

export interface LibpqConnection {
  /** As an argument, which everybody may see: the name of the database, and nothing else. */
  readonly dbname: string;
  /** All that a program started with it has in its environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** What `pg` reads out of a URL and the environment; its types leave it out. */
interface Parameters {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly database: string | undefined;
  readonly password: string | null | undefined;
  readonly options: string | undefined;
  readonly ssl: boolean | ConnectionOptions | undefined;
  readonly sslnegotiation: string | undefined;
}

/** What only libpq knows of, and the files that `pg` has read: by the names of both. */
const BY_PARAMETER = {
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslcrl: 'PGSSLCRL',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
  connect_timeout: 'PGCONNECT_TIMEOUT',
} as const;

/** libpq verifies by a file of authorities wherever it finds one, in the home folder too; the driver does not where it was told not to. */
const NO_FILES = { PGSSLROOTCERT: join(devNull, 'none') } as const;

/**
 * Hands `work` the connection that `pg` would make by this URL: to the same server as the same user, encrypted if that is,
 * and verified by the same authorities.
 */
export async function withLibpq<T>(
  url: string,
  work: (connection: LibpqConnection) => Promise<T>,
  authorities = (): readonly string[] => getCACertificates('default'),
): Promise<T> {
  const { connectionParameters: to } = clientOf(url) as unknown as { connectionParameters: Parameters };
  const query = Object.fromEntries(new URLSearchParams(/\?([^#]*)/.exec(url)?.[1] ?? ''));
  const folder =
    isVerified(to) && !query['sslrootcert'] ? await mkdtemp(join(tmpdir(), 'authorities-')) : null;
  try {
    const rootCert = folder === null ? query['sslrootcert'] : join(folder, 'authorities.pem');
    if (folder !== null) await writeFile(join(folder, 'authorities.pem'), authorities().join('\n'));
    const unasked = isVerified(to) || !to.ssl ? {} : NO_FILES;
    const words = {
      ...bareEnvironment(),
      PGHOST: to.host,
      PGPORT: String(to.port),
      PGUSER: to.user,
      PGPASSWORD: to.password ?? undefined,
      PGOPTIONS: to.options,
      PGGSSENCMODE: 'disable',
      PGSSLMODE: sslMode(to),
      PGSSLNEGOTIATION: to.sslnegotiation,
      PGSSLROOTCERT: rootCert,
      ...Object.fromEntries(Object.entries(BY_PARAMETER).map(([name, word]) => [word, query[name]])),
      ...unasked,
    };
    const said = Object.entries(words).filter((entry): entry is [string, string] => !!entry[1]);
    const dbname = `postgresql:///${encodeURIComponent(to.database ?? '')}`;
    return await work({ dbname, env: Object.fromEntries(said) });
  } finally {
    if (folder !== null) await rm(folder, { recursive: true, force: true });
  }
}

const isVerified = ({ ssl }: Parameters): boolean =>
  !!ssl && (typeof ssl !== 'object' || ssl.rejectUnauthorized !== false);

function sslMode(to: Parameters): string {
  const { ssl } = to;
  if (!ssl) return 'disable';
  if (!isVerified(to)) return 'require';
  return typeof ssl === 'object' && ssl.checkServerIdentity !== undefined ? 'verify-ca' : 'verify-full';
}
