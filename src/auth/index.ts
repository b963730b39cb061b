import fp from 'fastify-plugin';
import { RATE_WINDOW_MAX_MS } from '../../plugins/config/values.ts';
import { noteRefusal } from './refusals.ts';
import accountRoutes from './routes/account.ts';
import entryRoutes from './routes/entry.ts';
import passwordRoutes from './routes/password.ts';
import type { RouteDeps } from './routes/support.ts';
import type { AuthContext } from './service/context.ts';
import { createOutbox } from './service/outbox.ts';
import { purgeExpired } from './service/retention.ts';
import { createUnanswered } from './service/unanswered.ts';
import { createTransport } from './transport.ts';

/** The largest body of an auth route, bytes. */
const BODY_BYTES_MAX = 16 * 1024;
const MAIL_SWEEP_MS = 5_000;
const RETENTION_SWEEP_MS = 60 * 60_000;
const PURGE_BATCH = 1_000;
/** Limits older than this have drained: no window is longer. */
const LIMITS_KEPT_MS = RATE_WINDOW_MAX_MS;

/** Everything under /auth: builds what the rules act through, registers the routes, starts the sweepers. */
export default fp(
  async (app) => {
    const { config, background, repository, now, log, keyring, mailer } = app;
    const { passwords, checkPassword, accessTokens, legacyTokens, limits } = app;
    const outbox = createOutbox({ repository, keyring, mailer, background, log, now });
    const context: AuthContext = {
      config,
      repository,
      passwords,
      checkPassword,
      keyring,
      accessTokens,
      legacyTokens,
      limits,
      mailer,
      outbox,
      unanswered: createUnanswered(now),
      background,
      now,
    };
    const transport = createTransport({
      secure: config.secureCookies,
      sameSiteAccess: config.cookieSameSiteAccess,
      sameSiteRefresh: config.cookieSameSiteRefresh,
      legacy: config.legacyJwt && { cookie: config.legacyJwt.cookie, header: config.legacyJwt.header },
    });
    const allowed = [config.publicUrl, config.appUrl, ...config.corsOrigins];
    const deps: RouteDeps = {
      context,
      transport,
      origins: {
        allowed: new Set(allowed.map((url) => new URL(url).origin)),
        secure: config.secureCookies,
      },
    };

    await app.register(async (scope) => {
      scope.addHook('onRoute', (route) => {
        route.bodyLimit = BODY_BYTES_MAX;
      });
      scope.decorateRequest('userId', null);
      scope.addHook('onError', async (request, reply, error) => noteRefusal(app, request, reply, error));
      scope.addHook('onSend', async (_request, reply) => {
        reply.header('Cache-Control', 'no-store');
      });
      await scope.register(entryRoutes, deps);
      await scope.register(passwordRoutes, deps);
      await scope.register(accountRoutes, deps);
    });

    app.metrics.gauge(
      'mails_without_key',
      'Mails that are due and were promised under a secret that this instance does not have',
      outbox.withoutKey,
    );
    background.repeat('mail sweep', MAIL_SWEEP_MS, () => outbox.sweep());
    background.repeat('retention', RETENTION_SWEEP_MS, (closing) => {
      const expiredBefore = new Date(now().getTime() - config.retentionMs);
      return purgeExpired(repository, { expiredBefore, batch: PURGE_BATCH }, closing);
    });
    background.repeat('retention of limits', RETENTION_SWEEP_MS, () =>
      app.limitStore.purge(new Date(now().getTime() - LIMITS_KEPT_MS)),
    );
  },
  {
    name: 'auth',
    dependencies: [
      'config',
      'background',
      'repositories',
      'keys',
      'passwords',
      'tokens',
      'limits',
      'metrics',
      'mailer',
      'clock',
      'error-handler',
      'http',
    ],
  },
);
