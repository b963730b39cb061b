/** A small HTTP client with a cookie jar. Every answer it sees is held against the OpenAPI document. */
import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, request as send } from 'node:http';
import type { ResponseCheck } from './openapi.ts';

export interface UserBody {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly isVerified: boolean;
  readonly createdAt: string;
}

/** Whatever any endpoint may answer; the shapes themselves are checked against the OpenAPI document. */
export interface AnswerBody {
  readonly user?: UserBody;
  readonly accessToken?: string;
  readonly refreshToken?: string;
  readonly tokenType?: string;
  readonly expiresIn?: number;
  readonly sessions?: readonly {
    readonly id: string;
    readonly current: boolean;
    readonly createdAt: string;
    readonly lastUsedAt: string;
    readonly expiresAt: string;
    readonly userAgent: string | null;
  }[];
  readonly code?: string;
  readonly status?: number;
  readonly title?: string;
  readonly type?: string;
  readonly requestId?: string;
  readonly issues?: readonly { readonly path: readonly string[]; readonly message: string }[];
  readonly [other: string]: unknown;
}

export interface SetCookie {
  readonly name: string;
  readonly value: string;
  /** Lower-case attribute names; flags are ''. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The parsed JSON; empty when the answer is none. */
  readonly body: AnswerBody;
  readonly setCookies: readonly SetCookie[];
  /** From sending the request to the last byte, ms. */
  readonly tookMs: number;
}

export interface RequestOptions {
  readonly headers?: OutgoingHttpHeaders;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is, without a content type of its own. */
  readonly raw?: string | Buffer;
  readonly bearer?: string | undefined;
  /** Leaves the jar alone: no cookie sent, none kept. */
  readonly noJar?: boolean;
}

export interface Client {
  readonly cookies: Map<string, { readonly value: string; readonly path: string }>;
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  get(path: string, options?: RequestOptions): Promise<Answer>;
  post(path: string, json?: unknown, options?: RequestOptions): Promise<Answer>;
  delete(path: string, json?: unknown, options?: RequestOptions): Promise<Answer>;
  /** Value of the cookie whose name ends so; undefined when the jar has none. */
  cookie(nameEnd: 'access_token' | 'refresh_token'): string | undefined;
  /** Another client whose jar starts with the same cookies. */
  copy(): Client;
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

function parseSetCookie(line: string): SetCookie {
  const [pair = '', ...rest] = line.split(';').map((part) => part.trim());
  const at = pair.indexOf('=');
  const attributes = rest.map((part) => {
    const [name = '', value = ''] = part.split('=');
    return [name.toLowerCase(), value] as const;
  });
  return {
    name: pair.slice(0, at),
    value: decodeURIComponent(pair.slice(at + 1)),
    attributes: Object.fromEntries(attributes),
  };
}

function parseBody(text: string, type: string | undefined): AnswerBody {
  return /[/+]json/.test(type ?? '') && text !== '' ? (JSON.parse(text) as AnswerBody) : {};
}

function exchange(
  base: string,
  method: string,
  path: string,
  headers: OutgoingHttpHeaders,
  payload: string | Buffer | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const outgoing = send(`${base}${path}`, { method, headers, agent }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          text,
          body: parseBody(text, incoming.headers['content-type']),
          setCookies: (incoming.headers['set-cookie'] ?? []).map(parseSetCookie),
          tookMs: performance.now() - startedAt,
        });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

/** A client of the service at `base`, with an empty jar. Throws on an answer that its OpenAPI document does not allow. */
export function createClient(base: string, check: ResponseCheck | null): Client {
  const cookies: Client['cookies'] = new Map();

  function keep({ name, value, attributes }: SetCookie): void {
    const isGone = attributes['max-age'] === '0' || Date.parse(attributes['expires'] ?? '9999') < Date.now();
    if (isGone) cookies.delete(name);
    else cookies.set(name, { value, path: attributes['path'] ?? '/' });
  }

  function cookieHeader(path: string): string {
    return [...cookies]
      .filter(([, cookie]) => cookie.path === '/' || `${path}/`.startsWith(`${cookie.path}/`))
      .map(([name, cookie]) => `${name}=${encodeURIComponent(cookie.value)}`)
      .join('; ');
  }

  const client: Client = {
    cookies,
    async request(method, path, options = {}) {
      const jar = options.noJar ? '' : cookieHeader(path);
      const payload = options.json === undefined ? options.raw : JSON.stringify(options.json);
      const headers: OutgoingHttpHeaders = {
        ...(jar !== '' && { cookie: jar }),
        ...(options.json !== undefined && { 'content-type': 'application/json' }),
        ...(payload !== undefined &&
          options.headers?.['transfer-encoding'] === undefined && {
            'content-length': Buffer.byteLength(payload),
          }),
        ...(options.bearer !== undefined && { authorization: `Bearer ${options.bearer}` }),
        ...options.headers,
      };
      const answer = await exchange(base, method, path, headers, payload);
      if (!options.noJar) answer.setCookies.forEach(keep);
      check?.(method, path, answer);
      return answer;
    },
    get: (path, options) => client.request('GET', path, options),
    post: (path, json, options) => client.request('POST', path, { ...options, json }),
    delete: (path, json, options) => client.request('DELETE', path, { ...options, json }),
    cookie: (nameEnd) => [...cookies].find(([name]) => name.endsWith(nameEnd))?.[1].value,
    copy() {
      const twin = createClient(base, check);
      for (const [name, cookie] of cookies) twin.cookies.set(name, cookie);
      return twin;
    },
  };
  return client;
}
