/** `npm run migrate` on a store that holds users: a snapshot, or the word that none is wanted, comes first. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, inject, it } from 'vitest';
import { verifySnapshot } from '../../cutover/snapshot/read.ts';
import { migrate, readMigrations } from '../../db/postgres/migrate.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { newAccount } from '../contract/fixtures.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { startInbox } from '../support/inbox.ts';
import { inherited } from '../support/inherited.ts';
import { withDatabase } from '../support/mongo.ts';
import { productionEnv } from '../support/service.ts';
import { newMongoDatabase } from '../support/stores.ts';
import { startFileOnTerminal } from './cli-program.ts';
import { newFolder } from './snapshot-support.ts';

const program = (name: string) => fileURLToPath(new URL(`../../src/${name}.ts`, import.meta.url));

const run = (env: Readonly<Record<string, string>>, ...args: readonly string[]) =>
  ended([program('migrate'), ...args], env);

async function ended(args: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, args, {
    env: { ...inherited(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: child.exitCode, out, err };
}

async function emptyPostgres(): Promise<string> {
  const [server] = inject('postgresServers');
  if (server === undefined) throw new Error('no PostgreSQL was started for this run');
  const name = newDatabaseName();
  afterAll(() => dropDatabase(server.url, name));
  return createDatabase(server.url, name);
}

/** As the version before the last migration has it, with a user in it. */
async function livePostgres(): Promise<string> {
  const url = await emptyPostgres();
  const tags = new Set((await readMigrations()).slice(0, -1).map(({ tag }) => tag));
  await migrate({ url, tags, connectTimeoutMs: 10_000, migrationTimeoutMs: 60_000 }, () => {});
  const store = await openPostgresStore({ url, timeoutMs: 10_000 });
  await store.at({ epoch: 1, pending: false }).createAccount(newAccount());
  await store.close();
  return url;
}

async function isMigrated(url: string): Promise<boolean> {
  const store = await openPostgresStore({ url, timeoutMs: 10_000 });
  try {
    return await store.isMigrated();
  } finally {
    await store.close();
  }
}

const REMOTE = 'postgres://auth@db.example/auth';
it.each([
  [{}, 'MONGO_URL, DATABASE_URL: both are missing'],
  [{ DATABASE_URL_FILE: '', MONGO_URL: '' }, 'MONGO_URL, DATABASE_URL: both are missing'],
  [{ DATABASE_URL_FILE: '/nowhere' }, 'DATABASE_URL_FILE: cannot be read (ENOENT)'],
  [
    { DATABASE_URL: REMOTE, DATABASE_URL_FILE: '/nowhere' },
    'DATABASE_URL: is set, and DATABASE_URL_FILE too',
  ],
  [
    { DATABASE_URL: REMOTE, NODE_ENV: 'production' },
    'DATABASE_URL: leads to another host without verified TLS',
  ],
])('refuses the configuration %j in one line', async (env, line) => {
  const { code, err } = await run(env);
  expect({ code, lines: err.trimEnd().split('\n') }).toEqual({
    code: 2,
    lines: [expect.stringContaining(line)],
  });
});

it('asks nothing of new, empty stores', { timeout: 240_000 }, async () => {
  const urls = { DATABASE_URL: await emptyPostgres(), MONGO_URL: newMongoDatabase() };
  const { code, out } = await run(urls);
  expect(out).toMatch(/postgres: schema is current\n(.|\n)*mongo: schema is current/);
  expect(code).toBe(0);
});

it('refuses to change a live one without a word, and takes a snapshot first', {
  timeout: 240_000,
}, async () => {
  const urls = { DATABASE_URL: await livePostgres(), MONGO_URL: newMongoDatabase() };
  await withDatabase(urls.MONGO_URL, (db) => db.collection('users').insertOne(legacyUser()));
  const refused = await run(urls);
  expect(refused).toMatchObject({ code: 3, out: '' });
  expect(refused.err).toMatch(/^refused: postgres and mongo .*--snapshot .*--no-snapshot/);
  expect(await isMigrated(urls.DATABASE_URL)).toBe(false);
  expect((await run(urls, '--snapshot', '--no-snapshot')).code).toBe(2);

  const dir = newFolder();
  const done = await run(urls, '--snapshot', '--dir', dir);
  expect(done).toMatchObject({ code: 0, err: expect.stringMatching(/^snapshot \S+: /) });
  const [name = ''] = readdirSync(dir);
  expect(await verifySnapshot(dir, name)).toMatchObject({ problems: [] });
  expect(await isMigrated(urls.DATABASE_URL)).toBe(true);
  expect((await run(urls)).code).toBe(0);
});

it('takes none when it is told so, and migrates nothing without an answer, or when the snapshot fails', {
  timeout: 240_000,
}, async () => {
  const urls = { DATABASE_URL: await livePostgres() };
  const asked = startFileOnTerminal(program('migrate'), [], urls);
  await asked.sees(/Take a snapshot first\?/);
  // No answer is no word.
  asked.type('\u0004');
  const { code, out } = await asked.ended;
  expect(out).toContain('refused: postgres holds users');
  expect(code).toBe(3);
  expect(await isMigrated(urls.DATABASE_URL)).toBe(false);

  const failed = await run(urls, '--snapshot', '--dir', '/dev/null/nowhere');
  expect(failed).toMatchObject({ code: 1, err: expect.stringMatching(/nothing was migrated/) });
  expect(await isMigrated(urls.DATABASE_URL)).toBe(false);
  expect((await run(urls, '--no-snapshot')).code).toBe(0);
  expect(await isMigrated(urls.DATABASE_URL)).toBe(true);
});

it('an instance in production changes no table under users', { timeout: 240_000 }, async () => {
  const url = await livePostgres();
  const inbox = await startInbox();
  const env = productionEnv({ DATABASE_URL: url, BACKEND_MODE: 'postgres-only' }, inbox);
  const { code, out, err } = await ended([program('server')], env);
  expect(code).not.toBe(0);
  expect(out + err).toMatch(/PostgreSQL holds users and its schema is behind; run `npm run migrate` first/);
  expect(await isMigrated(url)).toBe(false);
});
