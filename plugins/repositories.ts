import fp from 'fastify-plugin';
import { StoreUnavailable } from '../db/errors.ts';
import type { LimitStore, Repository, Store } from '../db/port.ts';

declare module 'fastify' {
  interface FastifyInstance {
    repository: Repository;
    limitStore: LimitStore;
    /** The store that decides, in the effective mode. */
    authority: Store;
  }
}

/** How long to wait before a store that was down at startup is asked again to migrate, ms. */
const MIGRATE_RETRY_MS = 2_000;

export default fp(
  async (app) => {
    const { backendMode } = app.config;
    const authority =
      backendMode === 'postgres-only' ? app.postgres : backendMode === 'mongo-only' ? app.mongo : null;
    if (authority === null) {
      throw new Error(`BACKEND_MODE=${backendMode} is not available yet: use mongo-only or postgres-only`);
    }
    app.decorate('authority', authority);
    app.decorate('repository', authority.at({ epoch: 1, pending: false }));
    app.decorate('limitStore', authority.limits);

    // A store that is down must not keep the service from starting: it answers 503 until the store is back.
    const migrate = async (): Promise<void> => {
      try {
        await authority.migrate((line) => app.log.info({ store: authority.name }, line));
        const problems = app.config.production ? await authority.durabilityProblems() : [];
        if (problems.length > 0) throw new Error(`not durable: ${problems.join('; ')}`);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        app.log.warn({ err: error }, 'store unavailable at startup, will migrate when it is back');
        setTimeout(() => app.background.run('migrate', migrate), MIGRATE_RETRY_MS).unref();
      }
    };
    app.addHook('onReady', migrate);
  },
  { name: 'repositories', dependencies: ['config', 'mongo', 'postgres', 'background'] },
);
