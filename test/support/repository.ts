/** The stores behind the service's back, in any mode. */
import { expect, onTestFinished } from 'vitest';
import type { Repository, Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { type Mode, STORES, type TestApp } from './app.ts';
import { asSuperuser } from './databases.ts';
import { openMongoAt, removeFromMongo } from './mongo.ts';
import { TIMEOUT_MS } from './stores.ts';
import { eventually } from './wait.ts';

type Environment = Readonly<Record<string, string>>;

const OPEN = {
  mongo: (env: Environment): Promise<Store> => openMongoAt(env['MONGO_URL'] ?? ''),
  postgres: (env: Environment): Promise<Store> =>
    openPostgresStore({ url: env['DATABASE_URL'] ?? '', poolMax: 1, timeoutMs: TIMEOUT_MS }),
};

/** The repository of the mode's authority. Closed after the test that calls it. */
export async function openRepository(mode: Mode, env: Environment): Promise<Repository> {
  const store = await OPEN[STORES[mode].authority](env);
  onTestFinished(() => store.close());
  return store.at({ epoch: 1, pending: false });
}

/**
 * Removes the user's record from every store the app has, as retention would: long after everything of it was mirrored. A
 * session that arrived in the mirror afterwards would have no user there, and stay marked for ever.
 */
export async function removeUser(app: TestApp, id: string): Promise<void> {
  const { config } = app;
  app.removed.add(id);
  await app.undisturbed(async () => {
    const mirrored = async () => {
      for (const store of app.app.stores)
        expect(await store.replica.countMarks()).toMatchObject({ count: 0 });
    };
    await eventually(mirrored, { timeoutMs: 60_000 });
    if (config.mongoUrl !== null) await removeFromMongo(config.mongoUrl, id);
    if (config.databaseUrl !== null) {
      await asSuperuser(config.databaseUrl, 'delete from sessions where user_id = $1', [id]);
      await asSuperuser(config.databaseUrl, 'delete from users where id = $1', [id]);
    }
  });
}
