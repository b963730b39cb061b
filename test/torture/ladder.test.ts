/**
 * The whole ladder up and down twice, on the real engine of two instances and real servers, under writes all the time:
 * every verb as an operator uses it, a clean verify at each step, and in the end nothing of what was answered is lost.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { openBulk, runBackfill, verify } from '../../cutover/copy/index.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import { authorityOf, MODES, type Mode, mirrorOf } from '../../cutover/mode.ts';
import { move, setSetting } from '../../cutover/operator/index.ts';
import { createSnapshot } from '../../cutover/snapshot/create.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import type { Repository } from '../../db/port.ts';
import { legacyUser, newAccount } from '../mongo/legacy.ts';
import { openEngine } from '../support/engine.ts';
import { openMongo, openPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';

const LEGACY = 200;
/** Writes that must have been answered in a mode before it is left. */
const WRITES = 8;
const PATIENCE_MS = 60_000;
/** Between two writes of one writer. */
const PACE_MS = 40;
/** Nobody falls silent here, and a machine may be busy. */
const SETTINGS = {
  'poll-ms': '50',
  'heartbeat-ms': '100',
  'lease-ms': '30000',
  'deadline-ms': '30000',
  'fence-max-ms': '20000',
  // How fast clients are answered while other tests share the cores is no reason to stop a copy here.
  'backfill-slow-p99-ms': '0',
  'backfill-stop-p99-ms': '0',
  'gate-primary-comparisons': '5',
  'gate-only-soak-ms': '0',
};

const mongo = await openMongo();
const postgres = await openPostgres();
const stores = { mongo: mongo.store, postgres: postgres.store };
const urls = { mongo: mongo.url, postgres: postgres.url };
const bulk = openBulk({ mongoUrl: mongo.url, postgresUrl: postgres.url });
const snapshots = await mkdtemp(join(tmpdir(), 'ladder-'));
const environment = systemEnvironment();
const operator = { stores, environment, telemetry: SILENT, report: () => {} };
const scope = { stores, ...bulk, environment, telemetry: SILENT, retentionMs: 30 * 86_400_000 };

const users = Array.from({ length: LEGACY }, (_, index) =>
  legacyUser({ plan: 'free', email: `l${index}@x.org` }),
);
await bulk.mongo.collection('user').insertMany(users as never[]);
const { engine: first } = await openEngine('mongo-only', { stores });
const { engine: second } = await openEngine('mongo-only', { stores });
afterAll(async () => {
  await Promise.all([first.stop(5_000), second.stop(5_000)]);
  await bulk.close();
  await rm(snapshots, { recursive: true, force: true });
});

test('up and down, twice', { timeout: 240_000 }, async () => {
  for (const [key, value] of Object.entries(SETTINGS)) await setSetting(operator, key, value);
  const ids = users.map(({ _id }) => String(_id));
  const load = startLoad([first.repository, second.repository], ids);
  const clean: string[] = [];
  let mode: Mode = 'mongo-only';

  async function look(): Promise<void> {
    expect(await verify(scope), `verify in ${mode}`).toMatchObject({ clean: true, differences: [] });
    clean.push(mode);
  }

  async function step(to: Mode): Promise<void> {
    await load.more(WRITES);
    // Where nothing is mirrored the stores are alike only while nobody writes.
    const unmirrored = mirrorOf(to) === null;
    if (unmirrored) await load.pause();
    if (unmirrored) await eventually(async () => (await marks()) === 0, { timeoutMs: PATIENCE_MS });
    const direction = MODES.indexOf(to) > MODES.indexOf(mode) ? 'promote' : 'rollback';
    const request = { to, direction, force: null, noForeignWriters: true, timeoutMs: PATIENCE_MS } as const;
    await eventually(
      async () => {
        const { kind, reasons, failing } = await move(operator, request);
        expect({ kind, reasons, failing }).toMatchObject({ kind: 'done' });
      },
      { timeoutMs: PATIENCE_MS },
    );
    const from = mode;
    mode = to;
    if (mirrorOf(from) === null) await copy(to);
    await look();
    if (unmirrored) load.resume();
  }

  async function copy(to: Mode): Promise<void> {
    const result = await runBackfill(scope, { from: authorityOf(to), onBad: 'rollback' });
    expect(result).toMatchObject({ outcome: 'complete', bad: [] });
    const context = { ...operator, urls, env: process.env };
    const { path } = await createSnapshot(context, { dir: snapshots });
    await rm(path, { recursive: true });
  }

  const marks = async (): Promise<number> => (await stores[authorityOf(mode)].replica.countMarks()).count;

  const up = MODES.slice(1);
  const down = [...MODES].reverse().slice(1);
  const way = [...up, ...down, ...up, ...down];
  for (const to of way) await step(to);
  await load.pause();
  expect(clean).toEqual(way);
  expect(load.failures).toEqual([]);
  expect(load.written()).toBeGreaterThan(WRITES * way.length);
  expect(await load.lost()).toEqual([]);
});

interface Load {
  /** Resolves after so many more writes. */
  more(count: number): Promise<void>;
  /** Resolves when all that was asked for is answered. */
  pause(): Promise<void>;
  resume(): void;
  written(): number;
  readonly failures: readonly unknown[];
  /** What was answered, and does not hold any more. */
  lost(): Promise<readonly string[]>;
}

/** One writer for each instance, each with people of its own, looked at by both. */
function startLoad(repositories: readonly Repository[], legacy: readonly string[]): Load {
  const failures: unknown[] = [];
  const promises: { readonly what: string; holds(from: Repository): Promise<boolean> }[] = [];
  let going = new AbortController();
  let running: Promise<unknown> = Promise.resolve();
  let written = 0;
  let rounds = 0;

  async function sign(repository: Repository, round: number): Promise<void> {
    const now = new Date();
    const expiresAt = new Date(now.getTime() + 86_400_000);
    const { user, token, session } = newAccount(`live-${round}@x.org`);
    const times = { createdAt: now, expiresAt };
    await repository.createAccount({
      user: { ...user, createdAt: now, updatedAt: now },
      token: { ...token, ...times },
      session: { ...session, ...times, rotatedAt: now, idleExpiresAt: expiresAt },
    });
    promises.push({
      what: `the session of ${user.id}`,
      holds: async (from) => (await from.findSession(session.id))?.user?.id === user.id,
    });
    const [tokenId, userId] = [token.id, user.id];
    if (round % 3 === 0) {
      await repository.verifyEmail({ userId, tokenId, now });
      const holds = async (from: Repository) => (await from.findUser(userId))?.isVerified === true;
      promises.push({ what: `the verification of ${userId}`, holds });
    }
  }

  async function change(repository: Repository, round: number): Promise<void> {
    const userId = legacy[(round * 37) % legacy.length] ?? '';
    const before = await repository.findUser(userId);
    if ((await repository.endSessions({ userId, now: new Date() })) !== 'done' || before === null) return;
    const { sessionGeneration } = before;
    promises.push({
      what: `the end of the sessions of ${userId}`,
      holds: async (from) => ((await from.findUser(userId))?.sessionGeneration ?? 0) > sessionGeneration,
    });
  }

  async function write(repository: Repository): Promise<void> {
    const { signal } = going;
    while (!signal.aborted) {
      rounds += 1;
      const round = rounds;
      try {
        await (round % 2 === 0 ? sign(repository, round) : change(repository, round));
        written += 1;
      } catch (error) {
        failures.push(error);
      }
      // More than the mirror can follow would only close its gate.
      await sleep(PACE_MS);
    }
  }

  const resume = (): void => {
    going = new AbortController();
    running = Promise.all(repositories.map(write));
  };
  resume();
  return {
    failures,
    written: () => written,
    resume,
    async pause() {
      going.abort();
      await running;
    },
    async more(count) {
      const wanted = written + count;
      await eventually(() => written >= wanted, { timeoutMs: PATIENCE_MS });
    },
    async lost() {
      const held = await Promise.all(
        promises.map(async ({ what, holds }, index) => {
          const repository = repositories[index % repositories.length];
          return repository !== undefined && (await holds(repository)) ? [] : [what];
        }),
      );
      return held.flat();
    },
  };
}
