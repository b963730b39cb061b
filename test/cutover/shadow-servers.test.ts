/** Comparisons of real stores: planted differences are found, ordinary races are not taken for any. */
import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { type Environment, systemEnvironment } from '../../cutover/environment.ts';
import type { Mode } from '../../cutover/mode.ts';
import { NOTES } from '../../cutover/notes.ts';
import { createShadow, type Shadow } from '../../cutover/shadow/shadow.ts';
import { sumWindow } from '../../cutover/shadow/window.ts';
import type { Repository, Store } from '../../db/port.ts';
import { fakeHash, HOUR_MS, later, NOW, parallel, signUp } from '../contract/fixtures.ts';
import { openMongo, openPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import {
  DIGEST_KEY,
  manualClock,
  mirrorOnce,
  RETENTION_MS,
  recordTelemetry,
  testMember,
} from './support/shadow-world.ts';

const mongo = await openMongo();
const postgres = await openPostgres();
const system = systemEnvironment(() => NOW);
const started: Shadow[] = [];

afterEach(async () => {
  for (const shadow of started.splice(0)) await shadow.stop();
});

function begin(mode: Mode, recheckMs: readonly number[], environment: Environment = system) {
  const member = testMember(mode);
  const recorded = recordTelemetry();
  const shadow = createShadow({
    stores: { mongo: mongo.store, postgres: postgres.store },
    environment,
    telemetry: recorded.telemetry,
    member,
    digestKey: DIGEST_KEY,
    retentionMs: RETENTION_MS,
    recheckMs,
    // A busy machine is no store in trouble.
    timeoutMs: HOUR_MS,
  });
  shadow.start();
  started.push(shadow);
  const authority: Store = member.ticket().store === 'mongo' ? mongo.store : postgres.store;
  const other = authority === mongo.store ? postgres.store : mongo.store;
  const repository = authority.at({ epoch: 1, pending: true });
  const mirror = () => mirrorOnce(authority, other, 1);
  const offerSession = async (id: string): Promise<void> => {
    shadow.offer('findSession', [id], await repository.findSession(id), member.ticket());
  };
  return { member, recorded, shadow, authority, other, repository, mirror, offerSession };
}

test.each<Mode>(['shadow-read', 'postgres-primary'])(
  'all reads of both stores are alike, in %s',
  async (mode) => {
    const { shadow, repository, mirror, member } = begin(mode, []);
    const { user, session, token } = await signUp(repository);
    await mirror();
    const ticket = member.ticket();
    const presented = { clear: 'unused', hash: token.tokenHash };
    const list = { userId: user.id, now: NOW };
    const email = user.email ?? '';
    shadow.offer('findUser', [user.id], await repository.findUser(user.id), ticket);
    shadow.offer('findUserByEmail', [email], await repository.findUserByEmail(email), ticket);
    shadow.offer('findSession', [session.id], await repository.findSession(session.id), ticket);
    shadow.offer('listSessions', [list], await repository.listSessions(list), ticket);
    shadow.offer(
      'findVerificationToken',
      [presented],
      await repository.findVerificationToken(presented),
      ticket,
    );
    await shadow.idle();
    expect(shadow.stats().outcomes).toMatchObject({ match: 5, mismatch: 0, error: 0, lagging: 0 });
  },
);

test('a character changed in PostgreSQL under an equal stamp is found by its field, noted, and healed', async () => {
  const { shadow, repository, mirror, member, authority, other } = begin('shadow-read', [20, 20, 20]);
  const { user } = await signUp(repository, { name: 'Ada' });
  await mirror();
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  await client.query("update users set name = 'Adb' where id = $1", [user.id]);
  await client.end();

  shadow.offer('findUser', [user.id], await repository.findUser(user.id), member.ticket());
  await eventually(() => shadow.stats().outcomes.mismatch === 1);
  await shadow.idle();
  const notes = await authority.books.notes(NOTES.difference, { limit: 10 });
  expect(notes.map(({ key }) => key)).toEqual([`user/${user.id}`]);
  expect(notes[0]?.body).toMatchObject({ fields: [{ field: 'name' }] });
  expect(JSON.stringify(notes)).not.toMatch(/Ada|Adb/);

  await mirror();
  const { found } = await other.replica.read('user', [user.id]);
  expect(found.get(user.id)?.record).toMatchObject({ name: 'Ada', stamp: { epoch: 1, version: 2 } });
  shadow.offer('findUser', [user.id], await repository.findUser(user.id), member.ticket());
  await shadow.idle();
  expect(await authority.books.notes(NOTES.difference, { limit: 10 })).toEqual([]);
});

test('a session that PostgreSQL alone holds is moved aside there', async () => {
  const { shadow, repository, mirror, other, offerSession } = begin('shadow-read', [5, 5, 5]);
  const { user, session } = await signUp(repository);
  await mirror();
  const extra = { ...session, id: 'f'.repeat(24), tokenHash: 'e'.repeat(64) };
  const record = { ...extra, stamp: { epoch: 1, version: 1 } };
  await other.replica.apply('session', [record], { epoch: 1, expiredBefore: new Date(0) });
  await offerSession(extra.id);
  await shadow.idle();
  expect(shadow.stats().outcomes).toMatchObject({ 'missing-in-authority': 1 });
  expect((await other.replica.read('session', [extra.id, session.id])).found.size).toBe(1);
  expect((await other.replica.read('user', [user.id])).found.size).toBe(1);
});

test.each<Mode>(['shadow-read', 'postgres-primary'])(
  'sessions that rotate all the time, behind a slow mirror, are never a mismatch, in %s',
  async (mode) => {
    const clock = manualClock();
    const { shadow, repository, mirror, authority, offerSession } = begin(
      mode,
      [20, 60, 150],
      clock.environment,
    );
    const accounts = await parallel(4, () => signUp(repository));
    await mirror();
    // One is certain to lag: it is mirrored after its comparison.
    const { session: late } = await signUp(repository);
    await offerSession(late.id);
    await clock.advance(60);
    await eventually(() => shadow.stats().outcomes.lagging > 0);
    let done = false;
    // Time passes by the mirror's passes, so that it comes as often between two looks on a slow machine as on a fast one.
    const mirroring = (async () => {
      while (!done) {
        await mirror();
        await clock.advance(40);
      }
    })();
    await Promise.all(accounts.map(({ session }) => rotate(repository, session, 30, offerSession)));
    await shadow.idle();
    done = true;
    await mirroring;
    const { outcomes } = shadow.stats();
    expect(outcomes.lagging).toBeGreaterThan(0);
    expect(outcomes.match).toBeGreaterThan(0);
    expect(outcomes).toMatchObject({
      mismatch: 0,
      'missing-in-mirror': 0,
      'missing-in-authority': 0,
      error: 0,
    });
    expect(await authority.books.notes(NOTES.difference, { limit: 10 })).toEqual([]);
    const query = { nowMs: NOW.getTime(), windowMs: HOUR_MS, epoch: 1 };
    const sum = sumWindow(await authority.books.notes(NOTES.shadowWindow, { limit: 100 }), query);
    expect(sum.mismatches).toBe(0);
    expect(sum.compared).toBeGreaterThanOrEqual(outcomes.match);
  },
);

/** Rotates a session again and again, and offers what a client would read in between. */
async function rotate(
  repository: Repository,
  session: { readonly id: string; readonly tokenHash: string },
  times: number,
  offer: (id: string) => Promise<void>,
): Promise<void> {
  let fromHash = session.tokenHash;
  for (let index = 1; index <= times; index += 1) {
    const toHash = index.toString(16).padStart(64, '0');
    const now = later(index);
    await repository.rotateSession({
      sessionId: session.id,
      fromHash,
      toHash,
      now,
      idleExpiresAt: later(HOUR_MS, now),
    });
    fromHash = toHash;
    await offer(session.id);
  }
}

test.each<Mode>(['shadow-read', 'postgres-primary'])(
  'a session that a change of the password keeps, though its process died before it wrote so, is no difference, in %s',
  async (mode) => {
    const { shadow, mirror, member, authority, repository } = begin(mode, [5, 5]);
    let hasWritten = false;
    const dying = mongo.store.at({
      epoch: 1,
      pending: true,
      mayContinue: () => !hasWritten,
      onWrite: () => {
        hasWritten = true;
      },
    });
    const { user, session } = await signUp(mongo.store.at({ epoch: 1, pending: true }));
    const change = { userId: user.id, keepSessionId: session.id, newHash: fakeHash('new'), now: NOW };
    await expect(dying.changePassword({ ...change, sessionGeneration: 0 })).rejects.toThrow();
    await mirrorOnce(mongo.store, postgres.store, 1);
    await mirror();
    const list = { userId: user.id, now: NOW };
    shadow.offer('findSession', [session.id], await repository.findSession(session.id), member.ticket());
    shadow.offer('listSessions', [list], await repository.listSessions(list), member.ticket());
    await eventually(() => shadow.stats().outcomes.match === 2);
    expect(shadow.stats().outcomes).toMatchObject({ mismatch: 0, lagging: 0, error: 0 });
    expect(await authority.books.notes(NOTES.difference, { limit: 10 })).toEqual([]);
  },
);
