import cookie from '@fastify/cookie';
import cors from '@fastify/cors';
import helmet, { type FastifyHelmetOptions } from '@fastify/helmet';
import underPressure from '@fastify/under-pressure';
import Fastify from 'fastify';
import fp from 'fastify-plugin';

/** Past this the event loop is too far behind to answer in time, ms. */
const EVENT_LOOP_DELAY_MAX_MS = 2_000;

/** Of HTTP itself, not helmet's. */
const ORDINARY_HEADERS = new Set(['content-length', 'content-type', 'date', 'connection', 'keep-alive']);

/** What helmet answers, taken once: it works out the same headers anew for each request, a twentieth of its time. */
async function protectiveHeaders(options: FastifyHelmetOptions): Promise<Readonly<Record<string, string>>> {
  const sample = Fastify();
  await sample.register(helmet, options);
  sample.get('/', async () => '');
  const { headers } = await sample.inject('/');
  await sample.close();
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([name]) => !ORDINARY_HEADERS.has(name))
      .map(([name, value]) => [name, String(value)]),
  );
}

const PROBES = new Set(['/livez', '/readyz', '/metrics']);

/** What the error handler knows load shedding by. */
class Overloaded extends Error {
  readonly code = 'FST_UNDER_PRESSURE';
  readonly statusCode = 503;
}

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
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(protective);
      done();
    });
    await app.register(cookie);
    const origins = [...app.config.corsOrigins];
    await app.register(cors, {
      origin: origins.length > 0 ? origins : false,
      credentials: true,
      // A preflight that is none gets no headers either, and need not be answered in a form of its own.
      strictPreflight: false,
      methods: ['GET', 'POST', 'DELETE'],
      allowedHeaders: ['Authorization', 'Content-Type', 'X-Token-Transport'],
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
