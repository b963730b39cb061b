/** PostgreSQL is replaced, under the same control record, by a server that lacks the last commits, as a standby that lagged. */
import { afterAll, afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { fromControl, readControl } from '../../cutover/control.ts';
import { openBulk, repair, rollbackBackfill, runBackfill, verify } from '../../cutover/copy/index.ts';
import { putEvidence } from '../../cutover/copy/ready.ts';
import { createEngine, type Engine } from '../../cutover/engine.ts';
import type { Environment } from '../../cutover/environment.ts';
import type { CopyState, Mode } from '../../cutover/mode.ts';
import { NOTES } from '../../cutover/notes.ts';
import { failover, move } from '../../cutover/operator/index.ts';
import { readStatus } from '../../cutover/operator/status.ts';
import type { ControlRecord, PerStore } from '../../cutover/protocol/types.ts';
import type { Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import type { UserRecord } from '../../db/records.ts';
import { userAt } from '../contract/replica/records.ts';
import { type Bench, clear, DAY_MS, openBench } from '../copy/support.ts';
import { newAccount } from '../mongo/legacy.ts';
import { forked } from '../support/older-copy.ts';
import { openMongo, TIMEOUT_MS } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { REQUEST } from './operator-world.ts';
import { listen, type Told } from './support/mirror.ts';

const opened = await openBench();
/** As PostgreSQL says it. */
let history: string | null = null;
const postgres: Store = { ...opened.stores.postgres, history: async () => history };
const stores = { mongo: opened.stores.mongo, postgres };
const bench: Bench = { ...opened, stores };
const { environment } = bench;
const context = { stores, environment, telemetry: bench.telemetry, report: () => {} };
/** The engines': whoever looks only now and then looks often. */
const brisk: Environment = {
  ...environment,
  sleep: (ms, signal) => environment.sleep(Math.min(ms, 200), signal),
};
const COMPLETE = {
  kind: 'complete',
  run: 'r',
  completedAtMs: 1,
  verifiedAtMs: null,
  history: 'a/1',
} as const;
const FORCED = { ...REQUEST, force: { reason: 'a test' } } as const;
/** No lease lapses where the machine stands still for a while, and what waits is soon tried again however long it has waited. */
const SETTINGS = { 'lease-ms': 60_000, 'mirror-retry-max-ms': 200 };
const setMode = (mode: Mode, copy: CopyState) => bench.setMode(mode, copy, SETTINGS);
const ends: (() => Promise<void>)[] = [];

beforeEach(async () => {
  history = 'a/1';
  await clear(bench);
  await bench.postgres.query('truncate cutover_log');
  await bench.mongo.db.collection('cutover_log').deleteMany({});
});
const endAll = () => Promise.all(ends.splice(0).map((end) => end()));
afterEach(endAll);

type Served = Told & { readonly engine: Engine };

async function serve(on: PerStore<Store> = stores): Promise<Served> {
  const told = listen();
  const engine = createEngine({
    stores: on,
    environment: brisk,
    telemetry: told.telemetry,
    firstMode: 'dual-write',
    retentionMs: bench.retentionMs,
    storeTimeoutMs: TIMEOUT_MS,
    digestKey: new Uint8Array(32),
  });
  ends.push(() => engine.stop(1_000));
  await engine.start();
  await eventually(() => engine.status().standing === 'serving');
  return { ...told, engine };
}

function account(email: string) {
  const now = new Date();
  const { user, token, session } = newAccount(email);
  const times = { createdAt: now, expiresAt: new Date(now.getTime() + DAY_MS) };
  return {
    user,
    token: { ...token, ...times },
    session: { ...session, ...times, rotatedAt: now, idleExpiresAt: times.expiresAt },
  };
}

async function signUp({ engine }: Served, email: string): Promise<string> {
  const given = account(email);
  await engine.repository.createAccount(given);
  return given.user.id;
}

const end = ({ engine }: Served, userId: string) =>
  engine.repository.endSessions({ userId, now: new Date() });

async function held(store: Store, userId: string): Promise<UserRecord | null> {
  return (await store.replica.read('user', [userId])).found.get(userId)?.record ?? null;
}

const drained = (store: Store) => eventually(async () => (await store.replica.countMarks()).count === 0);

/** Puts PostgreSQL's users, and these alone, back as they were. */
async function goBack(users: readonly UserRecord[]): Promise<void> {
  await bench.postgres.query('truncate users, verification_tokens, password_reset_tokens, sessions');
  const under = { epoch: (await readControl(postgres))?.epoch ?? 0, expiredBefore: new Date(0) };
  await postgres.replica.apply('user', users, under);
  history = 'a/2';
}

const noted = (kind: string, key: string) =>
  eventually(async () => {
    const notes = await postgres.books.notes(kind, { limit: 10 });
    expect(notes.map((note) => note.key)).toContain(key);
  });

const STALE = { kind: 'stale', authorityBehind: true };

describe('PostgreSQL behind shadow-read', { timeout: 60_000 }, () => {
  it('is noticed while instances serve: the copy is stale until a backfill, which counts on what is there now', async () => {
    await setMode('shadow-read', COMPLETE);
    const served = await serve();
    await signUp(served, 'ann@example.test');
    await drained(stores.mongo);
    await goBack([]);
    await eventually(async () => (await bench.copyState())?.kind === 'stale');
    expect(await bench.copyState()).not.toMatchObject({ authorityBehind: true });
    const errors = () => served.logs.filter(({ level }) => level === 'error').map(({ message }) => message);
    await eventually(() => errors().length > 0);
    expect(errors()).toEqual([expect.stringMatching(/PostgreSQL was replaced.*cutover backfill`.*verify/)]);
    expect(await move(context, FORCED)).toMatchObject({
      kind: 'refused',
      failing: [{ name: 'copy', found: 'stale' }],
    });
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', history: 'a/2' });
    expect(await verify(bench)).toMatchObject({ clean: true });
  });

  it('is noticed by who moves: in the status, at the gates, and behind the fence', async () => {
    const settings = {
      ...SETTINGS,
      'flip-attempts': 1,
      'heartbeat-ms': 50,
      'fence-max-ms': 60_000,
      'deadline-ms': 120_000,
    };
    await bench.setMode('shadow-read', COMPLETE, settings);
    for (const key of ['verify', 'snapshot'] as const)
      await putEvidence(bench, stores.mongo, key, { clean: true, run: key, copy: COMPLETE.run });
    // Once the fence is closed.
    const late: Store = {
      ...postgres,
      async history() {
        const phase = (await readControl(stores.mongo))?.transition?.phase;
        return phase === 'fenced' ? 'a/2' : 'a/1';
      },
    };
    const lateContext = { ...context, stores: { ...stores, postgres: late } };
    expect(await move(lateContext, FORCED)).toMatchObject({
      kind: 'aborted',
      after: { mode: 'shadow-read', transition: null },
      reasons: expect.arrayContaining([expect.stringContaining('PostgreSQL replaced by a standby')]),
    });

    history = 'a/2';
    const { next } = await readStatus(context, { watchMs: 0 });
    const promotion = next.find(({ direction }) => direction === 'promote');
    expect(promotion?.gates.find(({ name }) => name === 'copy')).toMatchObject({
      ok: false,
      found: expect.stringContaining('replaced'),
    });
    // Nobody has said so yet.
    expect(await bench.copyState()).toEqual(COMPLETE);
    expect(await move(context, FORCED)).toMatchObject({ kind: 'refused', after: { mode: 'shadow-read' } });
    expect((await readControl(stores.postgres))?.mode).toBe('shadow-read');
  });

  it('replaced while a backfill runs: it completes nothing', async () => {
    await setMode('dual-write', { kind: 'none' });
    const beforeMerge = async () => {
      history = 'a/2';
    };
    await expect(runBackfill(bench, { from: 'mongo', onBad: 'rollback', beforeMerge })).rejects.toMatchObject(
      {
        reason: 'mirror-gap',
        message: expect.stringContaining('replaced'),
      },
    );
    expect(await bench.copyState()).toMatchObject({ kind: 'stale' });
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', history: 'a/2' });
  });

  it('a copy of before counts on a history from its next verify on, unless that saw two', async () => {
    const { history: _, ...older } = COMPLETE;
    await setMode('shadow-read', older);
    const answers = ['a/1', 'a/2'];
    const changing: Store = { ...postgres, history: async () => answers.shift() ?? 'a/2' };
    const seen = await verify({ ...bench, stores: { ...stores, postgres: changing } });
    expect(seen).toMatchObject({ clean: true });
    expect(await bench.copyState()).not.toHaveProperty('history');
    await verify(bench);
    expect(await bench.copyState()).toMatchObject({
      ...older,
      verifiedAtMs: expect.any(Number),
      history: 'a/1',
    });
  });

  it('a server that does not say so, or no more, is taken for the same', async () => {
    await setMode('shadow-read', COMPLETE);
    history = null;
    expect(await verify(bench)).toMatchObject({ clean: true });
    const { next } = await readStatus(context, { watchMs: 0 });
    const gates = next.flatMap((each) => each.gates.filter(({ name }) => name === 'copy'));
    expect(gates).toMatchObject([{ ok: true }]);
  });
});

describe('PostgreSQL in postgres-primary', { timeout: 60_000 }, () => {
  /** Ann has ended her sessions since, and Bob has signed up: PostgreSQL knows of neither, MongoDB of both. */
  async function lose(): Promise<{ readonly annId: string; readonly bobId: string }> {
    await setMode('dual-write', { kind: 'none' });
    await setMode('postgres-primary', COMPLETE);
    const served = await serve();
    const annId = await signUp(served, 'ann@example.test');
    const before = await held(postgres, annId);
    if (before === null) throw new Error('she is not there');
    await end(served, annId);
    await end(served, annId);
    const bobId = await signUp(served, 'bob@example.test');
    await drained(postgres);
    await endAll();
    await goBack([before]);
    return { annId, bobId };
  }

  it('nothing that MongoDB has more is gone over or put aside, until an operator has decided', async () => {
    const { annId, bobId } = await lose();
    const inMongo = await held(stores.mongo, annId);
    const served = await serve();
    // Whether his address is asked for, she acts, or he signs up anew. A comparison that a store is too slow for is none.
    await eventually(
      async () => {
        expect(await served.engine.repository.findUserByEmail('bob@example.test')).toBeNull();
        const found = [...served.counts.keys()].filter((key) => key.includes('missing-in-authority'));
        expect(found).not.toEqual([]);
      },
      { intervalMs: 200 },
    );
    await end(served, annId);
    const newBobId = await signUp(served, 'bob@example.test');
    await noted(NOTES.poison, `user/${annId}`);
    await noted(NOTES.conflict, `user/${newBobId}`);
    await eventually(async () => (await bench.copyState())?.kind === 'stale');
    expect(await bench.copyState()).toMatchObject(STALE);
    // Told once the copy has been made stale.
    await eventually(() => {
      const errors = served.logs.filter(({ level }) => level === 'error').map(({ message }) => message);
      expect(errors).toContainEqual(
        expect.stringMatching(/PostgreSQL was replaced.*backfill --from postgres.*failover/),
      );
    });

    await expect(repair(bench, {})).rejects.toMatchObject({ reason: 'authority-behind' });
    expect(await readStatus(context, { watchMs: 0 })).toMatchObject({
      rollback: { lossless: false, why: expect.stringContaining('PostgreSQL was replaced') },
    });
    expect(await move(context, { ...FORCED, direction: 'rollback' })).toMatchObject({ kind: 'refused' });
    expect(await failover(context, { acceptLoss: true, reason: 'a test' })).toMatchObject({
      kind: 'refused',
      reasons: [expect.stringContaining('keep it out of reach')],
    });
    expect(await held(stores.mongo, annId)).toEqual(inMongo);
    expect((await held(stores.mongo, bobId))?.email).toBe('bob@example.test');
    const aside = expect.objectContaining({ entity: 'user', id: bobId });
    expect(await stores.mongo.replica.asides({ limit: 10 })).not.toContainEqual(aside);

    await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', history: 'a/2' });
    await drained(postgres);
    expect(await held(stores.mongo, annId)).toMatchObject({ sessionGeneration: 1 });
    expect(await held(stores.mongo, newBobId)).toMatchObject({ email: 'bob@example.test' });
    expect(await stores.mongo.replica.asides({ limit: 10 })).toContainEqual(aside);
  });

  const BACK = { from: 'postgres', onBad: 'rollback', runId: 'back' } as const;
  /** Once all is applied, and before it says so. */
  async function killed(): Promise<void> {
    let isMerging = false;
    const ending: Store = {
      ...postgres,
      async history() {
        if (isMerging) throw new Error('killed');
        return history;
      },
    };
    const beforeMerge = async () => {
      isMerging = true;
    };
    const scope = { ...bench, stores: { ...stores, postgres: ending } };
    await expect(runBackfill(scope, { ...BACK, beforeMerge })).rejects.toThrow('killed');
  }

  it.each([
    ['killed', killed],
    [
      'killed and taken back',
      async () => {
        await killed();
        await rollbackBackfill(bench, BACK.runId);
      },
    ],
    [
      'completed and taken back',
      async () => {
        expect(await runBackfill(bench, BACK)).toMatchObject({ outcome: 'complete' });
        await rollbackBackfill(bench, BACK.runId);
      },
    ],
    [
      'ended by a record that MongoDB refuses',
      async () => {
        const under = { epoch: (await readControl(postgres))?.epoch ?? 0, expiredBefore: new Date(0) };
        const bogus = userAt([under.epoch, 1], { id: '~bogus' });
        await postgres.replica.apply('user', [bogus], under);
        expect(await runBackfill(bench, BACK)).toMatchObject({ outcome: 'rolled-back' });
      },
    ],
  ])('a backfill that was %s has decided nothing', async (_, attempt) => {
    const { annId, bobId } = await lose();
    const before = await Promise.all([held(stores.mongo, annId), held(stores.mongo, bobId)]);
    await attempt();
    expect(await bench.copyState()).toMatchObject(STALE);
    // She is marked by now.
    const served = await serve();
    await noted(NOTES.poison, `user/${annId}`);
    const newBobId = await signUp(served, 'bob@example.test');
    await noted(NOTES.conflict, `user/${newBobId}`);
    expect(await Promise.all([held(stores.mongo, annId), held(stores.mongo, bobId)])).toEqual(before);
    await expect(repair(bench, {})).rejects.toMatchObject({ reason: 'authority-behind' });
    expect(await bench.copyState()).toMatchObject(STALE);
  });
});

describe('a real server that takes over with an older state', { timeout: 120_000 }, async () => {
  const mongo = await openMongo();
  const given = account('ann@example.test');
  const record = (copy: CopyState): ControlRecord => ({
    mode: 'shadow-read',
    epoch: 1,
    revision: 1,
    transition: null,
    changedBy: null,
    copy,
    settings: { 'poll-ms': 50, 'lease-ms': 60_000 },
  });
  const open = async (url: string) => {
    const store = await openPostgresStore({ url, timeoutMs: TIMEOUT_MS });
    onTestFinished(() => store.close());
    return store;
  };
  const fork = await forked(afterAll, async ({ url }) => {
    const store = await openPostgresStore({ url, timeoutMs: TIMEOUT_MS });
    await store.migrate(() => {});
    const counted = (await store.history()) ?? 'none';
    const entry = fromControl(record({ ...COMPLETE, history: counted }));
    for (const each of [mongo.store, store]) {
      await each.books.createControl(entry);
      await each.at({ epoch: 1, pending: false }).createAccount(given);
    }
    await store.close();
  });

  it('is not promoted to: it is filled again, and lacks nothing then', async () => {
    const first = await open(fork.server.url);
    const served = await serve({ mongo: mongo.store, postgres: first });
    await end(served, given.user.id);
    const bobId = await signUp(served, 'bob@example.test');
    await drained(mongo.store);
    expect(await held(first, bobId)).not.toBeNull();
    await endAll();
    expect((await readControl(mongo.store))?.copy.kind).toBe('complete');

    const { url } = await fork.promote();
    const other = await open(url);
    const both = { mongo: mongo.store, postgres: other };
    expect((await other.history())?.split('/')[0]).toBe((await first.history())?.split('/')[0]);
    expect(await held(other, given.user.id)).toMatchObject({ sessionGeneration: 0 });
    expect(await held(other, bobId)).toBeNull();
    expect(await move({ ...context, stores: both }, FORCED)).toMatchObject({
      kind: 'refused',
      failing: expect.arrayContaining([expect.objectContaining({ name: 'copy' })]),
    });

    const bulk = openBulk({ mongoUrl: mongo.url, postgresUrl: url });
    try {
      const scope = { ...bench, ...bulk, stores: both };
      await runBackfill(scope, { from: 'mongo', onBad: 'rollback' });
      expect(await verify(scope)).toMatchObject({ clean: true });
    } finally {
      await bulk.close();
    }
    expect((await readControl(mongo.store))?.copy).toMatchObject({
      kind: 'complete',
      history: await other.history(),
    });
    expect(await held(other, given.user.id)).toMatchObject({ sessionGeneration: 1 });
    expect(await held(other, bobId)).not.toBeNull();
  });
});
