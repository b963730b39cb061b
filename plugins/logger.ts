/**
 * What is logged and how: JSON lines in UTC with request ids. Fields named like a secret or a person are censored
 * wherever they stand in an entry, and errors are shown by what describes them, scrubbed. The words of a message, and
 * what a child logger is given inside objects, are written as they are: whoever logs keeps those clean.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { type FastifyBaseLogger, type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import fp from 'fastify-plugin';
import { type LoggerOptions, pino, stdTimeFunctions } from 'pino';
import type { Config } from './config.ts';
import { createLineWriter } from './logger/lines.ts';
import { CENSOR, redactNested, SECRET_KEYS } from './logger/redact.ts';
import { describeError, onOneLine } from './logger/scrub.ts';

/** Options for Fastify's `logger`. Requests are logged by route, never by URL: a URL may hold anything. */
export function loggerOptions(config: Pick<Config, 'logLevel' | 'logPretty'>) {
  const serializers = {
    req: (request: FastifyRequest) => ({
      method: request.method,
      route: request.routeOptions?.url ?? null,
    }),
    res: (reply: FastifyReply) => ({ statusCode: reply.statusCode }),
    err: describeError,
    error: describeError,
  };
  const serialized = new Set(Object.keys(serializers));
  return {
    level: config.logLevel,
    timestamp: stdTimeFunctions.isoTime,
    redact: { paths: SECRET_KEYS.map((key) => `["${key}"]`), censor: CENSOR },
    formatters: { log: (entry: Record<string, unknown>) => redactNested(entry, serialized) },
    serializers,
    hooks: {
      logMethod(args, method) {
        const safe = args.map((arg: unknown) => (typeof arg === 'string' ? onOneLine(arg) : arg));
        method.apply(this, safe as typeof args);
      },
    },
    ...(config.logPretty && {
      transport: {
        target: 'pino-pretty',
        options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l', singleLine: true },
      },
    }),
  } satisfies LoggerOptions;
}

/** Pino's own would end the process where it cannot write, and try for ever then. */
const standardOutput = createLineWriter(1);
process.on('exit', () => standardOutput.flushSync());

export function createLogger(config: Pick<Config, 'logLevel' | 'logPretty'>): FastifyBaseLogger {
  const options = loggerOptions(config);
  return config.logPretty ? pino(options) : pino(options, standardOutput);
}

/** Asked every few seconds by machines: a line for each would drown the others. */
const PROBES = new Set(['/livez', '/readyz', '/metrics']);

/** One line for each request, when it is answered. */
class OneLinePerRequest extends LogController {
  constructor() {
    super({
      requestIdLogLabel: 'requestId',
      disableRequestLogging: (request) => PROBES.has(request.routeOptions?.url ?? ''),
    });
  }
  override incomingRequest(): void {}
  override requestCompleted(error: Error | null, request: FastifyRequest, reply: FastifyReply): void {
    const answer = { req: request, res: reply, responseTimeMs: Math.round(reply.elapsedTime * 10) / 10 };
    if (error) reply.log.error({ ...answer, err: error }, 'request failed');
    else if (!this.isLogDisabled(request)) reply.log.info(answer, 'request completed');
  }
}

export const logController = new OneLinePerRequest();

/** What a client or proxy may choose: nothing that could forge a line or carry an e-mail. */
const SANE_ID = /^[\w-]{8,64}$/;

/** Options for Fastify: a sane `X-Request-Id` is taken over, anything else replaced by a random one. */
export const requestIdOptions = {
  genReqId(request: { readonly headers: IncomingHttpHeaders }): string {
    const given = request.headers['x-request-id'];
    return typeof given === 'string' && SANE_ID.test(given) ? given : randomUUID();
  },
} as const;

/** Every answer names its request id, so that a user can quote it. */
export default fp(
  async (app) => {
    app.addHook('onRequest', async (request, reply) => {
      reply.header('X-Request-Id', request.id);
    });
  },
  { name: 'logger' },
);
