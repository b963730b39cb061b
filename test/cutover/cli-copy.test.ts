/** The verbs on the copy as an operator runs them: legacy documents, one of them bad, under a running instance. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mongoose from 'mongoose';
import { afterAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { PARTS } from '../../cutover/cli/schemas.ts';
import { openBulk } from '../../cutover/copy/index.ts';
import { STORES, type StoreName } from '../../db/errors.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { asSuperuser } from '../support/databases.ts';
import { openEngine } from '../support/engine.ts';
import { type OpenedStore, openMongo, openPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { cutover, type Ended, inside, json, start, startOnTerminal } from './cli-program.ts';

const PLANTED = 'planted-person-nobody-may-see';
/** For tests of many processes, on a machine that has other work. */
const LONG = { timeout: 240_000 };

async function newSystem(documents: readonly object[]) {
  const [mongo, postgres] = await Promise.all([openMongo(), openPostgres()]);
  const client = await mongoose.mongo.MongoClient.connect(mongo.url);
  const users = client.db().collection('users');
  await users.insertMany([...documents]);
  const stores = { mongo: mongo.store, postgres: postgres.store };
  const { engine } = await openEngine('dual-write', { stores });
  const dir = mkdtempSync(join(tmpdir(), 'cli-copy-test-'));
  afterAll(async () => {
    await Promise.all([engine.stop(0), client.close()]);
    rmSync(dir, { recursive: true });
  });
  const env = { MONGO_URL: mongo.url, DATABASE_URL: postgres.url, STORE_TIMEOUT: '10s' };
  const urls = { mongo: mongo.url, postgres: postgres.url };
  /** For what needs no process of its own. */
  const asText = (...args: readonly string[]) =>
    inside(args, async () => ({
      stores,
      urls,
      env: process.env,
      configuredMode: null,
      close: async () => {},
    }));
  const asked = (...args: readonly string[]) => asText(...args, '--json');
  const rows = (text: string) => asSuperuser<Record<string, unknown>>(postgres.url, text);
  return { users, stores, urls, env, dir, asked, asText, rows };
}

/** Every line of standard error is progress, of its schema. */
function progressOf({ err }: Ended) {
  const lines = err.split('\n').filter((line) => line !== '');
  return lines.map((line) => PARTS.progress.parse(JSON.parse(line)));
}

test('from the first dry run to shadow-read', LONG, async () => {
  const bad = legacyUser({ email: [`${PLANTED}@x.org`] });
  const good = Array.from({ length: 5 }, () => legacyUser({ name: PLANTED }));
  const { users, stores, env, dir, asked, asText, rows } = await newSystem([bad, ...good]);
  const id = String(bad._id);
  const named = { collection: 'users', id, field: 'email', reason: 'not-a-scalar' };

  const dry = json('backfill', await asked('backfill', '--dry-run'));
  expect(dry).toMatchObject({ result: 'dry-run', exitCode: 1, bad: [named], snapshot: null });

  const homeless = json('failure', await asked('backfill', '--dir', '/dev/null/snapshots'));
  expect(homeless).toMatchObject({ outcome: 'aborted', exitCode: 4 });
  expect(homeless.error.message).toContain('/dev/null/snapshots');
  // Before the first range: it has not begun.
  expect(json('backfills', await asked('backfill', 'list')).runs).toMatchObject([{ run: dry.run }]);

  const refused = await asked('promote');
  expect(json('move', refused).failing).toMatchObject([
    { name: 'copy', remedy: expect.stringMatching(/cutover backfill$/) },
  ]);

  const first = await cutover(['backfill', '--dir', dir, '--json'], env);
  expect(json('backfill', first)).toMatchObject({
    outcome: 'difference',
    exitCode: 1,
    result: 'rolled-back',
    counts: { read: 6, bad: 1, inserted: 0 },
    bad: [named],
  });
  expect(progressOf(first).map(({ phase }) => phase)).toEqual(
    expect.arrayContaining(['copying', 'checking']),
  );
  expect(await rows('select id from users')).toEqual([]);
  expect(readdirSync(dir)).toEqual([]);
  const people = await asText('backfill', '--dry-run');
  expect(people).toMatchObject({ code: 1 });
  expect(people.out).toMatch(new RegExp(`bad: 1 document\\n +users +${id} +email +not-a-scalar`));

  const second = await asked('backfill', '--on-bad', 'quarantine', '--dir', dir);
  const { run, snapshot } = json('backfill', second);
  expect(json('backfill', second)).toMatchObject({
    result: 'complete',
    exitCode: 0,
    counts: { inserted: 5, quarantined: 1 },
  });
  expect(readdirSync(dir)).toEqual([snapshot]);
  expect(await rows('select id from users')).toHaveLength(5);

  expect(json('backfills', await asked('backfill', 'list')).runs[0]).toMatchObject({ run, state: 'done' });
  expect(json('backfillRun', await asked('backfill', 'show', run))).toMatchObject({
    run,
    undoable: 5,
    bad: [named],
  });
  expect(json('quarantine', await asked('quarantine', 'list'))).toMatchObject({
    exitCode: 1,
    documents: [{ collection: 'users', id, run, reasons: [{ field: 'email', reason: 'not-a-scalar' }] }],
  });
  expect(json('quarantineRetried', await asked('quarantine', 'retry', id))).toMatchObject({
    exitCode: 1,
    stillBad: [{ collection: 'users', id, fields: ['email'] }],
  });
  const accepted = await asked('quarantine', 'accept', `users/${id}`, '--reason', 'never signed in');
  expect(json('quarantineResolved', accepted)).toMatchObject({ outcome: 'done', id });
  expect(json('failure', await asked('quarantine', 'drop', id, '--reason', 'again'))).toMatchObject({
    outcome: 'refused',
  });
  const early = await asked('backfill', '--from', 'postgres', '--dir', dir);
  expect(json('failure', early)).toMatchObject({ outcome: 'refused' });
  // What was typed is not in the log, and what only shows leaves nothing there.
  const person = `${PLANTED}@x.org`;
  for (const verb of ['resume', 'show', 'rollback'])
    expect(json('failure', await asked('backfill', verb, person))).toMatchObject({ exitCode: 3 });
  const { events } = json('log', await asked('log', '--limit', '4'));
  expect(events.map(({ kind, details }) => [kind, details['verb'], details['reason']])).toEqual([
    ['refused', 'backfill rollback', 'no-run'],
    ['refused', 'backfill resume', 'no-run'],
    ['refused', 'backfill', expect.stringContaining('postgres is not the authority')],
    ['refused', 'quarantine drop', 'not-held'],
  ]);
  expect(json('quarantine', await asked('quarantine', 'list'))).toMatchObject({ exitCode: 0, documents: [] });

  expect(json('verify', await asked('verify'))).toMatchObject({ clean: true, exitCode: 0, excused: 1 });

  const [changed, lost] = good.map(({ _id }) => String(_id));
  await rows(`update users set name = 'other' where id = '${changed}' returning id`);
  await rows(`delete from users where id = '${lost}' returning id`);
  const verified = await asked('verify', '--jobs', '1');
  expect(json('verify', verified)).toMatchObject({
    clean: false,
    exitCode: 1,
    differing: 2,
    differences: [
      { collection: 'users', id: changed, kind: 'differs', fields: ['name'] },
      { collection: 'users', id: lost, kind: 'missing-in-mirror', fields: [] },
    ],
  });
  expect(json('repair', await asked('repair', '--dry-run'))).toMatchObject({
    exitCode: 1,
    found: 2,
    touched: 0,
  });
  expect(json('repair', await asked('repair'))).toMatchObject({ exitCode: 0, found: 2, touched: 2 });
  await eventually(async () => (await stores.mongo.replica.countMarks()).count === 0);
  expect(json('verify', await asked('verify', '--full'))).toMatchObject({ clean: true, exitCode: 0 });

  expect(json('move', await asked('promote'))).toMatchObject({
    outcome: 'done',
    after: { mode: 'shadow-read' },
  });
  expect(await users.countDocuments()).toBe(6);
  for (const { out, err } of [first, people, second, verified]) expect(out + err).not.toContain(PLANTED);
});

test('a run undone; and one stopped, helped by a worker, and gone on with', LONG, async () => {
  const documents = Array.from({ length: 300 }, () => legacyUser());
  const { urls, env, asked, rows } = await newSystem(documents);
  const { run } = json('backfill', await asked('backfill', '--no-snapshot'));
  expect(json('backfillUndone', await asked('backfill', 'rollback', run))).toMatchObject({
    removed: 300,
    spared: 0,
  });
  expect(await rows('select id from users')).toEqual([]);
  expect(json('failure', await asked('backfill', 'rollback', run))).toMatchObject({ outcome: 'refused' });
  expect(json('failure', await asked('backfill', '--from', 'postgres'))).toMatchObject({
    outcome: 'refused',
    exitCode: 3,
  });
  expect(json('failure', await asked('backfill', 'show', 'nothing'))).toMatchObject({ outcome: 'refused' });

  const slow = startOnTerminal(['backfill', '--no-snapshot', '--rate', '10', '--jobs', '1'], env);
  await slow.sees(/copying +\[[#·]+\] +\d+ % {2}\d+ of 300 {2}\d+\/s/);
  slow.type('\u0003');
  const { code, out } = await slow.ended;
  expect(code).toBe(4);
  const stopped = /resume run (\w+)/.exec(out)?.[1] ?? '';
  expect(json('failure', await asked('backfill'))).toMatchObject({ outcome: 'refused' });

  const bulk = openBulk({ mongoUrl: urls.mongo, postgresUrl: urls.postgres });
  const open = () => bulk.postgres.query("select seq from copy_ranges where state = 'open'");
  expect(await open()).not.toEqual([]);
  const worker = start(['worker', '--json'], env);
  await eventually(async () => (await open()).length === 0, { timeoutMs: 60_000 });
  await bulk.close();
  worker.kill('SIGTERM');
  const helped = await worker.ended;
  expect(json('worker', helped)).toMatchObject({ outcome: 'done' });
  expect(progressOf(helped)).toContainEqual(expect.objectContaining({ run: stopped, phase: 'copying' }));

  const resume = ['backfill', 'resume', stopped, '--dir', '/dev/null/snapshots'];
  expect(json('failure', await asked(...resume))).toMatchObject({ exitCode: 4 });
  // As one that was killed in its merge, for which the snapshot has been taken.
  await rows(`update copy_runs set state = 'merging' where id = '${stopped}' returning id`);
  const resumed = json('backfill', await asked(...resume));
  expect(resumed).toMatchObject({ run: stopped, result: 'complete', counts: { inserted: 300 } });
});

test('a unique index that is lost stands in the way of no verb that finds and mends why', LONG, async () => {
  const { asked, rows, users } = await newSystem([legacyUser()]);
  expect((await asked('backfill', '--no-snapshot')).code).toBe(0);
  await rows('drop index users_email_key_unique');
  await rows(`insert into users select (jsonb_populate_record(u, '{"id": "twin"}')).* from users as u`);
  const found = json('verify', await asked('verify'));
  expect(found).toMatchObject({ clean: false, differing: 1 });
  expect(json('repair', await asked('repair'))).toMatchObject({ movedAside: 1 });
  expect(json('verify', await asked('verify'))).toMatchObject({ clean: true });
  expect(await rows('select id from users')).toEqual([{ id: String((await users.findOne({}))?._id) }]);
});

test('before any migration each verb on the copy is refused, with the remedy', LONG, async () => {
  const [server] = inject('postgresServers');
  if (server === undefined) throw new Error('no PostgreSQL was started for this run');
  const empty = { ...server, template: 'template0' };
  const [mongo, postgres] = await Promise.all([openMongo(), openPostgres(empty)]);
  const program = async () => ({
    stores: { mongo: mongo.store, postgres: postgres.store },
    urls: { mongo: mongo.url, postgres: postgres.url },
    env: process.env,
    configuredMode: null,
    close: async () => {},
  });
  const run = 'a0000000-0000-4000-8000-000000000000';
  const words = [
    ['backfill'],
    ['backfill', '--dry-run'],
    ['backfill', 'list'],
    ['backfill', 'show', run],
    ['backfill', 'resume', run],
    ['backfill', 'rollback', run],
    ['verify'],
    ['repair'],
    ['quarantine', 'list'],
    ['quarantine', 'retry', run],
    ['worker'],
  ];
  for (const args of words) {
    const failure = json('failure', await inside([...args, '--json'], program));
    expect(failure, args.join(' ')).toMatchObject({ outcome: 'refused', exitCode: 3 });
    expect(failure.error.remedy, args.join(' ')).toMatch(/npm run migrate/);
  }
});

describe('usage', () => {
  test.each([
    [['backfill', '--from', 'mysql'], /--from must be one of mongo, postgres/],
    [['backfill', '--on-bad', 'ignore'], /--on-bad must be/],
    [['backfill', '--duplicates', 'oldest'], /--duplicates must be/],
    [['backfill', '--jobs', '65'], /--jobs must be at most 64/],
    [['backfill', 'show'], /usage: cutover backfill show RUN/],
    [['verify', '--full', '--sample', '0.1'], /only one of/],
    [['verify', '--since', 'yesterday'], /--since must be/],
    [['verify', '--sample', '2'], /--sample must be/],
    [['quarantine', 'accept', 'users/x'], /--reason R is needed/],
    [['quarantine'], /did you mean: quarantine list/],
    [['verify'], /_URL: is missing/],
  ])('%j ends with 2', async (args, message) => {
    expect(await inside(args)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) });
  });

  test.each(STORES)('%s out of reach ends with 5', LONG, async (name) => {
    const [mongo, postgres] = await Promise.all([
      name === 'mongo' ? openNowhere(name) : openMongo(onTestFinished),
      name === 'postgres' ? openNowhere(name) : openPostgres(undefined, onTestFinished),
    ]);
    const program = async () => ({
      stores: { mongo: mongo.store, postgres: postgres.store },
      urls: { mongo: mongo.url, postgres: postgres.url },
      configuredMode: null,
      close: async () => {},
    });
    const ended = await inside(['verify', '--json'], program);
    expect(json('failure', ended)).toMatchObject({ outcome: 'unreachable', exitCode: 5 });
  });

  async function openNowhere(name: StoreName): Promise<OpenedStore> {
    const url = { mongo: 'mongodb://127.0.0.1:9/auth', postgres: 'postgres://127.0.0.1:9/auth' }[name];
    const open = { mongo: openMongoStore, postgres: openPostgresStore }[name];
    const store = await open({ url, timeoutMs: 500 });
    onTestFinished(() => store.close());
    return { store, url };
  }
});
