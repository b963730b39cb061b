/** `cutover snapshot …` as an operator runs it; and ended at the worst moment. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { readRestoreUrl } from '../../plugins/config/restore-url.ts';
import { createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { eventually } from '../support/wait.ts';
import { cutover, inside, json, start } from './cli-program.ts';
import { contentOfPostgres, newFolder, openWorld, PLANTED, servers } from './snapshot-support.ts';

const PLANTED_PASSWORD = 'planted-word-nobody-may-see';

test('create, list, verify, restore, clear', async () => {
  const world = await openWorld();
  const dir = ['--dir', world.dir];
  const asked = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    inside([...args, '--json'], async () => ({
      ...world,
      env: process.env,
      restoreUrl: async (into, given) => readRestoreUrl(env, into, given),
      configuredMode: null,
      close: async () => {},
    }));
  const created = await asked(['snapshot', 'create', ...dir]);
  const { name } = json('snapshotCreated', created);
  const listed = json('snapshots', await asked(['snapshot', 'list', ...dir]));
  expect(listed.snapshots).toMatchObject([{ name, stores: ['mongo', 'postgres'] }]);
  expect(json('snapshotVerified', await asked(['snapshot', 'verify', name, ...dir]))).toMatchObject({
    problems: [],
  });

  const database = newDatabaseName();
  const main = servers()[0]?.url ?? '';
  const url = await createDatabase(main, database);
  const restore = ['snapshot', 'restore', name, '--into', 'postgres', ...dir];
  const restored = await asked(restore, { RESTORE_URL: url });
  expect(json('snapshotRestored', restored)).toMatchObject({ name, into: 'postgres', database });
  expect(await contentOfPostgres(url)).toHaveProperty('users');
  const again = await asked(restore, { RESTORE_URL: url });
  expect(json('failure', again)).toMatchObject({ outcome: 'refused', exitCode: 3 });
  expect(json('log', await asked(['log', '--limit', '1'])).events).toMatchObject([
    {
      kind: 'refused',
      details: { verb: 'snapshot restore', reason: `not-empty: the database ${database} is not empty` },
    },
  ]);
  const replacing = [...restore, '--replace', '--confirm', database];
  expect(json('snapshotRestored', await asked(replacing, { RESTORE_URL: url }))).toMatchObject({ name });
  for (const { out, err } of [created, restored, again]) expect(out + err).not.toContain(PLANTED);

  const store = await openPostgresStore({ url });
  onTestFinished(async () => {
    await store.close();
    await dropDatabase(main, database);
  });
  const alone = (args: readonly string[]) =>
    inside([...args, '--json'], async () => ({
      stores: { mongo: null, postgres: store },
      configuredMode: null,
      close: async () => {},
    }));
  expect(json('failure', await alone(['status']))).toMatchObject({
    outcome: 'refused',
    error: { remedy: 'run `cutover snapshot clear`' },
  });
  expect(json('snapshotCleared', await alone(['snapshot', 'clear']))).toMatchObject({
    store: 'postgres',
    mode: 'postgres-only',
    epoch: 4,
  });
  expect(json('status', await alone(['status']))).toMatchObject({ mode: 'postgres-only' });
});

test('a folder that was named and is not there is no list of none', async () => {
  const missing = await inside(['snapshot', 'list', '--dir', '/nonexistent', '--json']);
  expect(json('failure', missing)).toMatchObject({
    outcome: 'refused',
    error: { message: 'there is no folder /nonexistent' },
  });
});

test('a folder that cannot be written is named, and what to do', async () => {
  const world = await openWorld();
  const dir = '/dev/null/snapshots';
  const opened = async () => ({ ...world, env: process.env, configuredMode: null, close: async () => {} });
  const refused = await inside(['snapshot', 'create', '--dir', dir, '--json'], opened);
  expect(json('failure', refused)).toMatchObject({
    outcome: 'aborted',
    exitCode: 4,
    error: {
      message: `the folder of the snapshots, ${dir}, cannot be written (ENOTDIR)`,
      remedy: 'name another with --dir',
    },
  });
});

describe('ended in the middle', { timeout: 90_000 }, () => {
  test.each(['SIGKILL', 'SIGINT'] as const)(
    'by %s, it leaves nothing that lists as whole',
    async (signal) => {
      const world = await openWorld();
      const env = { MONGO_URL: world.urls.mongo, DATABASE_URL: world.urls.postgres, STORE_TIMEOUT: '10s' };
      // Whoever holds this lock keeps PostgreSQL's part waiting: MongoDB's is written by then.
      const holder = new pg.Client({ connectionString: world.urls.postgres });
      await holder.connect();
      try {
        await holder.query('begin; lock table sessions in access exclusive mode');
        const running = start(['snapshot', 'create', '--dir', world.dir], env);
        await eventually(
          () =>
            expect(readdirSync(world.dir, { recursive: true }).join()).toMatch(/cutover_control\.metadata/),
          {
            timeoutMs: 60_000,
          },
        );
        running.kill(signal);
        const { code } = await running.ended;
        expect(code).not.toBe(0);
      } finally {
        await holder.end();
      }
      const { snapshots, unfinished } = json(
        'snapshots',
        await cutover(['snapshot', 'list', '--dir', world.dir, '--json']),
      );
      expect(snapshots).toEqual([]);
      expect(unfinished).toHaveLength(signal === 'SIGKILL' ? 1 : 0);
    },
  );
});

describe('usage', () => {
  const nowhere = { MONGO_URL: 'mongodb://127.0.0.1:9/auth', STORE_TIMEOUT: '300ms' };
  const dir = newFolder();

  test.each([
    [['snapshot', 'verify']],
    [['snapshot', 'restore', 'x']],
    [['snapshot', 'restore', 'x', '--into', 'mysql', 'mysql://x']],
    [['snapshot', 'restore', 'x', '--into', 'mongo', `postgres://u:${PLANTED_PASSWORD}@127.0.0.1:9/x`]],
    [
      [
        'snapshot',
        'restore',
        'x',
        '--into',
        'mongo',
        `mongodb://u:${PLANTED_PASSWORD}@127.0.0.1:9/x?journal=false`,
      ],
    ],
    [['snapshot', 'restore', 'x', '--into', 'postgres']],
    [['snapshot', 'restore', 'x', '--into', 'postgres', `postgres://u:${PLANTED_PASSWORD}@h:x/db`]],
    [['snapshot', 'restore', 'x', '--into', 'mongo', `mongodb://u:${PLANTED_PASSWORD}@h/db?tls=maybe`]],
    [['snapshot', 'clear', '--store', 'both']],
  ])('%j ends with 2, and shows no password', async (args) => {
    const { code, out, err } = await inside([...args, '--json']);
    expect(code).toBe(2);
    expect(out + err).not.toContain(PLANTED_PASSWORD);
  });

  test.each(['nothing-there', '../elsewhere', '.hidden'])('no snapshot called %s', async (name) => {
    const ended = await inside(['snapshot', 'verify', name, '--dir', join(dir, 'none'), '--json']);
    expect(json('failure', ended)).toMatchObject({ outcome: 'refused' });
  });

  test('a store out of reach ends with 5, and leaves no folder', async () => {
    const url = `mongodb://operator:${PLANTED_PASSWORD}@127.0.0.1:9/auth`;
    const ended = await cutover(['snapshot', 'create', '--dir', dir, '--json'], {
      ...nowhere,
      MONGO_URL: url,
    });
    expect(json('failure', ended)).toMatchObject({ outcome: 'unreachable', exitCode: 5 });
    expect(ended.out + ended.err).not.toContain(PLANTED_PASSWORD);
    expect(readdirSync(dir)).toEqual([]);
  });
});
