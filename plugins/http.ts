import cookie from '@fastify/cookie';
import cors from '@fastify/cors';
import underPressure from '@fastify/under-pressure';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { takeJson } from './http/bodies.ts';
import { connectionsMax, ownLimits } from './http/connections.ts';
import { protectiveHeaders } from './http/headers.ts';
import { addressOf } from './limits/subjects.ts';

/** Past this the event loop is too far behind to answer in time, ms. */
const EVENT_LOOP_DELAY_MAX_MS = 2_000;

declare module 'fastify' {
  interface FastifyRequest {
    /** Where it came from, read when it came: a connection that has ended has no address. `unknown` if it had by then. */
    clientAddress: string;
  }
}

const PROBES = new Set(['/livez', '/readyz', '/metrics']);

/** What the error handler knows load shedding by. */
class Overloaded extends Error {
  readonly code = 'FST_UNDER_PRESSURE';
  readonly statusCode = 503;
}

/** Of HTTP/1.1 each request has to name its host; Node, left to itself, answers in a form of its own. */
const isWithoutHost = ({ headers, raw }: FastifyRequest): boolean =>
  headers.host === undefined && raw.httpVersion === '1.1';

/** Whether what it says of the way it came was believed: then there is an address besides the peer's. */
const hasTrustedPeer = ({ ips }: FastifyRequest): boolean => ips !== undefined && ips.length > 1;

/** What every HTTP answer goes through: headers, cookies, CORS, load shedding, and lenient empty bodies. */
export default fp(
  async (app) => {
    const protective = await protectiveHeaders({
      contentSecurityPolicy: {
        directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
        useDefaults: false,
      },
      referrerPolicy: { policy: 'no-referrer' },
      hsts: app.config.secureCookies && { maxAge: 63_072_000, includeSubDomains: true },
    });
    app.decorateRequest('clientAddress', 'unknown');
    let warned = false;
    app.addHook('onRequest', (request, reply, done) => {
      request.clientAddress = addressOf(request.ip ?? '');
      if (!warned && request.headers['x-forwarded-for'] !== undefined && !hasTrustedPeer(request)) {
        warned = true;
        app.log.warn(
          'X-Forwarded-For is not believed: TRUST_PROXY does not name who sent it. If that is a proxy, all clients behind it count as one',
        );
      }
      reply.headers(protective);
      done(isWithoutHost(request) ? Object.assign(new Error('no Host'), { statusCode: 400 }) : undefined);
    });
    // What a client expects besides 100-continue may be left unmet; Node would refuse it in a form of its own.
    app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
    await app.register(cookie);
    const origins = [...app.config.corsOrigins];
    const { legacyJwt } = app.config;
    // Or no page on another origin could present a token of the old service.
    const legacyHeader = legacyJwt === null ? [] : [legacyJwt.header];
    await app.register(cors, {
      origin: origins.length > 0 ? origins : false,
      credentials: true,
      // A preflight that is none gets no headers either, and need not be answered in a form of its own.
      strictPreflight: false,
      methods: ['GET', 'POST', 'DELETE'],
      allowedHeaders: ['Authorization', 'Content-Type', 'X-Token-Transport', ...legacyHeader],
      exposedHeaders: ['RateLimit', 'RateLimit-Policy', 'Retry-After', 'X-Request-Id'],
    });
    await app.register(underPressure, {
      maxEventLoopDelay: EVENT_LOOP_DELAY_MAX_MS,
      // Without a sample in this time the loop passes for blocked.
      sampleInterval: EVENT_LOOP_DELAY_MAX_MS,
      maxHeapUsedBytes: app.config.shedHeapMaxBytes,
      // Whoever asks whether the process lives must get an answer: killing a busy instance would load the others.
      // Thrown, since a request that is answered here would go on beside its answer.
      pressureHandler(request) {
        if (!PROBES.has(request.routeOptions.url ?? '')) throw new Overloaded();
      },
    });

    const most = connectionsMax(ownLimits());
    if (most !== null) app.server.maxConnections = most;

    takeJson(app);
  },
  { name: 'http', dependencies: ['config'] },
);
