/** The service as members of one system: what it starts in, what it says, and what it does when it cannot know. */
import { hostname } from 'node:os';
import mongoose from 'mongoose';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readControl, readLeases } from '../../cutover/control.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Repository } from '../../db/port.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { databaseUrl } from '../support/databases.ts';
import { openEngine } from '../support/engine.ts';
import { freezeMongo, freezePostgres } from '../support/faults.ts';
import { createLagProxy } from '../support/lag-proxy.ts';
import { createMemoryStore } from '../support/memory/store.ts';
import { newMongoDatabase, newPostgresDatabase, ownMongo, ownPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { carries } from '../support/wire.ts';
import { moveMode, setIn } from './support/control.ts';

const onEnd = (close: () => Promise<void>) => onTestFinished(close);

const inMemory = () => ({
  mongo: createMemoryStore({ name: 'mongo' }),
  postgres: createMemoryStore({ name: 'postgres' }),
});

async function readiness(app: TestApp) {
  const answer = await app.client().get('/readyz');
  return { code: answer.status, ...JSON.parse(answer.text) };
}

test('a record is followed with one log line about the configuration', async () => {
  const { engine, stores } = await openEngine('dual-write', { stores: inMemory() });
  const lines: unknown[] = [];
  const telemetry = { ...SILENT, warn: (fields: unknown, message: string) => lines.push([fields, message]) };
  const { engine: second } = await openEngine('mongo-only', { stores, telemetry });
  onTestFinished(async () => {
    await Promise.all([engine.stop(0), second.stop(0)]);
  });
  expect(lines).toEqual([
    [
      { configured: 'mongo-only', effective: 'dual-write' },
      'BACKEND_MODE=mongo-only is ignored: the system is in dual-write',
    ],
  ]);
});

test('an instance without the mirror of its mode serves, and says that others have to mirror', async () => {
  const { engine, stores } = await openEngine('dual-write', { stores: inMemory() });
  const lines: string[] = [];
  const telemetry = { ...SILENT, warn: (_: unknown, message: string) => lines.push(message) };
  const alone = { mongo: stores.mongo, postgres: null };
  const { engine: second } = await openEngine('dual-write', { stores: alone, telemetry });
  onTestFinished(async () => {
    await Promise.all([engine.stop(0), second.stop(0)]);
  });
  expect(second.status().standing).toBe('serving');
  expect(lines).toEqual(['dual-write mirrors to a store that is not configured here: others have to do it']);
});

test('a stale manifest moves nothing: the recorded mode counts', async () => {
  const first = await startApp('dual-write', { onEnd });
  const other = await startApp('dual-write', {
    onEnd,
    beside: first,
    env: { BACKEND_MODE: 'postgres-only', LOG_LEVEL: 'silent' },
  });
  expect(await readiness(other)).toMatchObject({
    code: 200,
    mode: { configured: 'postgres-only', effective: 'dual-write' },
  });
  const { mongo } = first.app;
  if (mongo === null) throw new Error('dual-write has a MongoDB');
  expect(await readControl(mongo)).toMatchObject({ mode: 'dual-write', epoch: 1 });
  // Which of them is which machine's is told to whoever looks.
  const rows = await readLeases(mongo);
  expect(rows.map(({ facts }) => facts?.host)).toEqual([hostname(), hostname()]);
});

test.each(['postgres-only', 'postgres-primary'] as const)(
  'a new system may not begin in %s beside a MongoDB that holds users',
  async (mode) => {
    const MONGO_URL = newMongoDatabase(undefined, onTestFinished);
    const client = new mongoose.mongo.MongoClient(MONGO_URL);
    await client.db().collection('users').insertOne({ email: 'jo@example.org' });
    await client.close();
    const env = { MONGO_URL, DATABASE_URL: await newPostgresDatabase(undefined, onTestFinished) };
    await expect(startApp(mode, { onEnd, env })).rejects.toThrow('MongoDB holds users');
  },
);

test('nor does one start between the stores of two systems, whichever mode it says', async () => {
  const MONGO_URL = newMongoDatabase(undefined, onTestFinished);
  const DATABASE_URL = await newPostgresDatabase(undefined, onTestFinished);
  await startApp('mongo-only', { onEnd, env: { MONGO_URL } });
  await startApp('postgres-only', { onEnd, env: { DATABASE_URL } });
  const env = { MONGO_URL, DATABASE_URL };
  await expect(startApp('mongo-only', { onEnd, env })).rejects.toThrow(
    /\nMongoDB and PostgreSQL hold .* two systems: MONGO_URL or DATABASE_URL leads/,
  );
});

describe('a flip without a change of authority', () => {
  test('is followed by every instance, and disturbs nothing', async () => {
    const first = await startApp('dual-write', { onEnd, pace: 'usual' });
    const second = await startApp('dual-write', { onEnd, beside: first });
    const { mongo } = first.app;
    if (mongo === null) throw new Error('dual-write has a MongoDB');
    await moveMode(mongo, 'shadow-read');
    for (const app of [first, second]) {
      await eventually(async () =>
        expect(await readiness(app)).toMatchObject({
          code: 200,
          mode: { configured: 'dual-write', effective: 'shadow-read' },
        }),
      );
    }
  });
});

describe('an instance that cannot know its mode', () => {
  test('serves nothing, says so, and begins as soon as it can', async () => {
    const url = await newPostgresDatabase(undefined, onTestFinished);
    const proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
    onTestFinished(() => proxy.close());
    proxy.cut();
    const app = await startApp('postgres-only', {
      onEnd,
      env: { DATABASE_URL: proxy.through(url), STORE_TIMEOUT: '5s' },
    });
    expect(await readiness(app)).toMatchObject({
      code: 503,
      status: 'mode-unknown',
      mode: { effective: null },
    });
    const refused = await app.client().get('/auth/me');
    expect(refused.status).toBe(401);
    const error = await read(app.app.repository).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoreUnavailable);
    expect(error).toMatchObject({ outcome: 'none', reason: 'no-record' });
    proxy.heal();
    await eventually(async () => expect(await readiness(app)).toMatchObject({ code: 200 }));
    expect(await read(app.app.repository)).toBeNull();
  });

  test('because its record is damaged: listens, names the store, and begins as soon as it is mended', async () => {
    const MONGO_URL = newMongoDatabase(undefined, onTestFinished);
    const before = await startApp('mongo-only', { onEnd, env: { MONGO_URL } });
    await before.app.close();
    const client = new mongoose.mongo.MongoClient(MONGO_URL);
    onTestFinished(() => client.close());
    const records = client.db().collection('cutover_control');
    const body = (await records.findOne())?.['body'];
    await records.updateOne({}, { $set: { body: 'not json' } });
    const app = await startApp('mongo-only', { onEnd, env: { MONGO_URL } });
    expect(await readiness(app)).toMatchObject({
      code: 503,
      status: 'mode-unknown',
      problem: expect.stringMatching(/the control record of MongoDB .* is damaged/),
    });
    await records.updateOne({}, { $set: { body } });
    await eventually(async () => expect(await readiness(app)).toMatchObject({ code: 200 }));
  });
});

describe.each([
  { mode: 'dual-write', start: ownPostgres, variable: 'DATABASE_URL', freeze: freezePostgres },
  { mode: 'postgres-primary', start: ownMongo, variable: 'MONGO_URL', freeze: freezeMongo },
] as const)('in $mode', async ({ mode, start, variable, freeze }) => {
  const server = await start();
  const stores = { MONGO_URL: newMongoDatabase(), DATABASE_URL: await newPostgresDatabase() };
  const url = databaseUrl(server.url, 'postgres');
  // Longer than the test may take: whoever waits for the frozen store is not seen again.
  const app = await startApp(mode, { env: { ...stores, [variable]: url, STORE_TIMEOUT: '60s' } });

  test('a store that is not the authority and frozen is told as down, and not waited for', async () => {
    const name = variable === 'MONGO_URL' ? 'mongo' : 'postgres';
    const frozen = await freeze(server);
    try {
      const told = await readiness(app);
      expect(told).toMatchObject({ code: 200, status: 'ready' });
      expect(told.stores).toContainEqual({ name, role: 'other', up: false });
    } finally {
      frozen.thaw();
    }
  });
});

describe('a lease that lapses', () => {
  test('ends what was in flight without an answer, and is never revived', async () => {
    const url = await newPostgresDatabase(undefined, onTestFinished);
    const proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
    onTestFinished(() => proxy.close());
    const app = await startApp('postgres-only', {
      onEnd,
      env: { DATABASE_URL: proxy.through(url), STORE_TIMEOUT: '20s' },
    });
    const { postgres } = app.app;
    if (postgres === null) throw new Error('postgres-only has a PostgreSQL');
    await setIn(postgres, 'heartbeat-ms', 50);
    await setIn(postgres, 'lease-ms', 400);
    await eventually(() => app.app.cutover.member.settings()['lease-ms'] === 400);
    await eventually(() => app.app.cutover.member.state().lease?.leaseMs === 400);
    // It is on its way under a lease before nothing is answered any more: such a lease may have lapsed by then.
    const inFlight = proxy.holdNext(carries(USER_ID));
    const held = read(app.app.repository).catch((thrown: unknown) => thrown);
    expect(await inFlight).toBe(true);
    proxy.freeze();
    await eventually(() => app.app.cutover.status().standing === 'no-lease');
    proxy.heal();
    expect(await held).toMatchObject({ name: 'StoreUnavailable', reason: 'lease-lost' });
    // A busy machine may lose the next one, too.
    await eventually(async () => expect(await read(app.app.repository)).toBeNull());
  });
});

const USER_ID = '0123456789abcdef01234567';
const read = (repository: Repository) => repository.findUser(USER_ID);
