import type { FastifyRequest } from 'fastify';
import { isLoopback } from '../../plugins/config/endpoints.ts';
import { ApiError } from '../errors.ts';

/** Whose pages may make a browser send our cookies along. */
export interface OwnOrigins {
  readonly allowed: ReadonlySet<string>;
  /** Whether cookies are Secure: a page of our own has come over TLS then, too. */
  readonly secure: boolean;
}

/**
 * Refuses what another site makes a browser send along with our cookies: fetch metadata decides where the browser
 * sends it, the Origin header everywhere else. An allow-listed origin may be on another site.
 */
export function refuseCrossSite(request: FastifyRequest, own: OwnOrigins): void {
  const { origin, host } = request.headers;
  const site = request.headers['sec-fetch-site'];
  // No page can write this header: to the browser it is one origin, though a proxy may have passed on another host.
  if (site === 'same-origin') return;
  if (origin !== undefined) {
    if (own.allowed.has(origin) || isOwn(origin, host, own.secure)) return;
    throw new ApiError('cross_site');
  }
  if (site === 'cross-site') throw new ApiError('cross_site');
}

/**
 * A browser tells Host truthfully, so an origin on the very host that was asked is this service's own page; without
 * TLS somebody on the way may have written that page, but not on this very machine.
 */
function isOwn(origin: string, host: string | undefined, secure: boolean): boolean {
  if (host === undefined || !URL.canParse(origin)) return false;
  const url = new URL(origin);
  return url.host === host && (!secure || url.protocol === 'https:' || isLoopback(url.hostname));
}
