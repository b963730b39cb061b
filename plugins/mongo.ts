import fp from 'fastify-plugin';
import { openMongoStore } from '../db/mongo/store.ts';
import type { Store } from '../db/port.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Null when no URL is given. */
    mongo: Store | null;
  }
}

export default fp(
  async (app) => {
    const { mongoUrl, storeTimeoutMs, mongoPoolMax, mongoCodec } = app.config;
    if (mongoUrl === null) {
      app.decorate('mongo', null);
      return;
    }
    const store = await openMongoStore({
      url: mongoUrl,
      timeoutMs: storeTimeoutMs,
      poolMax: mongoPoolMax,
      codec: mongoCodec,
    });
    app.decorate('mongo', store);
    app.addHook('onClose', () => store.close());
  },
  { name: 'mongo', dependencies: ['config'] },
);
