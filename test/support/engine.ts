/** The real engine of one instance on real stores, without the service around it. */
import { createEngine, type Engine, type EngineOptions } from '../../cutover/engine.ts';
import { type Environment, systemEnvironment } from '../../cutover/environment.ts';
import { authorityOf, type Mode, otherStore } from '../../cutover/mode.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import type { Store } from '../../db/port.ts';
import { STORES } from './app.ts';
import { openMongo, openPostgres } from './stores.ts';

/** How long what has expired is kept, ms. */
export const RETENTION_MS = 30 * 86_400_000;

export interface OpenedEngine {
  readonly engine: Engine;
  readonly stores: EngineOptions['stores'];
  readonly authority: Store;
  /** Null in modes that do without. */
  readonly other: Store | null;
  readonly environment: Environment;
}

export interface EngineSettings extends Partial<EngineOptions> {
  /** The clock of records. */
  readonly date?: () => Date;
}

/** Started, on databases of its own unless stores are given; to be stopped by the caller. */
export async function openEngine(mode: Mode, settings: EngineSettings = {}): Promise<OpenedEngine> {
  const { date, ...options } = settings;
  const stores = options.stores ?? {
    mongo: STORES[mode].mongo ? (await openMongo()).store : null,
    postgres: STORES[mode].postgres ? (await openPostgres()).store : null,
  };
  const environment = systemEnvironment(date);
  const engine = createEngine({
    environment,
    telemetry: SILENT,
    firstMode: mode,
    retentionMs: RETENTION_MS,
    storeTimeoutMs: 10_000,
    digestKey: Buffer.from('a key of this test'),
    prepare: (store) => store.migrate(() => {}),
    ...options,
    stores,
  });
  await engine.start();
  const authority = stores[authorityOf(mode)];
  if (authority === null) throw new Error(`${mode} without its authority`);
  return { engine, stores, authority, other: stores[otherStore(authority.name)], environment };
}
