import fp from 'fastify-plugin';
import { createHealth, type Health } from './health/check.ts';
import { registerHealthRoutes } from './health/routes.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly health: Health;
  }
}

export default fp(
  async (app) => {
    const health = createHealth(app);
    app.decorate('health', health);
    registerHealthRoutes(app, health);
  },
  { name: 'health', dependencies: ['config', 'shutdown', 'repositories', 'openapi'] },
);
