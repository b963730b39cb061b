/** The stores behind the service's back, in any mode. */
import { onTestFinished } from 'vitest';
import type { Repository, Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { uses } from '../../plugins/config/modes.ts';
import type { Mode, TestApp } from './app.ts';
import { asSuperuser } from './databases.ts';
import { openMongoAt, removeFromMongo } from './mongo.ts';

const TIMEOUT_MS = 10_000;

/** The repository of the mode's authority. Closed after the test that calls it. */
export async function openRepository(mode: Mode, env: Readonly<Record<string, string>>): Promise<Repository> {
  const store = await openAuthority(mode, env);
  onTestFinished(() => store.close());
  return store.at({ epoch: 1, pending: false });
}

async function openAuthority(mode: Mode, env: Readonly<Record<string, string>>): Promise<Store> {
  if (!mode.startsWith('postgres')) return openMongoAt(env['MONGO_URL'] ?? '');
  const limits = { poolMax: 1, statementTimeoutMs: TIMEOUT_MS, connectTimeoutMs: TIMEOUT_MS };
  return openPostgresStore({ url: env['DATABASE_URL'] ?? '', ...limits });
}

/** Removes the user's record from every store the app has, as retention or a shell would. */
export async function removeUser(app: TestApp, id: string): Promise<void> {
  const { databaseUrl, mongoUrl, backendMode } = app.config;
  app.removed.add(id);
  if (mongoUrl !== null && uses(backendMode, 'mongo')) await removeFromMongo(mongoUrl, id);
  if (databaseUrl !== null && uses(backendMode, 'postgres')) {
    await asSuperuser(databaseUrl, 'delete from sessions where user_id = $1', [id]);
    await asSuperuser(databaseUrl, 'delete from users where id = $1', [id]);
  }
}
