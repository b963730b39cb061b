/** The whole contract of the port, in every mode, while the store that is not the authority is in trouble. */
import mongoose from 'mongoose';
import pg from 'pg';
import { afterAll, describe, it } from 'vitest';
import { authorityOf, MODE_FACTS, MODES, otherStore } from '../../../cutover/mode.ts';
import type { StoreName } from '../../../db/errors.ts';
import { openMongoStore } from '../../../db/mongo/store.ts';
import type { Store } from '../../../db/port.ts';
import { openPostgresStore } from '../../../db/postgres/store.ts';
import { NOW } from '../../contract/fixtures.ts';
import { type ReadRaw, repositoryContract } from '../../contract/harness.ts';
import { readDocumentWith } from '../../contract/mongo-driver.ts';
import { readRowWith } from '../../contract/postgres-driver.ts';
import { expectAlike } from '../../support/at-rest.ts';
import { type OpenedEngine, openEngine, RETENTION_MS } from '../../support/engine.ts';
import { newMongoDatabase, newPostgresDatabase } from '../../support/stores.ts';
import { troubleOf } from './trouble.ts';
import { openTroubled } from './troubled.ts';

const TIMEOUT_MS = 10_000;
const LIMITS = { timeoutMs: TIMEOUT_MS, poolMax: 10 };

describe.each(MODES)(`in %s, the other store ${troubleOf(process.env)}`, async (mode) => {
  const name = authorityOf(mode);
  const own = name === 'mongo' ? newMongoDatabase() : await newPostgresDatabase();
  const troubled = await openTroubled(otherStore(name));
  const { stores, engine } = await troubled.begin(
    async () => {
      const stores = {
        mongo: await openMongoStore({ url: name === 'mongo' ? own : troubled.url, ...LIMITS }),
        postgres: await openPostgresStore({ url: name === 'postgres' ? own : troubled.url, ...LIMITS }),
      };
      return openEngine(mode, { stores, date: () => NOW });
    },
    ({ stores }) => storeOf(stores, otherStore(name)),
  );
  const { readRaw, close } = openRaw(name, own);
  afterAll(() =>
    troubled.end(async () => {
      await engine.stop(5_000);
      await Promise.all([stores.mongo?.close(), stores.postgres?.close(), close()]);
    }),
  );

  repositoryContract({
    name: 'the router',
    open: async () => ({ repository: engine.repository, readRaw, close: async () => {} }),
  });

  if (MODE_FACTS[mode].mirror === null) return;
  it('back again, the other store comes to hold the same', () =>
    troubled.undisturbed(() =>
      expectAlike(storeOf(stores, name), storeOf(stores, otherStore(name)), NOW.getTime() - RETENTION_MS),
    ));
});

function storeOf(stores: OpenedEngine['stores'], name: StoreName): Store {
  const store = stores[name];
  if (store === null) throw new Error('both stores were opened');
  return store;
}

function openRaw(name: StoreName, url: string): { readonly readRaw: ReadRaw; close(): Promise<void> } {
  if (name === 'mongo') {
    const client = new mongoose.mongo.MongoClient(url);
    return { readRaw: readDocumentWith(client), close: () => client.close() };
  }
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  return { readRaw: readRowWith(pool), close: () => pool.end() };
}
