/** What a connection URL says about where it leads and whether the way there is encrypted and the server verified. */

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?|\[?::ffff:127(\.\d{1,3}){3}\]?)$/i;

export const isLoopback = (host: string): boolean => LOOPBACK.test(host);

interface Endpoint {
  readonly hosts: readonly string[];
  readonly database: string;
  readonly options: ReadonlyMap<string, string>;
}

/** Split by hand: a MongoDB URL may name several hosts, which `URL` does not read. */
function split(url: string): Endpoint {
  const [, authority = '', path = '', query = ''] = /^[^:]+:\/\/([^/?]*)\/?([^?]*)\??(.*)$/.exec(url) ?? [];
  const hosts = authority
    .slice(authority.lastIndexOf('@') + 1)
    .split(',')
    .map((host) => decodeURIComponent(host).replace(/:\d*$/, ''));
  return { hosts, database: path, options: new Map(new URLSearchParams(query)) };
}

/** For drivers that do not mind the case of an option's name. */
const inLowerCase = (options: Endpoint['options']): Endpoint['options'] =>
  new Map([...options].map(([key, value]) => [key.toLowerCase(), value]));

const isLocal = (host: string) =>
  host === '' || host.startsWith('/') || host.endsWith('.sock') || isLoopback(host);

/** The database that the URL names; empty when it names none. */
export const databaseOf = (url: string): string => split(url).database;

/** True when every host is this machine, or TLS with a verified certificate is asked for. */
export function isPrivatePostgres(url: string): boolean {
  const { hosts, options } = split(url);
  const named = [...hosts, options.get('host') ?? ''].filter((host) => host !== '');
  // Where the URL names no host, the driver takes the one in PGHOST.
  if (named.length > 0 && named.every(isLocal)) return true;
  const mode = options.get('sslmode') ?? (options.get('ssl') === 'true' ? 'verify-full' : 'disable');
  return mode === 'verify-full' || (mode === 'require' && options.get('uselibpqcompat') !== 'true');
}

export function isPrivateMongo(url: string): boolean {
  const { hosts, options: asWritten } = split(url);
  const options = inLowerCase(asWritten);
  if (!url.startsWith('mongodb+srv:') && hosts.every(isLocal)) return true;
  const tls = options.get('tls') ?? options.get('ssl') ?? String(url.startsWith('mongodb+srv:'));
  const unverified = ['tlsinsecure', 'tlsallowinvalidcertificates', 'tlsallowinvalidhostnames'];
  return tls === 'true' && unverified.every((name) => options.get(name) !== 'true');
}

/** True for a mail server on this machine, which may do without TLS. */
export const isLocalSmtp = (url: string): boolean => split(url).hosts.every(isLocal);

/** True when the URL turns on a log of the mail client's own, which is not scrubbed. */
export const isLoggedSmtp = (url: string): boolean =>
  ['logger', 'debug', 'transactionlog'].some((name) => inLowerCase(split(url).options).has(name));

/** STARTTLS is demanded of other hosts anyway, unless the URL itself turns it or the verification off. */
export function isPrivateSmtp(url: string): boolean {
  const options = inLowerCase(split(url).options);
  const is = (name: string, safe: string) => (options.get(name) ?? safe) === safe;
  return (
    isLocalSmtp(url) ||
    (is('ignoretls', 'false') && is('requiretls', 'true') && is('tls.rejectunauthorized', 'true'))
  );
}
