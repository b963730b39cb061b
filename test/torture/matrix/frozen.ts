/** Servers that stand still (SIGSTOP of all their processes) as long as somebody wants them to, and nobody needs them to answer. */
import { inject } from 'vitest';
import type { StoreName } from '../../../db/errors.ts';
import type { Store } from '../../../db/port.ts';
import { createDatabase, databaseUrl, dropDatabase, newDatabaseName } from '../../support/databases.ts';
import {
  expectHanging,
  type Frozen,
  fillPool,
  freezeMongo,
  freezePostgres,
  thawProcess,
} from '../../support/faults.ts';
import { withDatabase } from '../../support/mongo.ts';
import type { OwnServers } from './servers.ts';
import type { Troubled } from './troubled.ts';

interface Freezer {
  /** Before each freeze the pools of these are filled, and after it their queries are seen to hang. */
  readonly victims: Set<Store>;
  undisturbed<T>(work: () => Promise<T>): Promise<T>;
}

/** The servers of this worker, shared by all that its files start: they stand for all of them or for none. */
const freezers = new Map<number, Freezer>();

export async function openFrozen(name: StoreName): Promise<Troubled> {
  const own = inject('ownServers')[Number(process.env['VITEST_POOL_ID']) - 1];
  if (own === undefined) throw new Error('this worker has no servers of its own');
  const freezer = freezerOf(name, own);
  const database = newDatabaseName();
  const url = await freezer.undisturbed(async () =>
    name === 'postgres'
      ? createDatabase(own.postgres.url, database, own.postgres.template)
      : databaseUrl(own.mongo.url, database),
  );
  const victims = new Set<Store>();
  return {
    url,
    undisturbed: freezer.undisturbed,
    begin: (open, storeOf) =>
      freezer.undisturbed(async () => {
        const opened = await open();
        victims.add(storeOf(opened));
        for (const victim of victims) freezer.victims.add(victim);
        return opened;
      }),
    end: (close) =>
      freezer.undisturbed(async () => {
        for (const victim of victims) freezer.victims.delete(victim);
        await close();
        if (name === 'postgres') await dropDatabase(own.postgres.url, database);
        else await withDatabase(url, (db) => db.dropDatabase());
      }),
  };
}

function freezerOf(name: StoreName, own: OwnServers): Freezer {
  const { pid } = own[name];
  const known = freezers.get(pid);
  if (known !== undefined) return known;
  const freeze = () => (name === 'postgres' ? freezePostgres(own.postgres) : freezeMongo(own.mongo));
  const made = createFreezer(freeze, () => thawProcess({ pid }));
  freezers.set(pid, made);
  return made;
}

function createFreezer(freeze: () => Promise<Frozen>, thaw: () => void): Freezer {
  const victims = new Set<Store>();
  let users = 0;
  let stands = false;
  let last: Promise<void> = Promise.resolve();

  /** One after the other: half-frozen is neither. */
  function next(step: () => Promise<void>): Promise<void> {
    last = last.catch(() => {}).then(step);
    return last;
  }

  async function freezeUnlessUsed(): Promise<void> {
    if (users > 0 || stands || victims.size === 0) return;
    for (const victim of victims) await fillPool(victim);
    await freeze();
    stands = true;
    try {
      for (const victim of victims) await expectHanging(victim.name, () => victim.replica.countMarks());
    } catch (error) {
      await goOn();
      throw error;
    }
  }

  /** Also what a run before this one left standing. */
  async function goOn(): Promise<void> {
    thaw();
    stands = false;
  }

  return {
    victims,
    async undisturbed(work) {
      users += 1;
      try {
        await next(goOn);
        return await work();
      } finally {
        users -= 1;
        await next(freezeUnlessUsed);
      }
    },
  };
}
