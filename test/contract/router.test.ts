/** The router implements the same port: the whole contract, in every mode, and afterwards both stores are alike. */
import { afterAll, describe, expect, inject, it } from 'vitest';
import { MODE_FACTS, MODES, type Mode } from '../../cutover/mode.ts';
import { setIn } from '../cutover/support/control.ts';
import { expectAlike } from '../support/at-rest.ts';
import { openEngine, RETENTION_MS } from '../support/engine.ts';
import { openMongo } from '../support/stores.ts';
import { NOW } from './fixtures.ts';
import { type ReadRaw, repositoryContract } from './harness.ts';
import { mongoDriver } from './mongo-driver.ts';
import { postgresDriver } from './postgres-driver.ts';

const [main] = inject('postgresServers');
if (main === undefined) throw new Error('no PostgreSQL was started for this run');

const DRIVERS = { mongo: mongoDriver('', openMongo), postgres: postgresDriver(main) };

describe.each(MODES)('in %s', (mode) => contractIn(mode));

async function contractIn(mode: Mode): Promise<void> {
  const [mongo, postgres] = await Promise.all([DRIVERS.mongo.open(), DRIVERS.postgres.open()]);
  const { engine, authority, other } = await openEngine(mode, {
    stores: { mongo: mongo.store, postgres: postgres.store },
    date: () => NOW,
  });
  // No heartbeat has to come in between all that is asked here at once.
  await setIn(authority, 'lease-ms', 60_000);
  afterAll(async () => {
    await engine.stop(5_000);
    for (const { close } of [mongo, postgres]) await close();
  });

  repositoryContract({
    name: 'the router',
    async open() {
      const { readRaw: read } = { mongo, postgres }[authority.name];
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
    if (MODE_FACTS[mode].mirror === null) {
      expect(await other.replica.holdsUsers()).toBe(false);
      return;
    }
    await expectAlike(authority, other, NOW.getTime() - RETENTION_MS);
    expect(await authority.books.countNotes()).not.toHaveProperty('poison');
  }, 90_000);
}
