import type { CookieSerializeOptions } from '@fastify/cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';

export interface CookiePolicy {
  /** `Secure`, and with it the `__Host-` and `__Secure-` names. */
  readonly secure: boolean;
  readonly sameSiteAccess: 'strict' | 'lax' | 'none';
  readonly sameSiteRefresh: 'strict' | 'lax' | 'none';
  /** Where the old service kept its token; null when its tokens are not exchanged. */
  readonly legacy: { readonly cookie: string; readonly header: string } | null;
}

/** How a request presented a token; one that came by cookie never goes back in a body, where a script could read it. */
export type Transport = 'cookie' | 'body';

export interface TokenTransport {
  /** Where the answer to a login goes: the body if asked for by `X-Token-Transport: body`. */
  chosen(request: FastifyRequest): Transport;
  readAccess(request: FastifyRequest): { readonly token: string; readonly by: Transport } | null;
  readRefreshCookie(request: FastifyRequest): string | null;
  /** A token of the old service, from its header or its cookie; null when there is none or they are not exchanged. */
  readLegacy(request: FastifyRequest): { readonly token: string; readonly by: Transport } | null;
  /** Every token that came by cookie, the refresh token first. */
  readCookies(request: FastifyRequest): readonly string[];
  setCookies(
    reply: FastifyReply,
    tokens: {
      readonly access: string;
      readonly accessTtlMs: number;
      readonly refresh: string;
      readonly refreshTtlMs: number;
    },
  ): void;
  clearCookies(reply: FastifyReply): void;
}

/** The value of `Authorization: Bearer …`, or null. */
export function readBearer(request: FastifyRequest): string | null {
  return /^Bearer +([^\s]+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? null;
}

/** Names, scope and flags of the two cookies: set and clear use the same. */
export function createTransport(policy: CookiePolicy): TokenTransport {
  const accessName = policy.secure ? '__Host-access_token' : 'access_token';
  const refreshName = policy.secure ? '__Secure-refresh_token' : 'refresh_token';
  const base: CookieSerializeOptions = { httpOnly: true, secure: policy.secure };
  const access: CookieSerializeOptions = { ...base, path: '/', sameSite: policy.sameSiteAccess };
  const refresh: CookieSerializeOptions = { ...base, path: '/auth', sameSite: policy.sameSiteRefresh };
  const { legacy } = policy;
  return {
    chosen: (request) => (request.headers['x-token-transport'] === 'body' ? 'body' : 'cookie'),
    readAccess(request) {
      const bearer = readBearer(request);
      if (bearer !== null) return { token: bearer, by: 'body' };
      const cookie = request.cookies[accessName];
      return cookie ? { token: cookie, by: 'cookie' } : null;
    },
    readRefreshCookie: (request) => request.cookies[refreshName] || null,
    readLegacy(request) {
      if (legacy === null) return null;
      const header = request.headers[legacy.header];
      const token = typeof header === 'string' ? header.replace(/^Bearer +/i, '') : '';
      if (token !== '') return { token, by: 'body' };
      const cookie = request.cookies[legacy.cookie];
      return cookie ? { token: cookie, by: 'cookie' } : null;
    },
    readCookies: (request) =>
      [refreshName, accessName, ...(legacy ? [legacy.cookie] : [])].flatMap(
        (name) => request.cookies[name] || [],
      ),
    setCookies(reply, tokens) {
      reply.setCookie(accessName, tokens.access, {
        ...access,
        maxAge: Math.floor(tokens.accessTtlMs / 1000),
      });
      reply.setCookie(refreshName, tokens.refresh, {
        ...refresh,
        maxAge: Math.floor(tokens.refreshTtlMs / 1000),
      });
    },
    clearCookies(reply) {
      reply.clearCookie(accessName, access);
      reply.clearCookie(refreshName, refresh);
      if (legacy) reply.clearCookie(legacy.cookie, { path: '/' });
    },
  };
}
