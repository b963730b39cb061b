/** Writes that no instance made are found by the change stream, and nothing of ours is taken for one. */
import { ObjectId } from 'bson';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { repair, rollbackBackfill, runBackfill, verify } from '../../cutover/copy/index.ts';
import { createEngine, type Engine } from '../../cutover/engine.ts';
import type { Environment } from '../../cutover/environment.ts';
import { unwatchedSince } from '../../cutover/foreign/watch-state.ts';
import { createWatcher, type Watcher } from '../../cutover/foreign/watcher.ts';
import type { CopyState, Mode } from '../../cutover/mode.ts';
import { NOTES } from '../../cutover/notes.ts';
import { readStatus } from '../../cutover/operator/index.ts';
import type { ChangeFeed, WatchEntry } from '../../db/changes.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Store } from '../../db/port.ts';
import { clear, DAY_MS, openBench } from '../copy/support.ts';
import { legacyUser, newAccount } from '../mongo/legacy.ts';
import { newMongoDatabase } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { listen, puppet, type Told } from './support/mirror.ts';

const bench = await openBench();
const { stores, environment } = bench;
const feed = changesOf(stores.mongo);

const COMPLETE: CopyState = { kind: 'complete', run: 'r', completedAtMs: 1, verifiedAtMs: null };
/** Whoever looks only now and then looks often. */
const brisk: Environment = {
  ...environment,
  sleep: (ms, signal) => environment.sleep(Math.min(ms, 100), signal),
};
/** No lease lapses where the machine stands still for a while. */
const setMode = (mode: Mode, copy?: CopyState) => bench.setMode(mode, copy, { 'lease-ms': 60_000 });
const ends: (() => Promise<void>)[] = [];

beforeEach(async () => {
  await clear(bench);
  await bench.mongo.db.collection('cutover_watch').deleteMany({});
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serve(): Promise<Told & { readonly engine: Engine }> {
  const told = listen();
  const { retentionMs } = bench;
  const engine = createEngine({
    stores,
    environment: brisk,
    telemetry: told.telemetry,
    firstMode: 'dual-write',
    retentionMs,
    storeTimeoutMs: 10_000,
    digestKey: new Uint8Array(32),
  });
  ends.push(() => engine.stop(1_000));
  await engine.start();
  await eventually(() => engine.status().standing === 'serving' && engine.status().watchesForeign);
  return { ...told, engine };
}

const users = () => bench.mongo.collection('user');
const foreignKeys = async (): Promise<readonly string[]> =>
  (
    await Promise.all(
      [stores.mongo, stores.postgres].map(({ books }) => books.notes(NOTES.foreign, { limit: 1_000 })),
    )
  ).flatMap((notes) => notes.map(({ key }) => key).sort());

/** Writes as the old service does, and waits until that is noted: everything before has been judged by then. */
async function sentinel(): Promise<string> {
  const user = legacyUser();
  await bench.insert('user', [user]);
  const key = `user/${user._id}`;
  await eventually(async () => (await foreignKeys()).includes(key));
  return key;
}

function account(now = new Date(), expiresAt = new Date(now.getTime() + DAY_MS)) {
  const { user, token, session } = newAccount(`${new ObjectId()}@x.org`);
  const times = { createdAt: now, expiresAt };
  return {
    user,
    token: { ...token, ...times },
    session: { ...session, ...times, rotatedAt: now, idleExpiresAt: expiresAt },
  };
}

const drained = () => eventually(async () => (await stores.mongo.replica.countMarks()).count === 0);

async function gate(name: string) {
  const context = { stores, environment, telemetry: bench.telemetry, report: () => {} };
  const { next, foreign } = await readStatus(context, { watchMs: 0 });
  return { gate: next[0]?.gates.find((each) => each.name === name), foreign };
}

describe('while MongoDB has authority', { timeout: 60_000 }, () => {
  it('finds each kind of foreign write by name, lets repair pick it up, and counts nothing of ours', async () => {
    const legacy = Array.from({ length: 6 }, () => legacyUser());
    await bench.insert('user', legacy);
    await setMode('dual-write');
    const { engine, counts, logs } = await serve();
    const { repository } = engine;

    // Everything this service does.
    const [lives, goes, ended] = [account(), account(), account(new Date(0), new Date(DAY_MS))];
    for (const each of [lives, goes, ended]) await repository.createAccount(each);
    const now = new Date();
    await repository.verifyEmail({ userId: lives.user.id, tokenId: lives.token.id, now });
    await repository.endSessions({ userId: lives.user.id, now });
    await repository.eraseUser({ userId: goes.user.id, sessionGeneration: null, now });
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    const store = await openMongoStore({ url: bench.urls.mongo, timeoutMs: 10_000 });
    await store.whenEmailsKeyed();
    await store.close();
    await drained();
    await stores.mongo.migrate(() => {});
    const { sessions } = await repository.purge({ expiredBefore: new Date(2 * DAY_MS), limit: 100 });
    expect(sessions).toBe(1);
    const held = await stores.mongo.replica.read('user', [String(legacy[0]?._id)]);
    const stamp = held.found.get(String(legacy[0]?._id))?.record.stamp ?? { epoch: 0, version: 0 };
    await stores.mongo.replica.touch('user', String(legacy[0]?._id), {
      expected: stamp,
      to: { epoch: 1, version: stamp.version + 1 },
    });
    await drained();
    const first = await sentinel();
    expect(await foreignKeys()).toEqual([first]);

    // What others do.
    const [, updated, replaced, removed, cleaned] = legacy.map(({ _id }) => _id);
    await users().updateOne({ _id: updated } as never, { $set: { name: 'by a script' } });
    await users().replaceOne({ _id: replaced } as never, { email: 'other@x.org', name: 'n', password: '' });
    await users().deleteOne({ _id: removed } as never);
    await users().updateOne({ _id: cleaned } as never, { $unset: { name: '' } });
    const session = bench.mongo.collection('session');
    await session.deleteOne({ _id: new ObjectId(lives.session.id) } as never);
    const last = await sentinel();
    const expected = [
      first,
      last,
      ...[updated, replaced, removed, cleaned].map((id) => `user/${id}`),
      `session/${lives.session.id}`,
    ];
    expect(await foreignKeys()).toEqual(expected.sort());
    // Each is counted, and all are logged, once they have been noted.
    await eventually(() => {
      expect(counts.get('cutover_foreign_writes_total mongo user')).toBe(6);
      expect(counts.get('cutover_foreign_writes_total mongo session')).toBe(1);
    });
    const named = logs
      .filter(({ message }) => message.startsWith('foreign write'))
      .map(({ fields }) => fields);
    expect(named).toContainEqual({ store: 'mongo', entity: 'user', id: String(updated), change: 'update' });
    expect(JSON.stringify(logs)).not.toContain('by a script');
    expect((await gate('foreign-writes')).gate).toMatchObject({ ok: false, found: '7 written by others' });

    // Repair takes all of it over into the mirror.
    expect(await repair(bench, { dryRun: true })).toMatchObject({ touched: 0, movedAside: 0 });
    expect(await foreignKeys()).toHaveLength(7);
    expect(await repair(bench)).toMatchObject({ run: null, found: 7, movedAside: 2, touched: 5 });
    expect(await foreignKeys()).toEqual([]);
    await drained();
    expect(await verify(bench)).toMatchObject({ clean: true });
    const { found } = await stores.postgres.replica.read('user', [String(updated)]);
    expect(found.get(String(updated))?.record.name).toBe('by a script');
    expect((await gate('foreign-writes')).gate).toMatchObject({ ok: true });
    expect((await gate('foreign-watch')).gate).toMatchObject({ ok: true, found: 'watched' });
  });

  it('has one watcher; the next one misses nothing that was written in between', async () => {
    await setMode('dual-write');
    const first = await serve();
    const second = watcher('dual-write');
    const a = await sentinel();
    expect(second.isWatching()).toBe(false);
    await first.engine.stop(1_000);
    const between = legacyUser();
    await bench.insert('user', [between]);
    await eventually(() => second.isWatching());
    const b = await sentinel();
    expect(await foreignKeys()).toEqual([a, `user/${between._id}`, b].sort());
    expect((await gate('foreign-watch')).gate).toMatchObject({ ok: true });
  });

  it('takes over from one that died, once its beat has stood still', async () => {
    await setMode('dual-write');
    const first = watcher('dual-write');
    await eventually(() => first.isWatching());
    await sentinel();
    await first.stop();
    const entry = await feed.readWatch();
    if (entry === null) throw new Error('no entry');
    // As a process leaves it that was killed.
    await feed.replaceWatch(entry.beat, { ...entry, owner: 'dead', beat: entry.beat + 1 });
    const between = legacyUser();
    await bench.insert('user', [between]);
    const start = performance.now();
    const hasty: Environment = {
      ...environment,
      now: () => ({ monotonicMs: (performance.now() - start) * 20, wallMs: Date.now() }),
      sleep: (ms, signal) => environment.sleep(ms / 20, signal),
    };
    const second = watcher('dual-write', hasty);
    await eventually(() => second.isWatching());
    await eventually(async () => (await foreignKeys()).includes(`user/${between._id}`));
  });

  it('says since when nothing was seen where the server cannot go on, and asks for a verify', async () => {
    await setMode('dual-write', COMPLETE);
    await serve();
    await sentinel();
    for (const end of ends.splice(0)) await end();
    const entry = await feed.readWatch();
    if (entry === null) throw new Error('no entry');
    const body = { ...(entry.body as object), token: '{"_data":"8200000001000000012B0229296E04"}' };
    await feed.replaceWatch(entry.beat, { ...entry, beat: entry.beat + 1, body });
    const { logs, engine } = await serve();
    expect(logs.map(({ message }) => message)).toContain(
      'foreign writes: not watched for a time, run a verify',
    );
    await eventually(async () => stateOf(await feed.readWatch()).gap !== null);
    const seenMs = Number(stateOf(entry).seenMs);
    const { gate: failing, foreign } = await gate('foreign-watch');
    expect(failing).toMatchObject({ ok: false, kind: 'evidence', remedy: expect.stringContaining('verify') });
    expect(foreign).toMatchObject({ watch: 'watching', unwatchedSinceMs: seenMs });
    expect(engine.status().watchesForeign).toBe(true);
    await repair(bench);
    await drained();
    expect(await verify(bench)).toMatchObject({ clean: true });
    expect((await gate('foreign-watch')).gate).toMatchObject({ ok: true });
  });

  it('gives a place up that the server never finds in time, and sees again', async () => {
    await setMode('dual-write');
    const seeing = watcher('dual-write');
    await eventually(async () => typeof stateOf(await feed.readWatch())['token'] === 'string');
    await seeing.stop();
    const slow: ChangeFeed = {
      ...feed,
      async open(after) {
        const cursor = await feed.open(null);
        const next = () => Promise.reject(new StoreUnavailable('mongo', 'none', 'timeout'));
        return after === null ? cursor : { ...cursor, next };
      },
    };
    const told = listen();
    const watching = createWatcher({
      stores: { ...stores, mongo: { ...stores.mongo, changes: slow } },
      environment: brisk,
      telemetry: told.telemetry,
      member: puppet('dual-write'),
      retentionMs: DAY_MS,
    });
    ends.push(() => watching.stop());
    watching.start();
    await eventually(async () => {
      const { gap } = stateOf(await feed.readWatch());
      expect(gap).toMatchObject({ why: expect.stringMatching(/in time/) });
    });
    await eventually(() => watching.isWatching());
    const lost = told.logs.filter(({ message }) => message.includes('run a verify'));
    expect(lost).toHaveLength(1);
    await sentinel();
  });

  it('calls a dropped collection a gap too', async () => {
    await setMode('dual-write', COMPLETE);
    await serve();
    await bench.mongo.db.collection('verification_tokens').drop();
    await eventually(async () => stateOf(await feed.readWatch()).gap !== null);
    await sentinel();
    await stores.mongo.migrate(() => {});
    expect((await gate('foreign-watch')).gate).toMatchObject({ ok: false, found: /dropped/ });
  });

  it('and one that another was put in place of', async () => {
    await setMode('dual-write');
    await serve();
    const { db } = bench.mongo;
    await db.collection('restored').insertOne({ a: 1 });
    await db.renameCollection('restored', 'verification_tokens', { dropTarget: true });
    await eventually(async () => stateOf(await feed.readWatch()).gap !== null);
    await stores.mongo.migrate(() => {});
  });

  it('forgets its place in a mode without a mirror, where anybody may write', async () => {
    await setMode('dual-write');
    const told = listen();
    const member = puppet('dual-write');
    const watching = createWatcher({
      stores,
      environment: brisk,
      telemetry: told.telemetry,
      member,
      retentionMs: 1,
    });
    ends.push(() => watching.stop());
    watching.start();
    // The place is written down a moment after the watch has begun.
    await eventually(async () => typeof stateOf(await feed.readWatch()).token === 'string');
    member.follow({ mode: 'mongo-only' });
    await eventually(async () => stateOf(await feed.readWatch()).token === null);
    await bench.insert('user', [legacyUser()]);
    member.follow({ mode: 'dual-write' });
    await eventually(() => watching.isWatching());
    const key = await sentinel();
    expect(await foreignKeys()).toEqual([key]);
  });

  it('leaves a standalone server to verify, and says so once', async () => {
    const url = newMongoDatabase(inject('mongoStandaloneUrl'));
    const mongo = await openMongoStore({ url, timeoutMs: 10_000, emailKeyPass: false });
    ends.push(() => mongo.close());
    const told = listen();
    const lone = { mongo, postgres: stores.postgres };
    const member = puppet('dual-write');
    const options = { stores: lone, environment, telemetry: told.telemetry, member, retentionMs: 1 };
    for (let round = 1; round <= 2; round += 1) {
      const watching = createWatcher(options);
      watching.start();
      await eventually(async () => {
        const entry = await mongo.changes?.readWatch();
        // Twice in each round: as it is claimed, and once the server has been asked.
        expect(entry?.beat).toBe(2 * round);
        expect(stateOf(entry).unsupported).toBe('a standalone server has no change stream');
      });
      await watching.stop();
    }
    expect(told.logs.map(({ message }) => message)).toEqual([
      'foreign writes: not watched, only verify finds them',
    ]);
  });
});

describe('while MongoDB is the mirror', { timeout: 60_000 }, () => {
  it('finds what others write into it, and neither mirror, copy nor its undoing', async () => {
    await setMode('postgres-primary');
    const { engine } = await serve();
    const kept = account();
    await engine.repository.createAccount(kept);
    const postgresDrained = () =>
      eventually(async () => (await stores.postgres.replica.countMarks()).count === 0);
    await postgresDrained();
    await users().deleteMany({});
    const options = { from: 'postgres', onBad: 'rollback' } as const;
    const { run } = await runBackfill(bench, options);
    await rollbackBackfill(bench, run);
    await runBackfill(bench, options);
    await eventually(async () => (await engine.member.record())?.copy.kind === 'complete');
    await users().updateOne({ _id: new ObjectId(kept.user.id) } as never, { $set: { name: 'changed' } });
    await eventually(async () => (await foreignKeys()).length > 0);
    expect(await foreignKeys()).toEqual([`user/${kept.user.id}`]);
    expect((await stores.postgres.books.countNotes())[NOTES.foreign]).toBe(1);
    expect(await repair(bench)).toMatchObject({ touched: 1 });
    await postgresDrained();
    const { found } = await stores.mongo.replica.read('user', [kept.user.id]);
    expect(found.get(kept.user.id)?.record.name).toBe(kept.user.name);
    expect(await verify(bench)).toMatchObject({ clean: true });
    await sentinelOnlyInMirror();
  });

  async function sentinelOnlyInMirror(): Promise<void> {
    await sentinel();
    expect(await repair(bench)).toMatchObject({ movedAside: 1 });
    expect(await foreignKeys()).toEqual([]);
  }
});

describe('without a watcher', () => {
  it('verify names them', async () => {
    const user = legacyUser();
    await bench.insert('user', [user]);
    await setMode('dual-write');
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    const late = legacyUser();
    await bench.insert('user', [late]);
    await users().updateOne({ _id: user._id } as never, { $set: { name: 'by a script' } });
    expect(await verify(bench)).toMatchObject({ clean: false, differing: 2 });
    expect(await foreignKeys()).toEqual([`user/${user._id}`, `user/${late._id}`].sort());
    expect(await repair(bench)).toMatchObject({ touched: 2 });
    expect(await foreignKeys()).toEqual([]);
  });

  it.each([
    ['seen just now', { seenMs: 90_000, gap: null }, null, null],
    ['not seen for long', { seenMs: 10_000, gap: null }, null, 10_000],
    ['not seen for long, but verified since', { seenMs: 10_000, gap: null }, 20_000, null],
    ['a gap', { seenMs: 90_000, gap: { fromMs: 5, toMs: 50 } }, null, 5],
    ['a gap, verified too early', { seenMs: 90_000, gap: { fromMs: 5, toMs: 50 } }, 49, 5],
    ['a gap, verified since', { seenMs: 90_000, gap: { fromMs: 5, toMs: 50 } }, 50, null],
  ] as const)('%s', (_what, { seenMs, gap }, verifiedMs, since) => {
    const watch = { token: 't', seenMs, unsupported: null, gap: gap && { ...gap, why: 'w' } };
    expect(unwatchedSince(watch, verifiedMs, 100_000)).toBe(since);
  });
});

function changesOf({ changes }: Store): ChangeFeed {
  if (changes === null) throw new Error('this server has no change streams');
  return changes;
}

function watcher(mode: Mode, given: Environment = brisk): Watcher {
  const member = { ...puppet(mode), id: String(new ObjectId()) };
  const { telemetry } = listen();
  const made = createWatcher({ stores, environment: given, telemetry, member, retentionMs: DAY_MS });
  ends.push(() => made.stop());
  made.start();
  return made;
}

function stateOf(entry: WatchEntry | null | undefined): Readonly<Record<string, unknown>> {
  return (entry?.body ?? {}) as Readonly<Record<string, unknown>>;
}
