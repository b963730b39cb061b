/** How a variable's text becomes a value. Messages say what is wanted; they never repeat the text, it may be a secret. */
import { isIP } from 'node:net';
import { z } from 'zod';

/** A schema from text to `T`; `parse` gives undefined for text it does not accept. */
export function text<T>(wanted: string, parse: (text: string) => T | undefined): z.ZodType<T, string> {
  return z.string().transform((given, context) => {
    const value = parse(given.trim());
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `must be ${wanted}` });
    return z.NEVER;
  });
}

export const oneOf = <const T extends string>(...choices: readonly T[]) =>
  text(`one of ${choices.join(', ')}`, (given) => choices.find((choice) => choice === given));

export const flag = () => text('true or false', (given) => ({ true: true, false: false })[given]);

export const integer = (min: number, max: number) =>
  text(`a whole number from ${min} to ${max}`, (given) => {
    const value = /^\d{1,10}$/.test(given) ? Number(given) : Number.NaN;
    return value >= min && value <= max ? value : undefined;
  });

const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function durationMs(given: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(given);
  return match ? Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS] : undefined;
}

/** `15m`, `2s`, `90d` → milliseconds. Longer than a year is taken for a mistake. */
export const duration = (min: string, max = '366d') =>
  text(`a duration such as 500ms, 2s, 15m, 24h or 90d, from ${min} to ${max}`, (given) => {
    const value = durationMs(given);
    const [low = 0, high = 0] = [durationMs(min), durationMs(max)];
    return value !== undefined && value >= low && value <= high ? value : undefined;
  });

export interface Rate {
  readonly capacity: number;
  readonly windowMs: number;
}

export const RATE_WINDOW_MAX_MS = UNITS_MS.d;

/** `1000/15m` → that many in that time; `off` → null. */
export const rate = () =>
  text('a number per time of 1s to 24h such as 1000/15m, or off', (given): Rate | null | undefined => {
    if (given === 'off') return null;
    const [count = '', window = ''] = given.split('/');
    const windowMs = durationMs(window);
    if (!/^[1-9]\d{0,8}$/.test(count) || windowMs === undefined) return undefined;
    if (windowMs < 1000 || windowMs > RATE_WINDOW_MAX_MS) return undefined;
    return { capacity: Number(count), windowMs };
  });

const list = (given: string) =>
  given
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

function every<T>(items: readonly string[], parse: (item: string) => T | undefined): T[] | undefined {
  const parsed = items.map(parse).filter((item) => item !== undefined);
  return parsed.length === items.length ? parsed : undefined;
}

export const listOf = <const T extends string>(...choices: readonly T[]) =>
  text(`a comma-separated list of ${choices.join(', ')}`, (given) =>
    every(list(given), (item) => choices.find((choice) => choice === item)),
  );

function webUrl(given: string): URL | undefined {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') return undefined;
  return url.username + url.password + url.search + url.hash === '' ? url : undefined;
}

/** An http(s) URL, its trailing slash cut, so that paths can be appended. */
export const httpUrl = () =>
  text('an http or https URL without user, query or fragment, such as https://app.example.com', (given) =>
    webUrl(given)?.href.replace(/\/+$/, ''),
  );

/** An http(s) URL that is nothing but an origin. */
export const origin = () =>
  text('an origin such as https://auth.example.com, without a path', (given) => exactOrigin(given));

function exactOrigin(given: string): string | undefined {
  const url = webUrl(given);
  return url?.pathname === '/' ? url.origin : undefined;
}

export const origins = () =>
  text('a comma-separated list of exact origins such as https://app.example.com', (given) =>
    every(list(given), exactOrigin),
  );

function isDecodable(given: string): boolean {
  try {
    decodeURIComponent(given);
    return true;
  } catch {
    return false;
  }
}

export const serviceUrl = (...schemes: readonly string[]) =>
  text(`a URL that begins with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`, (given) =>
    schemes.some((scheme) => given.startsWith(`${scheme}//`) && given.length > scheme.length + 2) &&
    isDecodable(given)
      ? given
      : undefined,
  );

const NAMED_NETWORKS = ['loopback', 'linklocal', 'uniquelocal'];

function network(given: string): string | undefined {
  if (NAMED_NETWORKS.includes(given)) return given;
  const [address = '', prefix, ...rest] = given.split('/');
  const version = isIP(address);
  const bits = version === 4 ? 32 : 128;
  const prefixFits = prefix === undefined || (/^\d{1,3}$/.test(prefix) && +prefix >= 1 && +prefix <= bits);
  return version !== 0 && prefixFits && rest.length === 0 ? given : undefined;
}

/** `off` → false; addresses and networks in CIDR notation as Fastify's `trustProxy` takes them. */
export const proxies = () =>
  text(
    `off, or a comma-separated list of addresses, CIDR networks, ${NAMED_NETWORKS.join(', ')}`,
    (given): string[] | false | undefined =>
      given === 'off' ? false : list(given).length > 0 ? every(list(given), network) : undefined,
  );

/** February 30 would be taken for March 1 or 2. */
function isOnCalendar(day: string): boolean {
  const at = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(day);
}

/** A date, or a time with its zone. A date alone ends at its last millisecond, UTC. */
export const instant = () =>
  text('a date such as 2030-01-31 or a time such as 2030-01-31T12:00:00Z', (given) => {
    const shape = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.exec(given);
    const at = new Date(shape?.[1] === undefined ? `${given}T23:59:59.999Z` : given);
    return shape && isOnCalendar(given.slice(0, 10)) && !Number.isNaN(at.getTime()) ? at : undefined;
  });

/** One line of printable text: it ends up in headers and mails. */
export const line = (max: number) =>
  text(`1 to ${max} printable characters on one line`, (given) =>
    given.length > 0 && given.length <= max && !/\p{C}/u.test(given) ? given : undefined,
  );

/** A name that HTTP allows for a header or a cookie. */
export const httpToken = () =>
  text("letters, digits or !#$%&'*+-.^_`|~", (given) =>
    /^[\w!#$%&'*+\-.^`|~]{1,100}$/.test(given) ? given : undefined,
  );

/** `Name <mailbox@host>` or `mailbox@host`: one, where a comma would make two. */
export const mailbox = () =>
  text('an address such as no-reply@example.com or Auth <no-reply@example.com>', (given) =>
    /^(?:(?:"[^"<>\p{C}]{0,100}"|[^"<>@,;\p{C}]{0,100})\s*<[^\s<>@,;]+@[^\s<>@,;]+>|[^\s<>@,;]+@[^\s<>@,;]+)$/u.test(
      given,
    )
      ? given
      : undefined,
  );

/** Where to listen: an address, or a name that the system resolves. */
export const host = () =>
  text('an IP address or a host name', (given) =>
    isIP(given) !== 0 || /^(?!-)[\w-]{1,63}(\.[\w-]{1,63})*$/.test(given) ? given : undefined,
  );

/** One or more, the first of which counts. */
export const names = () =>
  text('one or more names, comma-separated', (given) => (list(given).length > 0 ? list(given) : undefined));

/** Never trimmed or changed: it must equal what the other side holds. */
export const secret = () => z.string().min(1);
