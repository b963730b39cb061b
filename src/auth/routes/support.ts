import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { networkOf } from '../../../plugins/limits/subjects.ts';
import { createAudit } from '../../../plugins/logger/audit.ts';
import { type OwnOrigins, refuseCrossSite } from '../origin.ts';
import type { AuthContext, Caller } from '../service/context.ts';
import type { SignedIn } from '../service/issue.ts';
import { type Authenticated, authenticate } from '../service/sessions.ts';
import type { TokenTransport, Transport } from '../transport.ts';
import { viewUser } from '../views.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of who was found to be signed in, for the audit trail. */
    userId: string | null;
  }
}

/** What every route module is given. */
export interface RouteDeps {
  readonly context: AuthContext;
  readonly transport: TokenTransport;
  readonly origins: OwnOrigins;
}

/** For the API docs of what `requireSession` guards. */
export const bySession: Record<string, string[]>[] = [{ bearer: [] }, { cookie: [] }];

/** Who asks, for the rules: address, browser, audit trail, and where limits put their headers. */
export function callerOf(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): Caller {
  return {
    address: request.clientAddress,
    network: networkOf(request.clientAddress),
    userAgent: request.headers['user-agent'] ?? null,
    hasGone: () => request.raw.socket.destroyed || request.raw.socket.writableEnded,
    audit: createAudit(
      request.log,
      (address) => app.keyring.digest('address-digest', address),
      request.clientAddress,
      (event) => app.metrics.authEvent(event),
    ),
    setHeaders: (headers) => void reply.headers(headers),
  };
}

/** Refuses another site's sign-in where cookies come or go: it would end this browser's session, or leave it in a stranger's. */
export function refuseForeignSignIn({ transport, origins }: RouteDeps, request: FastifyRequest): void {
  const withoutCookies =
    transport.chosen(request) === 'body' && transport.readRefreshCookie(request) === null;
  if (!withoutCookies) refuseCrossSite(request, origins);
}

/** The signed-in user of this request; a cookie counts only from this site. */
export async function requireSession(deps: RouteDeps, request: FastifyRequest): Promise<Authenticated> {
  const access = deps.transport.readAccess(request);
  if (access?.by === 'cookie') refuseCrossSite(request, deps.origins);
  const who = await authenticate(deps.context, access?.token ?? null);
  request.userId = who.user.id;
  return who;
}

/** The body for a client that is signed in from now on; its refresh token goes into the body or the cookies. */
export function answerSignedIn(deps: RouteDeps, reply: FastifyReply, result: SignedIn, by: Transport) {
  if (by === 'cookie') {
    deps.transport.setCookies(reply, {
      access: result.accessToken,
      accessTtlMs: deps.context.config.accessTokenTtlMs,
      refresh: result.refreshToken,
      refreshTtlMs: result.refreshTtlMs,
    });
  }
  return {
    user: viewUser(result.user),
    accessToken: result.accessToken,
    tokenType: 'Bearer' as const,
    expiresIn: Math.floor(deps.context.config.accessTokenTtlMs / 1000),
    ...(by === 'body' && { refreshToken: result.refreshToken }),
  };
}
