import { hostname } from 'node:os';
import fp from 'fastify-plugin';
import { createEngine, type Engine, StartRefused } from '../cutover/engine.ts';
import { systemEnvironment } from '../cutover/environment.ts';
import { authorityOf } from '../cutover/mode.ts';
import type { Rules } from '../cutover/protocol/rules.ts';
import { isLiveAndBehind } from '../cutover/snapshot/before-migration.ts';
import type { LimitStore, Repository, Store } from '../db/port.ts';
import { ConfigError } from './config.ts';
import { registerPoolGauges } from './metrics/pools.ts';
import { registerGauges } from './repositories/gauges.ts';
import type { Standing } from './repositories/standing.ts';
import { createTelemetry } from './repositories/telemetry.ts';

declare module 'fastify' {
  interface FastifyInstance {
    repository: Repository;
    limitStore: LimitStore;
    /** Those that are configured. */
    stores: readonly Store[];
    standing(): Standing;
    /** Follows the effective mode; everything above sees only the port. */
    cutover: Engine;
  }
}

/** What only proofs hand in: rules taken out, stores that lie. */
export interface Seams {
  readonly rules?: Rules;
  readonly wrapStore?: (store: Store) => Store;
}

/** How long the mirror may go on after the last request when the service stops, ms. */
const MIRROR_GRACE_MS = 3_000;

export default fp<{ readonly seams?: Seams }>(
  async (app, { seams = {} }) => {
    const { config, keyring, log, metrics } = app;
    const { rules, wrapStore = (store: Store) => store } = seams;
    const stores = {
      mongo: app.mongo && wrapStore(app.mongo),
      postgres: app.postgres && wrapStore(app.postgres),
    };
    const engine = createEngine({
      stores,
      environment: systemEnvironment(app.now),
      telemetry: createTelemetry(log, metrics),
      firstMode: config.backendMode,
      retentionMs: config.retentionMs,
      storeTimeoutMs: config.storeTimeoutMs,
      mapping: config.mongoCodec.digest,
      host: hostname(),
      digestKey: Buffer.from(keyring.digest('diff-digest', 'differences')),
      ...(rules && { rules }),
      async prepare(store) {
        // MongoDB's schema is its indexes; its documents stay as they are.
        if (config.production && store.name === 'postgres' && (await isLiveAndBehind(store))) {
          throw new Error('PostgreSQL holds users and its schema is behind; run `npm run migrate` first');
        }
        await store.migrate((line) => log.info({ store: store.name }, line));
        const wrong = await store.sessionProblems();
        if (wrong.length > 0) throw new Error(`not as it is relied on: ${wrong.join('; ')}`);
        const problems = config.production ? await store.durabilityProblems() : [];
        if (problems.length > 0) throw new Error(`not durable: ${problems.join('; ')}`);
      },
    });
    const configured = [stores.mongo, stores.postgres].filter((store) => store !== null);
    registerGauges(metrics, engine);
    registerPoolGauges(metrics, configured);
    app.decorate('stores', configured);
    app.decorate('standing', () => standingOf(engine));
    app.decorate('cutover', engine);
    app.decorate('repository', engine.repository);
    app.decorate('limitStore', engine.limits);
    app.addHook('onReady', async () => {
      try {
        await engine.start();
      } catch (error) {
        if (!(error instanceof StartRefused)) throw error;
        const { message, cause } = error;
        // Of two systems it is a URL that is wrong, and the message names both.
        throw new ConfigError([cause === undefined ? `BACKEND_MODE: ${message}` : message]);
      }
    });
    // Closed after what was registered later: mails and requests in flight end before the lease does.
    app.addHook('onClose', () => engine.stop(MIRROR_GRACE_MS));
  },
  {
    name: 'repositories',
    dependencies: ['config', 'clock', 'mongo', 'postgres', 'keys', 'metrics'],
  },
);

function standingOf(engine: Engine): Standing {
  const { instance, configured, effective, epoch, standing, problem } = engine.status();
  return {
    instance,
    mode: { configured, effective },
    epoch,
    authority: effective === null ? null : authorityOf(effective),
    serves: effective === null ? 'no-mode' : standing === 'no-lease' ? 'no-lease' : 'yes',
    problem,
  };
}
