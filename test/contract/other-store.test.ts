/**
 * A store that is not the authority can be down, frozen or slow without anyone noticing: one case for each operation of
 * the port, in every mode. The other store's own time-outs are longer than any test may last, so that an operation
 * that waited for it in any way would fail here.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorityOf, MODE_FACTS, MODES, type Mode, otherStore } from '../../cutover/mode.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Repository, Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { ENTITIES } from '../../db/records.ts';
import { setIn } from '../cutover/support/control.ts';
import { createDatabase, databaseUrl, newDatabaseName } from '../support/databases.ts';
import { openEngine } from '../support/engine.ts';
import { type Frozen, freezeMongo, freezePostgres, freezeUnder } from '../support/faults.ts';
import { createLagProxy, type LagProxy } from '../support/lag-proxy.ts';
import { openMongo, openPostgres, ownMongo, ownPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { EACH } from './cases/each.ts';
import { NOW } from './fixtures.ts';

/** Longer than any test may take. */
const PATIENCE_MS = 120_000;
const SLOW_MS = 400;

const postgres = await ownPostgres();
const mongo = await ownMongo();

interface Other {
  readonly store: Store;
  readonly proxy: LagProxy;
  freeze(): Promise<Frozen>;
}

describe.each(MODES)('in %s, with the other store', async (mode) => {
  const other = await openOther(mode);
  const own = (await (authorityOf(mode) === 'mongo' ? openMongo() : openPostgres())).store;
  const stores = {
    mongo: own.name === 'mongo' ? own : other.store,
    postgres: own.name === 'postgres' ? own : other.store,
  };
  const { engine, authority } = await openEngine(mode, { stores, date: () => NOW });
  // A machine that stands still for longer than a lease is no trouble of the other store's.
  await setIn(authority, 'lease-ms', 60_000);
  afterAll(() => engine.stop(5_000));
  const operations = Object.entries(EACH) as [keyof Repository, (typeof EACH)[keyof Repository]][];

  /** Otherwise the mirror would keep away from the store: being down comes last, since only that opens the breaker. */
  const expectTried = () => expect(engine.status().mirror.breaker).toBe('closed');

  describe('slow', () => {
    beforeAll(() => {
      expectTried();
      other.proxy.delay(SLOW_MS);
    });
    afterAll(() => other.proxy.heal());
    it.each(operations)('%s', async (_, run) => run(engine.repository));
  });

  describe('frozen', () => {
    let frozen: Frozen | undefined;
    beforeAll(async () => {
      expectTried();
      frozen = await freezeUnder(other.store, other.freeze);
    });
    afterAll(() => frozen?.thaw());
    it.each(operations)('%s', async (_, run) => run(engine.repository));
  });

  describe('down', () => {
    beforeAll(() => {
      expectTried();
      other.proxy.cut();
    });
    afterAll(() => other.proxy.heal());
    it.each(operations)('%s', async (_, run) => run(engine.repository));
  });

  if (MODE_FACTS[mode].mirror === null) return;
  it('back again: it catches up', async () => {
    await eventually(async () => expect((await authority.replica.countMarks()).count).toBe(0), {
      timeoutMs: 60_000,
    });
    for (const entity of ENTITIES) {
      const [here, there] = await Promise.all(
        [authority, other.store].map((store) => store.replica.scan(entity, { after: null, limit: 10_000 })),
      );
      expect(there?.records.length).toBe(here?.records.length);
    }
  }, 90_000);
});

async function openOther(mode: Mode): Promise<Other> {
  const name = newDatabaseName();
  if (otherStore(authorityOf(mode)) === 'postgres') {
    const proxy = await createLagProxy({ targetPort: Number(new URL(postgres.url).port) });
    const url = proxy.through(await createDatabase(postgres.url, name));
    const store = await openPostgresStore({ url, timeoutMs: PATIENCE_MS, poolMax: 5 });
    closeAfter(store, proxy);
    return { store, proxy, freeze: () => freezePostgres(postgres) };
  }
  const proxy = await createLagProxy({ targetPort: Number(new URL(mongo.url).port) });
  const url = proxy.through(databaseUrl(mongo.url, name));
  const store = await openMongoStore({ url, timeoutMs: PATIENCE_MS, poolMax: 5 });
  closeAfter(store, proxy);
  return { store, proxy, freeze: () => freezeMongo(mongo) };
}

function closeAfter(store: Store, proxy: LagProxy): void {
  afterAll(async () => {
    proxy.heal();
    await store.close();
    await proxy.close();
  });
}
