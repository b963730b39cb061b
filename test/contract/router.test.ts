/** The router implements the same port: the whole contract, in every mode, and afterwards both stores are alike. */
import mongoose from 'mongoose';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { MODE_FACTS, MODES, type Mode } from '../../cutover/mode.ts';
import type { Store } from '../../db/port.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import { openEngine } from '../support/engine.ts';
import { openMongo, openPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
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
    await eventually(async () => expect(await authority.replica.countMarks()).toMatchObject({ count: 0 }), {
      timeoutMs: 60_000,
    });
    for (const entity of ENTITIES) {
      expect(await contents(other, entity)).toEqual(await contents(authority, entity));
    }
    expect(await other.replica.countMarks()).toMatchObject({ count: 0 });
    expect(await authority.books.countNotes()).not.toHaveProperty('poison');
  });
});

const RETENTION_MS = 30 * 86_400_000;
const mirrors = (mode: Mode): boolean => MODE_FACTS[mode].mirror !== null;

async function openBoth() {
  const [mongo, postgres] = await Promise.all([openMongo(), openPostgres()]);
  return { mongo, postgres };
}

/** Every record but those past retention, which no mirror takes. */
async function contents(store: Store, entity: Entity): Promise<readonly unknown[]> {
  const { records, next } = await store.replica.scan(entity, { after: null, limit: 100_000 });
  if (next !== null) throw new Error('more records than one page');
  const isKept = (record: (typeof records)[number]) =>
    !('expiresAt' in record) || record.expiresAt.getTime() >= NOW.getTime() - RETENTION_MS;
  return records.filter(isKept).sort((a, b) => (a.id < b.id ? -1 : 1));
}
