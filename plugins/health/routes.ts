import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type Health, readiness } from './check.ts';

const live = z.object({ status: z.literal('live') });

/** What is asked of a load balancer that goes by it, seconds. */
const RETRY_AFTER_S = 2;

/** GET /livez and /readyz on the listener of `app`. Never cached. */
export function registerHealthRoutes(app: FastifyInstance, health: Health): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  const tags = ['operations'];
  routes.route({
    method: 'GET',
    url: '/livez',
    exposeHeadRoute: true,
    schema: { tags, summary: 'Whether the process is alive; asks nothing else', response: { 200: live } },
    handler: async (_request, reply) => {
      reply.header('Cache-Control', 'no-store');
      return { status: 'live' as const };
    },
  });
  routes.route({
    method: 'GET',
    url: '/readyz',
    exposeHeadRoute: true,
    schema: {
      tags,
      summary:
        'Whether requests should be sent here: the deciding store answers, and the service is not stopping',
      response: {
        200: readiness.describe('Ready'),
        503: readiness.describe(
          'Not ready: the store does not answer, the mode is not known, or the service is stopping',
        ),
      },
    },
    handler: async (_request, reply) => {
      const state = await health.check();
      reply.header('Cache-Control', 'no-store');
      if (state.status === 'ready') return state;
      return reply.code(503).header('Retry-After', String(RETRY_AFTER_S)).send(state);
    },
  });
}
