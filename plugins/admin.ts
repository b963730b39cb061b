import { createHash, timingSafeEqual } from 'node:crypto';
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import fp from 'fastify-plugin';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { isLoopback } from './config/endpoints.ts';
import { weakness } from './config/strength.ts';
import { registerHealthRoutes } from './health/routes.ts';
import { registerMetricsRoute } from './metrics.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** The listener for operators; null when it is not configured. */
    readonly admin: FastifyInstance | null;
  }
}

const digest = (text: string) => createHash('sha256').update(text).digest();

/** Compares digests, so that the time tells neither content nor length. */
function createGuard(token: string) {
  const wanted = digest(`Bearer ${token}`);
  return (given: string | undefined) => timingSafeEqual(digest(given ?? ''), wanted);
}

/** A listener of its own for metrics and health, so that neither needs to be reachable by clients. */
async function admin(app: FastifyInstance) {
  const { adminHost: host, adminPort: port, adminToken: token } = app.config;
  if (port === null) {
    app.decorate('admin', null);
    return;
  }
  // The configuration says so too; a Config made by hand must not open what it would refuse.
  if (!isLoopback(host) && weakness(token ?? '') !== null) {
    throw new Error('ADMIN_HOST is not loopback: it needs a strong ADMIN_TOKEN');
  }
  const listener = Fastify({
    loggerInstance: app.log,
    logController: new LogController({ disableRequestLogging: true }),
    exposeHeadRoutes: false,
    requestTimeout: app.config.requestTimeoutMs,
    http: { headersTimeout: app.config.requestTimeoutMs },
  });
  // The cause is for the log.
  listener.setErrorHandler((error, request, reply) => {
    request.log.error({ err: error }, 'request failed');
    return reply.code(500).header('Cache-Control', 'no-store').send();
  });
  listener.addHook('onRequest', async (_request, reply) => {
    reply.header('X-Content-Type-Options', 'nosniff');
  });
  listener.setValidatorCompiler(validatorCompiler);
  listener.setSerializerCompiler(serializerCompiler);
  if (token !== null) {
    const admits = createGuard(token);
    listener.addHook('onRequest', async (request, reply) => {
      if (admits(request.headers.authorization)) return;
      reply.header('WWW-Authenticate', 'Bearer').header('Cache-Control', 'no-store');
      return reply.code(401).send();
    });
  }
  registerHealthRoutes(listener, app.health);
  registerMetricsRoute(listener, app.metrics);
  app.decorate('admin', listener);
  app.addHook('onReady', async () => {
    await listener.listen({ host, port });
  });
  app.addHook('onClose', () => listener.close());
}

export default fp(admin, { name: 'admin', dependencies: ['config', 'health', 'metrics'] });
