/** A snapshot taken under live writes: each store is consistent in itself. */
import { expect, test } from 'vitest';
import { createSnapshot } from '../../cutover/snapshot/create.ts';
import { restoreSnapshot } from '../../cutover/snapshot/restore.ts';
import { withoutUnknownSettings } from '../../db/postgres/snapshot/script.ts';
import { findTools } from '../../db/postgres/snapshot/tools.ts';
import { newAccount } from '../contract/fixtures.ts';
import { asSuperuser, createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { newMongoDatabase } from '../support/stores.ts';
import { openWorld, servers, withMongo } from './snapshot-support.ts';

const BEFORE = 60;
const WRITERS = 3;

/** By COPY on every server, and by pg_dump where one fits. */
const ways = (
  await Promise.all(
    servers().map(async (target) => {
      const fits = (await findTools(process.env, target.major)) !== null;
      return (fits ? ['copy', 'pg_dump'] : ['copy']).map((method) => [method, target.major, target] as const);
    }),
  )
).flat();

test.each(ways)('by %s, of PostgreSQL %i', { timeout: 120_000 }, async (method, _major, target) => {
  const env = method === 'copy' ? { PATH: '/nowhere' } : process.env;
  const world = await openWorld(target, 'dual-write', env);
  const accounts = [world.stores.mongo, world.stores.postgres].map((store) =>
    store.at({ epoch: 3, pending: false }),
  );
  const write = () => Promise.all(accounts.map((store) => store.createAccount(newAccount())));
  for (let count = 0; count < BEFORE; count += 10) await Promise.all(Array.from({ length: 10 }, write));

  const ended = new AbortController();
  let during = 0;
  async function writer(): Promise<void> {
    while (!ended.signal.aborted) {
      await write();
      during += 1;
    }
  }
  const writing = Promise.all(Array.from({ length: WRITERS }, writer));
  const { name, manifest } = await createSnapshot({ ...world.context, env }, world);
  ended.abort();
  await writing;
  expect(during).toBeGreaterThan(WRITERS);
  expect(manifest.stores.postgres).toMatchObject({ method, consistent: true });
  expect(manifest.stores.mongo?.consistent).toBe(manifest.stores.mongo?.inconsistentBecause === null);

  // An account is three rows of one transaction: all of them, or none.
  const database = newDatabaseName();
  const url = await createDatabase(target.url, database);
  try {
    const request = { ...world, name, into: 'postgres', url, replace: null } as const;
    await restoreSnapshot({ ...world.context, env }, request);
    const torn = await asSuperuser<{ n: number; users: number }>(
      url,
      `select (select count(*)::int from users) as users, count(*)::int as n from users
       full join sessions on sessions.user_id = users.id
       full join verification_tokens as token on token.user_id = coalesce(users.id, sessions.user_id)
       where users.id is null or sessions.id is null or token.id is null`,
    );
    expect(torn).toEqual([{ n: 0, users: expect.any(Number) }]);
    expect(torn[0]?.users).toBeGreaterThanOrEqual(BEFORE);
  } finally {
    await dropDatabase(target.url, database);
  }

  // There a user comes first, and what refers to it later: nothing in the dump refers to what is not.
  const into = newMongoDatabase();
  await restoreSnapshot(world.context, { ...world, name, into: 'mongo', url: into, replace: null });
  await withMongo(into, async (db) => {
    const users = new Set((await db.collection('users').distinct('_id')).map(String));
    expect(users.size).toBeGreaterThanOrEqual(BEFORE);
    for (const collection of ['sessions', 'verification_tokens']) {
      const references = (await db.collection(collection).distinct('userId')).map(String);
      expect(references.filter((id) => !users.has(id))).toEqual([]);
      expect(references.length).toBeGreaterThanOrEqual(BEFORE);
    }
  });
});

test('a script for an older server loses what only newer ones know, and nothing behind its head', async () => {
  const script = [
    '--',
    '\\restrict token',
    'SET statement_timeout = 0;',
    'SET transaction_timeout = 0;',
    "SELECT pg_catalog.set_config('search_path', '', false);",
    '',
    'COPY public.users (name) FROM stdin;',
    'SET transaction_timeout = 0;',
    'ü\\N',
    '\\.',
  ];
  const bytes = Buffer.from(`${script.join('\n')}\n`);
  async function* inPieces(size: number): AsyncGenerator<Uint8Array> {
    for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
  }
  for (const size of [1, 7, 1_000]) {
    const kept: Uint8Array[] = [];
    for await (const part of withoutUnknownSettings(inPieces(size), new Set(['statement_timeout'])))
      kept.push(part);
    expect(Buffer.concat(kept).toString().split('\n')).toEqual([
      ...script.slice(0, 3),
      ...script.slice(4),
      '',
    ]);
  }
});
