import fp from 'fastify-plugin';
import type { Store } from '../db/port.ts';
import { openPostgresStore } from '../db/postgres/store.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Null when no URL is given. */
    postgres: Store | null;
  }
}

export default fp(
  async (app) => {
    const { databaseUrl, storeTimeoutMs, postgresPoolMax } = app.config;
    if (databaseUrl === null) {
      app.decorate('postgres', null);
      return;
    }
    const store = await openPostgresStore({
      url: databaseUrl,
      poolMax: postgresPoolMax,
      statementTimeoutMs: storeTimeoutMs,
      connectTimeoutMs: storeTimeoutMs,
    });
    app.decorate('postgres', store);
    app.addHook('onClose', () => store.close());
  },
  { name: 'postgres', dependencies: ['config'] },
);
