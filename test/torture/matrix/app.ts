/** Stands in for `support/app.ts`: the same service, whose other store is in trouble as soon as the service runs. */
import { afterAll } from 'vitest';
import * as usual from '../../support/app.ts';
import { createLagProxy } from '../../support/lag-proxy.ts';
import { newMongoDatabase, newPostgresDatabase } from '../../support/stores.ts';
import { cause, troubleOf } from './trouble.ts';

export * from '../../support/app.ts';

export async function startApp(mode: usual.Mode, settings: usual.AppSettings = {}): Promise<usual.TestApp> {
  const given = settings.env ?? {};
  // Another instance shares its neighbour's trouble; a test that brings stores of its own has trouble of its own.
  if (settings.beside !== undefined || 'MONGO_URL' in given || 'DATABASE_URL' in given) {
    return usual.startApp(mode, settings);
  }
  const stores = { MONGO_URL: newMongoDatabase(), DATABASE_URL: await newPostgresDatabase() };
  const other = usual.STORES[mode].authority === 'mongo' ? 'DATABASE_URL' : 'MONGO_URL';
  const proxy = await createLagProxy({ targetPort: Number(new URL(stores[other]).port) });
  const { onEnd = afterAll } = settings;
  const started = await usual.startApp(mode, {
    ...settings,
    env: { ...stores, [other]: proxy.through(stores[other]), ...given },
    onEnd: (close) =>
      onEnd(async () => {
        proxy.heal();
        await close();
        await proxy.close();
      }),
  });
  cause(troubleOf(process.env), proxy);
  return started;
}
