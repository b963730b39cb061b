/** The lines of the audit trail for what is refused, where no rule of `service/` writes one itself. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HashingOverloaded } from '../../plugins/passwords/passwords.ts';
import { ApiError, type ErrorCode } from '../errors.ts';
import { callerOf } from './routes/support.ts';

const NOTED: ReadonlySet<ErrorCode> = new Set([
  'weak_password',
  'cross_site',
  'changed_meanwhile',
  'session_not_found',
  'hashing_overloaded',
]);

/** What the rules call it when it is not refused. */
const EVENTS: Readonly<Record<string, string>> = {
  'POST /auth/signup': 'signup',
  'POST /auth/login': 'login',
  'GET /auth/refresh': 'refresh',
  'POST /auth/logout': 'logout',
  'POST /auth/reset-password': 'reset',
  'POST /auth/change-password': 'change-password',
  'DELETE /auth/me': 'delete-account',
  'DELETE /auth/sessions/:id': 'session-ended',
};

/** Notes a refused request, once. */
export function noteRefusal(
  app: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
): void {
  const reason = codeOf(error);
  if (reason === null) return;
  const { userId } = request;
  const name = EVENTS[`${request.method} ${request.routeOptions.url}`] ?? 'request';
  const event = { event: name, outcome: 'failure', reason, ...(userId !== null && { userId }) } as const;
  // Everybody's access token expires, and anyone can send one that is none: such requests are only counted.
  if (reason === 'unauthenticated' && userId === null) app.metrics.authEvent(event);
  else if (reason === 'unauthenticated' || NOTED.has(reason)) callerOf(app, request, reply).audit(event);
}

function codeOf(error: unknown): ErrorCode | null {
  if (error instanceof HashingOverloaded) return 'hashing_overloaded';
  return error instanceof ApiError ? error.code : null;
}
