/** The whole contract of the port, in every mode, while the store that is not the authority is in trouble. */
import mongoose from 'mongoose';
import pg from 'pg';
import { afterAll, describe } from 'vitest';
import { authorityOf, MODES } from '../../../cutover/mode.ts';
import { openMongoStore } from '../../../db/mongo/store.ts';
import { openPostgresStore } from '../../../db/postgres/store.ts';
import { NOW } from '../../contract/fixtures.ts';
import { repositoryContract } from '../../contract/harness.ts';
import { readDocumentWith } from '../../contract/mongo-driver.ts';
import { readRowWith } from '../../contract/postgres-driver.ts';
import { openEngine } from '../../support/engine.ts';
import { createLagProxy } from '../../support/lag-proxy.ts';
import { newMongoDatabase, newPostgresDatabase } from '../../support/stores.ts';
import { cause, troubleOf } from './trouble.ts';

const TIMEOUT_MS = 10_000;

describe.each(MODES)(`in %s, the other store ${troubleOf(process.env)}`, async (mode) => {
  const urls = { mongo: newMongoDatabase(), postgres: await newPostgresDatabase() };
  const troubled = authorityOf(mode) === 'mongo' ? 'postgres' : 'mongo';
  const proxy = await createLagProxy({ targetPort: Number(new URL(urls[troubled]).port) });
  const through = { ...urls, [troubled]: proxy.through(urls[troubled]) };
  const limits = { timeoutMs: TIMEOUT_MS, poolMax: 10 };
  const stores = {
    mongo: await openMongoStore({ url: through.mongo, ...limits }),
    postgres: await openPostgresStore({ url: through.postgres, ...limits }),
  };
  const { engine, authority } = await openEngine(mode, { stores, date: () => NOW });
  const pool = new pg.Pool({ connectionString: urls.postgres, max: 2 });
  const client = new mongoose.mongo.MongoClient(urls.mongo);
  cause(troubleOf(process.env), proxy);
  afterAll(async () => {
    proxy.heal();
    await engine.stop(5_000);
    await Promise.all([stores.mongo.close(), stores.postgres.close(), pool.end(), client.close()]);
    await proxy.close();
  });

  repositoryContract({
    name: 'the router',
    async open() {
      const readRaw = authority.name === 'mongo' ? readDocumentWith(client) : readRowWith(pool);
      return { repository: engine.repository, readRaw, close: async () => {} };
    },
  });
});
