/** Users whom an operator leaves behind: two of one address, and what PostgreSQL does not take. All the way up, and back. */
import { randomBytes } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { openBulk, parsePolicy, resolveQuarantine, runBackfill, verify } from '../../cutover/copy/index.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import { createFallback } from '../../cutover/fallback.ts';
import type { Mode } from '../../cutover/mode.ts';
import { move, setSetting } from '../../cutover/operator/index.ts';
import { MISMATCHES } from '../../cutover/shadow/outcomes.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import { decodeId } from '../../db/ids.ts';
import type { Store } from '../../db/port.ts';
import { SECOND, startApp } from '../support/app.ts';
import { calmDown } from '../support/calm.ts';
import { asSuperuser } from '../support/databases.ts';
import { newMongoDatabase, newPostgresDatabase } from '../support/stores.ts';
import { isAlive, login, newPassword, newPerson, type Person } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

const urls = { MONGO_URL: newMongoDatabase(), DATABASE_URL: await newPostgresDatabase() };
const AUTH_SECRETS = `2026-11:${randomBytes(32).toString('base64url')}`;
const app = await startApp('mongo-only', { env: { ...urls, AUTH_SECRETS } });
const bulk = openBulk({ mongoUrl: urls.MONGO_URL, postgresUrl: urls.DATABASE_URL });
afterAll(() => bulk.close());

const stores = { mongo: storeOf('mongo'), postgres: storeOf('postgres') };
const { cutover } = app.app;
const environment = systemEnvironment();
const operator = { stores, environment, telemetry: SILENT, report: () => {} };
const scope = { stores, ...bulk, environment, telemetry: SILENT, retentionMs: app.config.retentionMs };
const TIMED_OUT = new StoreUnavailable('postgres', 'unknown', 'timeout');
const PATIENT = { timeoutMs: 60_000 };
/** A name that the table refuses here. */
const REFUSED = 'Refused';

function storeOf(name: StoreName): Store {
  const store = app.app.stores.find((each) => each.name === name);
  if (store === undefined) throw new Error(`there is no ${name}`);
  return store;
}

async function go(to: Mode, direction: 'promote' | 'rollback' = 'promote'): Promise<void> {
  const force = { reason: 'a test' };
  const request = { to, direction, force, noForeignWriters: true, timeoutMs: 30_000 } as const;
  await eventually(async () => {
    const moved = await move(operator, request);
    expect(moved, JSON.stringify(moved)).toMatchObject({ kind: 'done' });
  }, PATIENT);
  await eventually(() => cutover.status().effective === to, PATIENT);
}

/** As somebody else leaves it, while nothing is mirrored. */
async function rewrite(id: string, fields: object): Promise<void> {
  const _id = decodeId(id);
  await bulk.mongo.collection('user').updateOne({ _id } as never, { $set: fields });
}

/** How many documents MongoDB has of them: users, and their sessions. */
async function documentsOf(...people: readonly Person[]): Promise<number> {
  const ids = { $in: people.map(({ id }) => decodeId(id)) };
  const users = await bulk.mongo.collection('user').countDocuments({ _id: ids } as never);
  expect(users).toBe(people.length);
  return users + (await bulk.mongo.collection('session').countDocuments({ userId: ids } as never));
}

/** Everything that was read has been compared, and everything that was written has come to its end. */
async function expectQuiet(authority: StoreName): Promise<void> {
  await eventually(async () => {
    await cutover.shadow.idle();
    for (const store of Object.values(stores))
      expect(await store.replica.countMarks()).toMatchObject({ count: 0 });
    const { poison, conflict, difference } = await stores[authority].books.countNotes();
    expect({ poison, conflict, difference }).toEqual({});
  }, PATIENT);
  const { outcomes } = cutover.status().shadow;
  expect(MISMATCHES.map((outcome) => outcomes[outcome])).toEqual([0, 0, 0]);
}

/** Comparisons are shed when there is too much to do, so one of these is asked for until it has counted. */
const expectIgnored = (above: number, { client }: Pick<Person, 'client'>) =>
  eventually(async () => {
    await isAlive(client);
    await cutover.shadow.idle();
    expect(cutover.status().shadow.outcomes.ignored).toBeGreaterThan(above);
  }, PATIENT);

const expectAlike = (excused: number) =>
  eventually(
    async () => expect(await verify(scope)).toMatchObject({ clean: true, differing: 0, lagging: 0, excused }),
    PATIENT,
  );

const trial = async ({ email }: Person, password: string): Promise<number> =>
  (await app.client().post('/auth/login', { email, password })).status;

/** Reads what both stores could answer, each of which is then compared. */
async function readAll(older: Person, newer: Person): Promise<void> {
  for (const password of [older.password, newer.password, newPassword()]) await trial(older, password);
  expect((await app.client().post('/auth/forgot-password', { email: older.email })).status).toBe(202);
  for (const { client } of [older, newer]) await isAlive(client);
}

test('they are served where MongoDB answers, are strangers where PostgreSQL does, and nothing waits for them', {
  timeout: 240_000,
}, async () => {
  await calmDown(app.app);
  for (const key of ['poll-ms', 'heartbeat-ms']) await setSetting(operator, key, '50');
  // However long the mirror takes, what is compared waits for it.
  await setSetting(operator, 'shadow-recheck-ms', '100,1000,30000');
  const older = await newPerson(app);
  app.clock.advance(SECOND);
  const newer = { ...(await newPerson(app)), email: older.email };
  const refused = await newPerson(app, { name: REFUSED });
  const early = await newPerson(app);
  app.clock.advance(SECOND);
  const late = { ...(await newPerson(app)), email: early.email };
  for (const { id, email } of [newer, late])
    await rewrite(id, { email, emailKey: false, emailKeyDuplicate: email });

  await asSuperuser(
    urls.DATABASE_URL,
    `alter table users add constraint users_no_refused check (name <> '${REFUSED}')`,
  );

  await go('dual-write');
  // So the mirror takes this one along before anybody has chosen.
  await login(app, early.email, early.password);
  await expectQuiet('mongo');
  const duplicates = parsePolicy({ default: 'newest' });
  const copied = await runBackfill(scope, { from: 'mongo', onBad: 'quarantine', duplicates });
  expect(copied).toMatchObject({ outcome: 'complete', counts: { bad: 1 } });
  const decision = { entity: 'user', verb: 'accept', reason: 'a test' } as const;
  expect(await resolveQuarantine(scope, { ...decision, id: refused.id })).toBe(true);
  const held = await bulk.postgres.query<{ id: string }>(
    `select record_id as id from copy_quarantine where entity = 'session' and state = 'held'`,
  );
  for (const { id } of held) await resolveQuarantine(scope, { ...decision, entity: 'session', id });

  const [first, second] = [
    await login(app, older.email, older.password),
    await login(app, refused.email, refused.password),
  ];
  await expectQuiet('mongo');
  await go('shadow-read');
  const changed = newPassword();
  const change = { currentPassword: older.password, newPassword: changed };
  expect((await first.client.post('/auth/change-password', change)).status).toBe(200);
  const settled = { ...older, password: changed, client: first.client };
  expect([await trial(older, changed), await trial(older, newer.password)]).toEqual([200, 401]);
  await readAll(settled, newer);
  await readAll({ ...refused, client: second.client }, newer);
  await expectIgnored(0, first);
  await expectQuiet('mongo');
  const behind = [older, refused, early];
  const before = await documentsOf(...behind);
  await expectAlike(before);

  await go('postgres-primary');
  const ignored = cutover.status().shadow.outcomes.ignored;
  expect([await trial(older, changed), await trial(refused, refused.password)]).toEqual([401, 401]);
  const third = await login(app, newer.email, newer.password);
  await login(app, late.email, late.password);
  expect([await isAlive(first.client), await isAlive(second.client)]).toEqual([false, false]);
  const moved = newPassword();
  const next = { currentPassword: newer.password, newPassword: moved };
  expect((await third.client.post('/auth/change-password', next)).status).toBe(200);
  await readAll(settled, newer);
  const successor = await newPerson(app, { email: refused.email });
  await expectIgnored(ignored, first);
  await expectQuiet('postgres');
  expect(await documentsOf(...behind)).toBe(before);
  expect(await stores.mongo.replica.asides({ limit: 1 })).toEqual([]);

  const bounds = { assuranceMs: 10_000, timeoutMs: 10_000 };
  const fallback = createFallback({ ...operator, ...bounds, member: cutover.member });
  const { ticket, settle } = await cutover.member.admit();
  const query = { userId: refused.id, now: app.clock.now() };
  const ask = () =>
    Promise.all([
      fallback.tryRead('findUser', [newer.id], ticket, TIMED_OUT),
      fallback.tryRead('findUserByEmail', [older.email], ticket, TIMED_OUT),
      fallback.tryRead('listSessions', [query], ticket, TIMED_OUT),
    ]);
  // Mails that go out are writes, too: nothing falls back meanwhile.
  await eventually(async () => expect(await ask()).toMatchObject([{ answer: { id: newer.id } }, null, null]));
  settle();
  fallback.stop();
  await expectAlike(before);

  await go('shadow-read', 'rollback');
  expect([await isAlive(first.client), await isAlive(second.client), await isAlive(third.client)]).toEqual([
    true,
    true,
    true,
  ]);
  await login(app, older.email, changed);
  // Who has the address in PostgreSQL by now needs it.
  await login(app, successor.email, successor.password);
  await expectQuiet('mongo');
});
