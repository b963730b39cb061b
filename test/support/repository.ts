/** The store behind the service's back, in any mode: the repository of the mode's authority. */
import { onTestFinished } from 'vitest';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Repository } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import type { Mode } from './app.ts';

const TIMEOUT_MS = 10_000;

/** Closed after the test that calls it. */
export async function openRepository(mode: Mode, env: Readonly<Record<string, string>>): Promise<Repository> {
  const isPostgres = mode === 'postgres-primary' || mode === 'postgres-only';
  const url = env[isPostgres ? 'DATABASE_URL' : 'MONGO_URL'] ?? '';
  const store = isPostgres
    ? await openPostgresStore({
        url,
        poolMax: 1,
        statementTimeoutMs: TIMEOUT_MS,
        connectTimeoutMs: TIMEOUT_MS,
      })
    : await openMongoStore({ url, timeoutMs: TIMEOUT_MS });
  onTestFinished(() => store.close());
  return store.at({ epoch: 1, pending: false });
}
