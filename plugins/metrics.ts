import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { StoreUnavailable } from '../db/errors.ts';
import { createMetrics, type Metrics } from './metrics/metrics.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly metrics: Metrics;
  }
}

/** GET /metrics in the Prometheus text format, on the listener of `app`. */
export function registerMetricsRoute(app: FastifyInstance, metrics: Metrics): void {
  app.withTypeProvider<ZodTypeProvider>().route({
    method: 'GET',
    url: '/metrics',
    schema: {
      tags: ['operations'],
      summary: 'Metrics in the Prometheus text format',
      response: {
        200: { description: 'Metrics', content: { 'text/plain': { schema: z.string() } } },
      },
    },
    handler: async (_request, reply) => {
      reply.header('Cache-Control', 'no-store').type(metrics.registry.contentType);
      return metrics.registry.metrics();
    },
  });
}

export default fp(
  async (app) => {
    const metrics = createMetrics();
    app.decorate('metrics', metrics);
    app.addHook('onResponse', async (request, reply) => {
      const route = request.is404 ? null : (request.routeOptions.url ?? null);
      metrics.request({
        method: request.method,
        route,
        status: reply.statusCode,
        durationMs: reply.elapsedTime,
      });
    });
    app.addHook('onError', async (_request, _reply, error) => {
      if (error instanceof StoreUnavailable) metrics.storeError(error);
    });
    // Passwords are registered later, and metrics are collected later still.
    metrics.gauge('password_hash_jobs', 'Password hashes that run or wait', () =>
      app.hasDecorator('passwords') ? app.passwords.pending() : 0,
    );
    if (app.config.adminPort === null) registerMetricsRoute(app, metrics);
    app.addHook('onClose', async () => metrics.registry.clear());
  },
  { name: 'metrics', dependencies: ['config', 'openapi'] },
);
