import cookie from '@fastify/cookie';
import cors from '@fastify/cors';
import helmet from '@fastify/helmet';
import underPressure from '@fastify/under-pressure';
import fp from 'fastify-plugin';

/** Past this the event loop is too far behind to answer in time, ms. */
const EVENT_LOOP_DELAY_MAX_MS = 2_000;
/** Share of the heap limit past which requests are refused before memory grows further. */
const HEAP_USED_MAX_BYTES = 1_500_000_000;

/** What every HTTP answer goes through: headers, cookies, CORS, load shedding, and lenient empty bodies. */
export default fp(
  async (app) => {
    await app.register(helmet, {
      contentSecurityPolicy: {
        directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
        useDefaults: false,
      },
      referrerPolicy: { policy: 'no-referrer' },
      hsts: app.config.secureCookies && { maxAge: 63_072_000, includeSubDomains: true },
    });
    await app.register(cookie);
    const origins = [...app.config.corsOrigins];
    await app.register(cors, {
      origin: origins.length > 0 ? origins : false,
      credentials: true,
      methods: ['GET', 'POST', 'DELETE'],
      allowedHeaders: ['Authorization', 'Content-Type', 'X-Token-Transport'],
      exposedHeaders: ['RateLimit', 'RateLimit-Policy', 'Retry-After', 'X-Request-Id'],
    });
    await app.register(underPressure, {
      maxEventLoopDelay: EVENT_LOOP_DELAY_MAX_MS,
      maxHeapUsedBytes: HEAP_USED_MAX_BYTES,
      retryAfter: 2,
    });

    // An empty body is no body: the schema then says what is missing, and routes without one take it.
    const parse = app.getDefaultJsonParser('error', 'error');
    app.removeContentTypeParser(['application/json', 'text/plain']);
    app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body: string, done) => {
      if (body === '') done(null, undefined);
      else parse(request, body, done);
    });
  },
  { name: 'http', dependencies: ['config'] },
);
