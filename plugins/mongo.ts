import fp from 'fastify-plugin';
import { openMongoStore } from '../db/mongo/store.ts';
import type { Store } from '../db/port.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Null when the mode does without MongoDB. */
    mongo: Store | null;
  }
}

export default fp(
  async (app) => {
    const { mongoUrl, backendMode, storeTimeoutMs, mongoPoolMax } = app.config;
    if (mongoUrl === null || backendMode === 'postgres-only') {
      app.decorate('mongo', null);
      return;
    }
    const store = await openMongoStore({ url: mongoUrl, timeoutMs: storeTimeoutMs, poolMax: mongoPoolMax });
    app.decorate('mongo', store);
    app.addHook('onClose', () => store.close());
  },
  { name: 'mongo', dependencies: ['config'] },
);
