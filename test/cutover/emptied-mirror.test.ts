/** The mirror's store is emptied, or put back from an older dump, behind a copy that counts as complete. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromControl, readControl } from '../../cutover/control.ts';
import { runBackfill, verify } from '../../cutover/copy/index.ts';
import { putEvidence } from '../../cutover/copy/ready.ts';
import { createEngine, type Engine } from '../../cutover/engine.ts';
import type { Environment } from '../../cutover/environment.ts';
import { createFallback } from '../../cutover/fallback.ts';
import { authorityOf, type CopyState, type Mode, otherStore } from '../../cutover/mode.ts';
import { move, setSetting } from '../../cutover/operator/index.ts';
import { copyTo } from '../../cutover/telling.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { clear, DAY_MS, openBench } from '../copy/support.ts';
import { newAccount } from '../mongo/legacy.ts';
import { createMemoryStore, type MemoryStore } from '../support/memory/store.ts';
import { eventually } from '../support/wait.ts';
import { REQUEST } from './operator-world.ts';
import { listen, type Told } from './support/mirror.ts';
import { controlOf } from './support/shadow-world.ts';

const bench = await openBench();
const { stores, environment } = bench;
const context = { stores, environment, telemetry: bench.telemetry, report: () => {} };
const COMPLETE: CopyState & { readonly kind: 'complete' } = {
  kind: 'complete',
  run: 'r',
  completedAtMs: 1,
  verifiedAtMs: null,
};
const TIMED_OUT = new StoreUnavailable('postgres', 'unknown', 'timeout');
/** The engines': whoever looks only now and then looks often. */
const brisk: Environment = {
  ...environment,
  sleep: (ms, signal) => environment.sleep(Math.min(ms, 200), signal),
};
/** No lease lapses where the machine stands still for a while. */
const setMode = (mode: Mode, copy?: CopyState) => bench.setMode(mode, copy, { 'lease-ms': 60_000 });
const ends: (() => Promise<void>)[] = [];
let epoch = 0;

beforeEach(async () => {
  await clear(bench);
  await bench.postgres.query('truncate cutover_log');
  await bench.mongo.db.collection('cutover_log').deleteMany({});
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serve(
  prepare: (store: Store) => Promise<void> = (store) => store.migrate(() => {}),
): Promise<Told & { readonly engine: Engine }> {
  const told = listen();
  const engine = createEngine({
    stores,
    environment: brisk,
    telemetry: told.telemetry,
    firstMode: 'dual-write',
    retentionMs: bench.retentionMs,
    storeTimeoutMs: 10_000,
    digestKey: new Uint8Array(32),
    prepare,
  });
  ends.push(() => engine.stop(1_000));
  await engine.start();
  await eventually(() => engine.status().standing === 'serving');
  return { ...told, engine };
}

function account() {
  const now = new Date();
  const { user, token, session } = newAccount('ann@example.test');
  const times = { createdAt: now, expiresAt: new Date(now.getTime() + DAY_MS) };
  return {
    user,
    token: { ...token, ...times },
    session: { ...session, ...times, rotatedAt: now, idleExpiresAt: times.expiresAt },
  };
}

/** A mode whose mirror holds one account. */
async function begin(mode: Mode): Promise<Told & { readonly engine: Engine; readonly userId: string }> {
  await setMode(mode, COMPLETE);
  const served = await serve();
  const given = account();
  await served.engine.repository.createAccount(given);
  const { replica, books } = stores[authorityOf(mode)];
  await eventually(async () => (await replica.countMarks()).count === 0);
  ({ epoch } = (await books.readControl()) ?? { epoch: 0 });
  return { ...served, userId: given.user.id };
}

async function emptyMongo(): Promise<void> {
  for (const { name } of await bench.mongo.db.listCollections().toArray())
    await bench.mongo.db.collection(name).drop();
}
const emptyPostgres = () =>
  bench.postgres.query(
    'truncate users, verification_tokens, password_reset_tokens, sessions, cutover_control, cutover_leases',
  );

/** As an older dump has it. */
async function putBack(mode: Mode): Promise<void> {
  const { books } = stores[otherStore(authorityOf(mode))];
  const record = await books.readControl();
  if (record === null) throw new Error('it was told of no mode');
  await books.replaceControl(record, { ...record, epoch: epoch - 1 });
}

/** Waits until the mirror's store has been told what the authority says, so that no telling is on its way there. */
async function told(mode: Mode): Promise<void> {
  const authority = authorityOf(mode);
  await eventually(async () => {
    const [says, heard] = await Promise.all(
      [authority, otherStore(authority)].map((name) => readControl(stores[name])),
    );
    expect({ ...heard, revision: 0 }).toEqual({ ...says, revision: 0 });
  });
}

async function noticed(mode: Mode): Promise<void> {
  const other = stores[otherStore(authorityOf(mode))];
  await eventually(async () => (await bench.copyState())?.kind === 'stale');
  await eventually(async () => {
    const told = await readControl(other);
    return told?.copy.kind === 'stale' && told.epoch === epoch;
  });
  expect(await other.isMigrated()).toBe(true);
}

/** Waits until the log has as many of them: each is written after the copy was made stale. */
async function entries(mode: Mode, count: number): Promise<readonly unknown[]> {
  const { books } = stores[authorityOf(mode)];
  return eventually(async () => {
    const page = await books.readLog({ limit: 1_000 });
    const found = page.map(({ body }) => body).filter((body) => JSON.stringify(body).includes('was emptied'));
    expect(found).toHaveLength(count);
    return found;
  });
}

describe('MongoDB behind postgres-primary', { timeout: 60_000 }, () => {
  it.each([
    ['emptied', emptyMongo, 'no control record'],
    ['put back from an older dump', () => putBack('postgres-primary'), 'earlier epoch'],
  ])('%s: nothing relies on it until it has been copied and verified', async (_, spoil, found) => {
    await setMode('dual-write', COMPLETE);
    const { engine, logs, userId } = await begin('postgres-primary');
    const bounds = { assuranceMs: 10_000, timeoutMs: 10_000 };
    const fallback = createFallback({ ...context, ...bounds, member: engine.member });
    const ask = async () => {
      const admitted = await engine.member.admit();
      const answer = await fallback.tryRead('findUser', [userId], admitted.ticket, TIMED_OUT);
      admitted.settle();
      return answer;
    };
    expect(await ask()).toMatchObject({ answer: { id: userId } });
    await verify(bench);
    await told('postgres-primary');

    await spoil();
    await noticed('postgres-primary');
    await eventually(() => engine.member.record()?.copy.kind === 'stale');
    expect(await ask()).toBeNull();
    const errors = logs.filter(({ level }) => level === 'error').map(({ message }) => message);
    expect(errors).toEqual([expect.stringContaining(found)]);
    expect(errors[0]).toMatch(/MongoDB .*backfill --from postgres.*verify/);
    expect(await entries('postgres-primary', 1)).toMatchObject([
      { kind: 'copy', details: { copy: 'stale', store: 'mongo', reason: errors[0] } },
    ]);

    const back = { ...REQUEST, direction: 'rollback' } as const;
    const refused = await move(context, { ...back, force: { reason: 'a test' } });
    expect(refused).toMatchObject({ kind: 'refused', failing: [{ name: 'copy', found: 'stale' }] });

    await runBackfill(bench, { from: 'postgres', onBad: 'rollback' });
    expect(await verify(bench)).toMatchObject({ clean: true });
    const moved = await move(context, { ...back, force: { reason: 'there is no traffic, and no snapshot' } });
    expect(moved).toMatchObject({ kind: 'done', after: { mode: 'shadow-read' } });
    // How late the watch tells of what was dropped is of no matter here.
    const overridden = moved.overridden.map(({ name }) => name).filter((name) => name !== 'foreign-watch');
    expect(overridden).toEqual(['comparisons', 'snapshot']);
    expect((await stores.mongo.replica.read('user', [userId])).found.has(userId)).toBe(true);
  });

  it('emptied while nobody served: the next instance notices as it starts, and a setting as it is told', async () => {
    const first = await begin('postgres-primary');
    await first.engine.stop(1_000);
    await emptyMongo();
    const { logs } = await serve();
    await noticed('postgres-primary');
    expect(logs.filter(({ level }) => level === 'error')).toHaveLength(1);
    await Promise.all(ends.splice(0).map((end) => end()));

    await setMode('postgres-primary', COMPLETE);
    await emptyMongo();
    expect(await setSetting(context, 'poll-ms', '60')).toMatchObject({
      before: { copy: { kind: 'complete' } },
      after: { copy: { kind: 'stale' } },
      reasons: [expect.stringContaining('emptied')],
    });
    expect(await bench.copyState()).toMatchObject({ kind: 'stale' });
    await entries('postgres-primary', 2);
  });

  it('emptied while nobody served: a change of authority that finds it says so, and that nobody else has', async () => {
    await bench.setMode('shadow-read', COMPLETE);
    for (const key of ['verify', 'snapshot'] as const)
      await putEvidence(bench, stores.mongo, key, { clean: true, run: key, copy: COMPLETE.run });
    await emptyPostgres();
    const refused = await move(context, { ...REQUEST, force: { reason: 'a test' } });
    expect(refused).toMatchObject({
      kind: 'refused',
      after: { mode: 'shadow-read', copy: { kind: 'stale' } },
      failing: expect.arrayContaining([expect.objectContaining({ name: 'copy' })]),
      reasons: [expect.stringContaining('emptied')],
    });
  });
});

describe('a service that may not prepare stores, as with the roles it is given', { timeout: 60_000 }, () => {
  it('makes the copy stale all the same, and says who can mend it', async () => {
    const first = await begin('postgres-primary');
    await first.engine.stop(1_000);
    await emptyMongo();
    const { logs } = await serve(async (store) => {
      if (!(await store.isMigrated())) throw new StoreUnavailable(store.name, 'none', 'forbidden');
    });
    await eventually(async () => (await bench.copyState())?.kind === 'stale');
    await entries('postgres-primary', 1);
    await eventually(() => logs.some(({ message }) => message.includes('cannot be told')));
    const warned = logs.filter(
      ({ level, message }) => level === 'warn' && message.includes('cannot be told'),
    );
    expect(warned).toMatchObject([
      {
        fields: {
          store: 'mongo',
          err: expect.objectContaining({ message: expect.stringMatching(/npm run migrate/) }),
        },
      },
    ]);
    await stores.mongo.migrate(() => {});
    await noticed('postgres-primary');
  });
});

describe.each(['dual-write', 'shadow-read'] as const)('PostgreSQL behind %s', (mode) => {
  it.each([
    ['emptied', emptyPostgres],
    ['put back from an older dump', () => putBack(mode)],
  ])('%s: the copy is stale until a backfill', async (_, spoil) => {
    await begin(mode);
    await spoil();
    await noticed(mode);
    await entries(mode, 1);
    const refused = await move(context, { ...REQUEST, force: { reason: 'a test' } });
    expect(refused).toMatchObject({ kind: 'refused', failing: [{ name: 'copy' }] });
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete' });
  });
});

it('emptied after it was looked at, and before it is told: that is seen before it is told again', async () => {
  const [mongo, full, empty] = (['mongo', 'postgres', 'postgres'] as const).map((name) =>
    createMemoryStore({ name }),
  ) as [MemoryStore, MemoryStore, MemoryStore];
  const record = controlOf('dual-write', { copy: COMPLETE, revision: 5 });
  await mongo.books.createControl(fromControl(record));
  await full.books.createControl(fromControl({ ...record, revision: 4, settings: { 'poll-ms': 50 } }));
  let { books } = full;
  const other: Store = {
    ...full,
    books: {
      ...full.books,
      async readControl() {
        const seen = await books.readControl();
        ({ books } = empty);
        return seen;
      },
      createControl: (entry) => books.createControl(entry),
      replaceControl: (expected, entry) => books.replaceControl(expected, entry),
    },
  };
  expect(await copyTo(context, mongo, other)).toBe(true);
  expect((await readControl(mongo))?.copy.kind).toBe('stale');
  expect((await readControl(empty))?.copy.kind).toBe('stale');
});

it('emptied while authority changes: it is not told, and looked at once', async () => {
  const [mongo, empty] = (['mongo', 'postgres'] as const).map((name) => createMemoryStore({ name })) as [
    MemoryStore,
    MemoryStore,
  ];
  const transition = { id: 't', target: 'postgres-primary', phase: 'announced', deadlineMs: 1_000 } as const;
  const record = controlOf('shadow-read', { copy: COMPLETE, revision: 5, transition });
  await mongo.books.createControl(fromControl(record));
  let looks = 0;
  const books: Store['books'] = {
    ...empty.books,
    readControl() {
      looks += 1;
      return empty.books.readControl();
    },
  };
  expect(await copyTo(context, mongo, { ...empty, books })).toBe(false);
  expect(looks).toBe(1);
  expect(await readControl(empty)).toBeNull();
});

describe('what is no loss', () => {
  it('a store that nobody ever told: the backfill does, and its copy stays complete', async () => {
    await setMode('dual-write');
    await bench.postgres.query('truncate cutover_control');
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    await serve();
    await setSetting(context, 'poll-ms', '60');
    expect(await bench.copyState()).toMatchObject({ kind: 'complete' });
  });

  it('a new system that serves before the mirror’s store has its record', async () => {
    const { books } = stores.mongo;
    await bench.setMode('dual-write', COMPLETE);
    const before = await readControl(stores.mongo);
    if (before === null) throw new Error('no mode was set');
    await bench.mongo.db.collection('cutover_control').deleteMany({});
    await bench.postgres.query('truncate cutover_control');
    const record = { ...before, mode: 'dual-write', revision: 1, copy: COMPLETE } as const;
    await books.createControl(fromControl(record));
    await stores.mongo.at({ epoch: before.epoch, pending: true }).createAccount(account());
    await serve();
    await eventually(async () => (await readControl(stores.postgres)) !== null);
    expect(await bench.copyState()).toEqual(COMPLETE);
  });
});
