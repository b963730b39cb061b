import fp from 'fastify-plugin';
import { createLimits, type Limits } from './limits/limits.ts';

export type { LimitAttempt, Limits, PastLimit } from './limits/limits.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly limits: Limits;
  }
}

export default fp(
  async (app) => {
    const limits = createLimits({
      store: app.limitStore,
      settings: app.config.limits,
      // Longer than any session, which spares its user the logins that would renew it.
      knownForMs: app.config.sessionAbsoluteMs + app.config.sessionIdleMs,
      digest: (text) => app.keyring.digest('limit-key', text),
      now: app.now,
      onRefused: (limit) => app.metrics.limitRefused(limit),
      onFailure(error) {
        app.metrics.limiterFailed();
        app.log.warn({ err: error }, 'limits cannot be kept');
      },
    });
    app.decorate('limits', limits);
  },
  { name: 'limits', dependencies: ['config', 'clock', 'keys', 'repositories', 'metrics'] },
);
