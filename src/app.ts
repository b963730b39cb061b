import Fastify, { type FastifyInstance } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import admin from '../plugins/admin.ts';
import background from '../plugins/background.ts';
import clock from '../plugins/clock.ts';
import configPlugin, { type Config } from '../plugins/config.ts';
import devInbox from '../plugins/dev-inbox.ts';
import health from '../plugins/health.ts';
import http from '../plugins/http.ts';
import keys from '../plugins/keys.ts';
import limits from '../plugins/limits.ts';
import logger, { createLogger, logController, requestIdOptions } from '../plugins/logger.ts';
import mailer from '../plugins/mailer.ts';
import metrics from '../plugins/metrics.ts';
import mongo from '../plugins/mongo.ts';
import openapi from '../plugins/openapi.ts';
import { HASH_WAIT_MAX_MS } from '../plugins/passwords/passwords.ts';
import passwords from '../plugins/passwords.ts';
import postgres from '../plugins/postgres.ts';
import repositories, { type Seams } from '../plugins/repositories.ts';
import shutdown from '../plugins/shutdown.ts';
import tokens from '../plugins/tokens.ts';
import auth from './auth/index.ts';
import errorHandler, { answerClientError, sendFrameworkError } from './error-handler.ts';
import wellKnown from './well-known.ts';

export interface AppOptions {
  readonly config: Config;
  /** The clock of all records; the system's unless a test lets hours pass. */
  readonly now?: () => Date;
  /** What only proofs hand in. */
  readonly seams?: Seams;
}

/** The whole service, ready to listen. The order is the map: what comes later builds on what came before. */
export async function buildApp({ config, now, seams }: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: createLogger(config),
    logController,
    ...requestIdOptions,
    trustProxy: config.trustProxy,
    bodyLimit: 64 * 1024,
    // Before it is ready a service brings its stores' schemas up to date, which takes as long as the data is large.
    pluginTimeout: 0,
    // No connection ends under a request that gets an answer: it waits for a thread twice at most, for a new password.
    connectionTimeout: 2 * (HASH_WAIT_MAX_MS + config.storeTimeoutMs) + 30_000,
    keepAliveTimeout: 72_000,
    requestTimeout: config.requestTimeoutMs,
    // Node swaps the two limits when the one for headers is the longer, so both are the same. The interval is how often
    // the server looks for clients that are too slow. A request without Host is refused by the plugin `http`.
    http: {
      headersTimeout: config.requestTimeoutMs,
      connectionsCheckingInterval: 1_000,
      requireHostHeader: false,
    },
    return503OnClosing: false,
    frameworkErrors: sendFrameworkError,
    clientErrorHandler: answerClientError,
    exposeHeadRoutes: false,
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);

  // What everything needs
  await app.register(configPlugin, { config });
  await app.register(clock, now ? { now } : {});
  await app.register(logger);
  await app.register(errorHandler);
  await app.register(http);
  await app.register(shutdown);
  await app.register(openapi);
  await app.register(metrics);

  // The stores, and the port over them
  await app.register(mongo);
  await app.register(postgres);
  await app.register(keys);
  await app.register(repositories, seams ? { seams } : {});
  await app.register(background);

  // What the rules act through
  await app.register(passwords);
  await app.register(tokens);
  await app.register(limits);
  await app.register(mailer);

  // What the world sees
  await app.register(auth);
  await app.register(wellKnown);
  await app.register(health);
  await app.register(admin);
  await app.register(devInbox);
  return app;
}
