import type { FastifyRequest } from 'fastify';
import { ApiError } from '../errors.ts';

/**
 * Refuses what another site makes a browser send along with our cookies: fetch metadata decides where the browser
 * sends it, the Origin header everywhere else. An allow-listed origin may be on another site.
 */
export function refuseCrossSite(request: FastifyRequest, allowedOrigins: ReadonlySet<string>): void {
  const { origin, host } = request.headers;
  const site = request.headers['sec-fetch-site'];
  if (origin !== undefined) {
    if (allowedOrigins.has(origin) || isOwn(origin, host)) return;
    throw new ApiError('cross_site');
  }
  if (site === 'cross-site') throw new ApiError('cross_site');
}

/** A browser tells Host truthfully, so an origin on the very host that was asked is this service's own page. */
function isOwn(origin: string, host: string | undefined): boolean {
  return host !== undefined && URL.canParse(origin) && new URL(origin).host === host;
}
