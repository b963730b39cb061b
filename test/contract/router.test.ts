/** The router implements the same port: the whole contract, in every mode, and afterwards both stores are alike. */
import mongoose from 'mongoose';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { MODE_FACTS, MODES, type Mode } from '../../cutover/mode.ts';
import { expectAlike } from '../support/at-rest.ts';
import { openEngine, RETENTION_MS } from '../support/engine.ts';
import { openMongo, openPostgres } from '../support/stores.ts';
import { NOW } from './fixtures.ts';
import { type ReadRaw, repositoryContract } from './harness.ts';
import { readDocumentWith } from './mongo-driver.ts';
import { readRowWith } from './postgres-driver.ts';

describe.each(MODES)('in %s', async (mode) => {
  const { mongo, postgres } = await openBoth();
  const { engine, authority, other } = await openEngine(mode, {
    stores: { mongo: mongo.store, postgres: postgres.store },
    date: () => NOW,
  });
  const pool = new pg.Pool({ connectionString: postgres.url, max: 2 });
  const client = new mongoose.mongo.MongoClient(mongo.url);
  afterAll(async () => {
    await engine.stop(5_000);
    await pool.end();
    await client.close();
  });

  repositoryContract({
    name: 'the router',
    async open() {
      const read = authority.name === 'mongo' ? readDocumentWith(client) : readRowWith(pool);
      // The mark goes when the mirror has been here, whatever the case does meanwhile.
      const readRaw: ReadRaw = async (entity, id) => {
        const raw = await read(entity, id);
        if (raw === null) return null;
        const { pendingAt: _, ...rest } = raw;
        return rest;
      };
      return { repository: engine.repository, readRaw, close: async () => {} };
    },
  });

  it('leaves both stores alike, or the other one empty', async () => {
    if (other === null) throw new Error('both stores were opened');
    if (!mirrors(mode)) {
      expect(await other.replica.holdsUsers()).toBe(false);
      return;
    }
    await expectAlike(authority, other, NOW.getTime() - RETENTION_MS);
    expect(await authority.books.countNotes()).not.toHaveProperty('poison');
  });
});

const mirrors = (mode: Mode): boolean => MODE_FACTS[mode].mirror !== null;

async function openBoth() {
  const [mongo, postgres] = await Promise.all([openMongo(), openPostgres()]);
  return { mongo, postgres };
}
