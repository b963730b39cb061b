/** The operator on real servers: what it asks of a store that memory cannot show. */
import { describe, expect, inject, it } from 'vitest';
import { fromControl } from '../../cutover/control.ts';
import { createEngine } from '../../cutover/engine.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import { sendCanary } from '../../cutover/operator/canary.ts';
import { log, type MoveRequest, move, readStatus, setSetting } from '../../cutover/operator/index.ts';
import { lastCheck, newSuspects, noteMarked } from '../../cutover/operator/last-check.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { encodeId } from '../../db/ids.ts';
import type { Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { newSession, newUser, signUp } from '../contract/fixtures.ts';
import { asSuperuser, createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { openMongoAt } from '../support/mongo.ts';
import { newMongoDatabase, openMongo, openPostgres, TIMEOUT_MS } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';

const { store: mongo } = await openMongo();
const { store: postgres } = await openPostgres();
const environment = systemEnvironment();
const PAIRS: readonly [string, Store, Store][] = [
  ['mongo → postgres', mongo, postgres],
  ['postgres → mongo', postgres, mongo],
];

describe('whether a store is migrated', () => {
  it('is known without writing: MongoDB', async () => {
    const store = await openMongoAt(newMongoDatabase());
    try {
      expect(await store.isMigrated()).toBe(false);
      await store.migrate(() => {});
      expect(await store.isMigrated()).toBe(true);
    } finally {
      await store.close();
    }
  });

  it('is known without writing: PostgreSQL', async () => {
    const [server] = inject('postgresServers');
    if (server === undefined) throw new Error('no PostgreSQL was started for this run');
    const name = newDatabaseName();
    const url = await createDatabase(server.url, name);
    const store = await openPostgresStore({ url, timeoutMs: TIMEOUT_MS });
    try {
      expect(await store.isMigrated()).toBe(false);
      // Where there is no table nothing is kept.
      expect(await store.replica.forgetKept(['f'.repeat(24)])).toBe(0);
      expect(await store.books.deleteNote('conflict', 'user/x')).toBe(false);
      await store.migrate(() => {});
      expect(await store.isMigrated()).toBe(true);
      await asSuperuser(url, 'drop table copy_undo');
      await expect(store.replica.forgetKept(['f'.repeat(24)])).rejects.toThrow('42P01');
    } finally {
      await store.close();
      await dropDatabase(server.url, name);
    }
  });
});

describe.each(PAIRS)('%s', (_, authority, mirror) => {
  it('lets the canary go and come back, and keeps nothing of it', async () => {
    const counts = async () =>
      Promise.all(
        [authority, mirror].map(async ({ replica }) => {
          const { records } = await replica.scan('verificationToken', { after: null, limit: 1_000 });
          return [records.length, (await replica.countMarks()).count];
        }),
      );
    const before = await counts();
    expect(await sendCanary(environment, { authority, mirror }, 3)).toBeNull();
    expect(await counts()).toEqual(before);
  });

  it('says where the canary was lost', async () => {
    const replica: Store['replica'] = {
      ...mirror.replica,
      apply: async () => [{ kind: 'refused', reason: 'no' }],
    };
    const deaf: Store = { ...mirror, replica };
    expect(await sendCanary(environment, { authority, mirror: deaf }, 3)).toBe(
      `${mirror.name} did not take it: refused`,
    );
  });

  it('is not deceived by an operator who cleans up after another canary at the same time', async () => {
    // As `purge` does at the end of each canary, here just after this one was written.
    const left = { expiredBefore: new Date(86_400_001), limit: 100 };
    const taken = { authority: 0, mirror: 0 };
    const robbed = (store: Store, side: keyof typeof taken): Store => ({
      ...store,
      replica: {
        ...store.replica,
        async read(entity, ids) {
          taken[side] += 1;
          if (taken[side] === 1) await store.replica.purge(left);
          return store.replica.read(entity, ids);
        },
      },
    });
    const stores = { authority: robbed(authority, 'authority'), mirror: robbed(mirror, 'mirror') };
    expect(await sendCanary(environment, stores, 3)).toBeNull();
    expect(taken).toEqual({ authority: 4, mirror: 2 });
  });

  it('finds a store that keeps no canary', async () => {
    const replica: Store['replica'] = {
      ...mirror.replica,
      read: async () => ({ found: new Map(), unreadable: [] }),
    };
    const forgetful: Store = { ...mirror, replica };
    expect(await sendCanary(environment, { authority, mirror: forgetful }, 3)).toBe(
      `${mirror.name} does not hold what was written there`,
    );
  });

  it('finds at the last check what is not the same', async () => {
    const repository = authority.at({ epoch: 3, pending: true });
    const date = environment.date();
    const user = newUser();
    await signUp(repository, { ...user, createdAt: date, updatedAt: date });
    const suspects = newSuspects();
    await noteMarked(authority, suspects);
    const stores = { loser: authority, winner: mirror };
    expect(await lastCheck(stores, suspects, date)).toContain(`user/${user.id}`);

    const under = { epoch: 3, expiredBefore: new Date(0) };
    for (const entity of ['user', 'verificationToken', 'session'] as const) {
      const { found } = await authority.replica.read(entity, [...suspects[entity]]);
      const records = [...found.values()].map(({ record }) => record);
      for (const record of records) await mirror.replica.apply(entity, [record] as never, under);
    }
    expect(await lastCheck(stores, suspects, date)).toEqual([]);
    await mirror.at({ epoch: 3, pending: false }).endSessions({ userId: user.id, now: date });
    expect(await lastCheck(stores, suspects, date)).toEqual([`user/${user.id}`]);
    await authority.replica.clearMarks(await authority.replica.marks({ limit: 100 }));
  });
});

describe.each([
  ['MongoDB', mongo],
  ['PostgreSQL', postgres],
])('what was moved aside in %s', (_, store) => {
  it('is erased with its user, and only that', async () => {
    const repository = store.at({ epoch: 1, pending: false });
    const [gone, kept] = [await signUp(repository), await signUp(repository)];
    const session = newSession(gone.user.id);
    await repository.openSession({ session, replacesId: null, sessionsMax: 9, now: session.createdAt });
    const move = { expected: { epoch: 1, version: 1 }, reason: 'orphan', now: environment.date() };
    for (const { user, token } of [gone, kept]) {
      await store.replica.moveAside('verificationToken', token.id, move);
      await store.replica.moveAside('user', user.id, move);
    }
    expect(await store.replica.forgetKept([gone.user.id])).toBe(4);
    const ids = (await store.replica.asides({ limit: 100 })).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining([kept.user.id, kept.token.id, kept.session.id]));
    for (const id of [gone.user.id, gone.token.id, gone.session.id, session.id])
      expect(ids).not.toContain(id);
    expect(await store.replica.forgetKept([gone.user.id])).toBe(0);
  });

  it('stays where an id names no document, or names the one whose `_id` is null', async () => {
    const repository = store.at({ epoch: 1, pending: false });
    const move = { expected: { epoch: 1, version: 1 }, reason: 'orphan', now: environment.date() };
    const { user } = await signUp(repository);
    await store.replica.moveAside('user', user.id, move);
    for (const id of ['~?ann.digest', '~x', '~b!!', encodeId(null)])
      expect(await store.replica.forgetKept([id, 'f'.repeat(24)]), id).toBe(0);
    expect((await store.replica.asides({ limit: 100 })).map(({ id }) => id)).toContain(user.id);
  });
});

it('walks the ladder up and down on real servers, with two instances', async () => {
  const [{ store: a }, { store: b }] = [await openMongo(), await openPostgres()];
  const stores = { mongo: a, postgres: b };
  const context = { stores, environment, telemetry: SILENT, report: () => {} };
  const settings = {
    'poll-ms': 50,
    'heartbeat-ms': 50,
    'gate-primary-comparisons': 0,
    'gate-only-soak-ms': 0,
  };
  const record = {
    mode: 'dual-write',
    revision: 1,
    epoch: 1,
    transition: null,
    changedBy: null,
    copy: { kind: 'complete', run: 'started-empty', completedAtMs: 0, verifiedAtMs: null },
    settings,
  } as const;
  for (const store of [a, b]) await store.books.createControl(fromControl(record));
  const engines = [1, 2].map(() =>
    createEngine({
      stores,
      environment,
      telemetry: SILENT,
      firstMode: 'mongo-only',
      retentionMs: 30 * 86_400_000,
      storeTimeoutMs: 2_000,
      digestKey: new Uint8Array(32),
    }),
  );
  await Promise.all(engines.map((engine) => engine.start()));
  try {
    const request: MoveRequest = {
      to: 'postgres-only',
      direction: 'promote',
      force: null,
      timeoutMs: 60_000,
      noForeignWriters: true,
    };
    const up = await move(context, { ...request, to: 'postgres-primary' });
    expect(up).toMatchObject({ kind: 'done', failing: [], after: { mode: 'postgres-primary', epoch: 2 } });
    expect(await setSetting(context, 'shadow-rate', '50')).toMatchObject({ kind: 'done', is: 50 });
    await eventually(async () => {
      const status = await readStatus(context, { watchMs: 500 });
      expect(status.instances.map(({ state }) => state)).toEqual(['current', 'current']);
    });
    const down = await move(context, { ...request, to: 'mongo-only', direction: 'rollback' });
    expect(down).toMatchObject({ kind: 'done', failing: [], after: { mode: 'mongo-only', epoch: 3 } });
    expect((await log(context, { limit: 100 })).lines.map(({ event }) => event.kind)).toContain('moved');
  } finally {
    await Promise.all(engines.map((engine) => engine.stop(0)));
  }
}, 60_000);
