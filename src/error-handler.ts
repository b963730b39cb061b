import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { StaleWrite, StoreUnavailable } from '../db/errors.ts';
import { describeError } from '../plugins/logger/scrub.ts';
import { HashingOverloaded } from '../plugins/passwords/passwords.ts';
import { ApiError, ERRORS, type ErrorCode, type Issue } from './errors.ts';
import { PROBLEM_TYPE, problem } from './problem.ts';

/** What is asked of a client whose request may be repeated, seconds. */
const RETRY_AFTER_S = 2;

const FRAMEWORK_CODES: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed_body',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_body',
  FST_ERR_HANDLER_TIMEOUT: 'overloaded',
  FST_UNDER_PRESSURE: 'overloaded',
  FST_ERR_NOT_FOUND: 'not_found',
};

/** Turns whatever was thrown into one coded error: the only place where an error becomes a status. */
function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const retry = { headers: { 'Retry-After': String(RETRY_AFTER_S) }, cause: error };
  if (error instanceof StoreUnavailable || error instanceof StaleWrite) {
    return new ApiError('store_unavailable', retry);
  }
  if (error instanceof HashingOverloaded) return new ApiError('hashing_overloaded', retry);
  if (hasZodFastifySchemaValidationErrors(error)) {
    const issues = error.validation.map(
      (issue): Issue => ({
        path: issue.instancePath.split('/').filter((part) => part !== ''),
        message: issue.message ?? 'Invalid',
        code: issue.keyword,
      }),
    );
    return new ApiError('validation_failed', { issues });
  }
  if (!(error instanceof Error)) return new ApiError('internal', { cause: error });
  const { code, statusCode } = error as Partial<FastifyError>;
  const known = code === undefined ? undefined : FRAMEWORK_CODES[code];
  if (known) return new ApiError(known, ERRORS[known].status === 503 ? retry : { cause: error });
  if (error instanceof SyntaxError && statusCode === 400)
    return new ApiError('malformed_body', { cause: error });
  if (statusCode === 413) return new ApiError('body_too_large', { cause: error });
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new ApiError('bad_request', { cause: error });
  }
  if (statusCode === 503) return new ApiError('overloaded', retry);
  return new ApiError('internal', { cause: error });
}

function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply) {
  const answer = toApiError(error);
  const { status } = ERRORS[answer.code];
  // RFC 9110 wants one with every 401; it names the scheme that any client may use.
  if (status === 401) reply.header('WWW-Authenticate', 'Bearer');
  if (status === 503) {
    // Under overload there is one for each request: a stack would make the log the next load.
    const { stack: _, ...because } = describeError(answer.cause ?? answer);
    request.log.warn({ because, code: answer.code }, 'request refused');
  } else if (status >= 500) {
    request.log.error({ err: answer.cause ?? answer, code: answer.code }, 'request failed');
  } else request.log.debug({ code: answer.code }, 'request refused');
  return reply
    .code(status)
    .headers({ 'Cache-Control': 'no-store', ...answer.headers })
    .type(PROBLEM_TYPE)
    .send(problem(answer.code, request.id, answer.issues));
}

/** For what is refused before it reaches any route, such as a malformed URL: no hook runs, so the headers are set here. */
export function sendFrameworkError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  reply.headers({
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'X-Request-Id': request.id,
  });
  sendError(error, request, reply);
}

const CONNECTION_CODES: Readonly<Record<string, ErrorCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  HPE_HEADER_OVERFLOW: 'headers_too_large',
};

/** For what is no HTTP request, or not in time: there is no reply to send, so the answer is written by hand. */
export function answerClientError(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const code = CONNECTION_CODES[error.code ?? ''] ?? 'bad_request';
  const { status } = ERRORS[code];
  const requestId = randomUUID();
  const body = JSON.stringify(problem(code, requestId));
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Referrer-Policy: no-referrer',
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    'Connection: close',
  ];
  if (socket.writable) socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
  socket.destroy(error);
}

/** Coded error → problem+json, for every route and for what no route matches. */
function registerErrorHandler(app: FastifyInstance): void {
  app.setErrorHandler(sendError);
  app.setNotFoundHandler((request, reply) => sendError(new ApiError('not_found'), request, reply));
}

export default fp(async (app) => registerErrorHandler(app), { name: 'error-handler' });
