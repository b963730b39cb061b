/** The mirror between the real stores, both ways: every kind of record, the repairs, a store that stands still. */
import { afterAll, describe, expect, test } from 'vitest';
import { systemEnvironment } from '../../cutover/environment.ts';
import type { Mirror } from '../../cutover/mirror/mirror.ts';
import { authorityOf, type Mode } from '../../cutover/mode.ts';
import { isSameContent } from '../../db/apply.ts';
import { newId } from '../../db/ids.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { compareStamps, ENTITIES, type Entity, type RecordOf } from '../../db/records.ts';
import { askReset, fakeHash, logIn, NOW, newAccount, newUser, signUp } from '../contract/fixtures.ts';
import { UNDER } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { asSuperuser } from '../support/databases.ts';
import { freezeProcess } from '../support/faults.ts';
import { withDatabase } from '../support/mongo.ts';
import { openMongo, openPostgres, ownMongo, ownPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { listen, type Puppet, puppet, startMirror, type Told } from './support/mirror.ts';

/** The fixtures' times are past by now. */
const RETENTION_MS = 50 * 365 * 86_400_000;

interface Sides extends Told {
  readonly authority: Store;
  readonly copy: Store;
  readonly mirror: Mirror;
  readonly member: Puppet;
}

function between(stores: { readonly mongo: Store; readonly postgres: Store }, mode: Mode): Sides {
  const told = listen();
  const member = puppet(mode, 3);
  const mirror = startMirror(stores, systemEnvironment(), told.telemetry, member, RETENTION_MS);
  afterAll(() => mirror.stop(0));
  const [authority, copy] =
    authorityOf(mode) === 'mongo' ? [stores.mongo, stores.postgres] : [stores.postgres, stores.mongo];
  return { ...told, authority, copy, mirror, member };
}

async function all<E extends Entity>(store: Store, entity: E): Promise<ReadonlyMap<string, RecordOf[E]>> {
  const { records } = await store.replica.scan(entity, { after: null, limit: 10_000 });
  return new Map(records.map((record) => [record.id, record]));
}

/** What differs between the stores, and what is marked in either. */
async function disagreements({ authority, copy }: Sides): Promise<readonly string[]> {
  const found: string[] = [];
  for (const entity of ENTITIES) {
    const [ours, theirs] = [await all(authority, entity), await all(copy, entity)];
    for (const id of new Set([...ours.keys(), ...theirs.keys()])) {
      const [a, b] = [ours.get(id), theirs.get(id)];
      if (a === undefined) found.push(`${entity} only in the mirror`);
      else if (b === undefined) found.push(`${entity} not in the mirror`);
      else if (compareStamps(a.stamp, b.stamp) !== 0) found.push(`${entity} under different stamps`);
      else if (!isSameContent<Entity>(a, b)) found.push(`${entity} differs`);
    }
  }
  for (const store of [authority, copy]) {
    const { count } = await store.replica.countMarks();
    if (count > 0) found.push(`${count} marks in ${store.name}`);
  }
  return found;
}

const converged = (sides: Sides) => eventually(async () => expect(await disagreements(sides)).toEqual([]));

const repoOf = ({ authority, mirror }: Sides, noticed = true) =>
  authority.at({ epoch: 3, pending: true, ...(noticed ? { onWrite: mirror.notice } : {}) });

/** As another hand, or a late write of an instance, would leave it. */
function writer(store: Store, pending: boolean, epoch = 2) {
  return store.at({ epoch, pending });
}

describe.each<Mode>(['dual-write', 'postgres-primary'])('in %s', async (mode) => {
  const [mongo, postgres] = [await openMongo(), await openPostgres()];
  const sides = between({ mongo: mongo.store, postgres: postgres.store }, mode);
  const { authority, copy, mirror } = sides;
  const repo = repoOf(sides);
  const now = NOW;

  test('everything that is written ends alike in both', async () => {
    const accounts = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const made = newAccount();
        await repo.createAccount(made);
        return made;
      }),
    );
    await Promise.all(
      accounts.map(async ({ user, session }, i) => {
        await logIn(repo, user.id);
        if (i % 2 === 0) await askReset(repo, user.id);
        if (i % 3 === 0) await repo.verifyEmail({ userId: user.id, tokenId: newId(now), now });
        if (i % 4 === 0) await repo.eraseUser({ userId: user.id, sessionGeneration: null, now });
        else if (i % 5 === 0) {
          const [oldHash, newHash] = [user.passwordHash ?? '', fakeHash('new')];
          await repo.upgradeHash({ userId: user.id, oldHash, newHash, now });
        }
        await repo.revokeSession({ sessionId: session.id, userId: null, reason: 'logout', now });
      }),
    );
    await mirror.idle();
    await converged(sides);
    expect((await all(copy, 'user')).size).toBe(40);
    expect(sides.logs.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('a session takes along a user that was never marked', async () => {
    const { user } = await signUp(authority.at({ epoch: 0, pending: false }));
    const session = await logIn(repo, user.id);
    await mirror.idle();
    expect((await copy.replica.read('session', [session.id])).found.size).toBe(1);
    if (copy.name === 'postgres') {
      expect((await copy.replica.read('user', [user.id])).found.size).toBe(1);
    }
    // Its other records, which nothing has marked, are the copy's to bring.
    for (const entity of ENTITIES) {
      await copy.replica.apply(entity, [...(await all(authority, entity)).values()], UNDER);
    }
    await converged(sides);
  });

  test('orphans, a clash with one, a swap of addresses, and another content are all put right', async () => {
    const swap = [newAccount(), newAccount()] as const;
    for (const made of swap) await repo.createAccount(made);
    const known = newAccount();
    await repo.createAccount(known);
    await mirror.idle();

    // Writes that landed in the store which had lost authority: one new, one over a mirrored user, one with an address.
    const late = writer(copy, true, 3);
    await late.createAccount(newAccount());
    await late.endSessions({ userId: known.user.id, now });
    const address = newUser().email;
    await writer(copy, false).createAccount(newAccount({ email: address ?? '' }));
    await repo.createAccount(newAccount({ email: address ?? '' }));
    // Another content under one stamp.
    const differing = newAccount();
    await repo.createAccount(differing);
    await mirror.idle();
    const { id: userId, passwordHash } = differing.user;
    await writer(copy, false, 3).endSessions({ userId, now });
    const upgrade = { userId, oldHash: passwordHash ?? '', newHash: fakeHash('upgraded'), now };
    expect(await repo.upgradeHash(upgrade)).toBe(true);
    await eventually(async () => {
      const user = (await copy.replica.read('user', [userId])).found.get(userId)?.record;
      expect(user).toMatchObject({ passwordHash: upgrade.newHash, sessionGeneration: 0 });
    });
    // A gives its address up and takes B's, in the state that both are to reach.
    const held = await authority.replica.read(
      'user',
      swap.map(({ user }) => user.id),
    );
    const [a, b] = swap.map(({ user }) => held.found.get(user.id)?.record);
    if (a === undefined || b === undefined) throw new Error('no such user');
    const turn = (one: RecordOf['user'], other: RecordOf['user']): RecordOf['user'] => ({
      ...one,
      email: other.email,
      emailKey: other.emailKey,
      stamp: { epoch: 3, version: one.stamp.version + 1 },
    });
    await authority.replica.releaseEmailKey(a.id, { expected: a.stamp });
    await authority.replica.releaseEmailKey(b.id, { expected: b.stamp });
    await authority.replica.apply('user', [turn(a, b), turn(b, a)], UNDER);
    for (const one of [turn(a, b), turn(b, a)]) {
      const to = { ...one.stamp, version: one.stamp.version + 1 };
      await authority.replica.touch('user', one.id, { expected: one.stamp, to });
      mirror.notice('user', one.id);
    }
    // What an unmarked stranger brought along with the address stays in the mirror until it is verified.
    await eventually(async () => {
      const left = await disagreements(sides);
      expect(left.filter((each) => !/^verificationToken only/.test(each))).toEqual([]);
    });
    const reasons = (await copy.replica.asides({ limit: 20 })).map(({ reason }) => reason);
    expect(new Set(reasons)).toEqual(new Set(['orphan', 'clash']));
    await eventually(async () => expect(await authority.books.countNotes()).toEqual({ clash: 1 }));
    expect([...sides.counts.keys()].filter((key) => key.includes('conflicts')).sort()).toEqual(
      expect.arrayContaining([
        `cutover_mirror_conflicts_total ${copy.name} move-holder-aside`,
        `cutover_mirror_conflicts_total ${copy.name} release-key`,
      ]),
    );
  });

  test('a mirror that knows of a later authority takes nothing', async () => {
    const { epoch } = UNDER;
    await copy.books.createControl({ epoch, revision: 1, body: {} });
    const made = newAccount();
    await repo.createAccount(made);
    await eventually(() => sides.logs.some(({ message }) => message.includes('later authority')));
    expect((await copy.replica.read('user', [made.user.id])).found.size).toBe(0);
    sides.member.follow({ epoch });
    await mirror.idle();
    await eventually(async () => {
      expect((await copy.replica.read('user', [made.user.id])).found.size).toBe(1);
      expect(await authority.replica.countMarks()).toMatchObject({ count: 0 });
    });
  });
});

describe.each<Mode>(['dual-write', 'postgres-primary'])('a mirror that stands still, in %s', async (mode) => {
  const isMongoFrozen = authorityOf(mode) === 'postgres';
  const own = isMongoFrozen ? await ownMongo() : await ownPostgres();
  const open = (timeoutMs: number): Promise<Store> =>
    isMongoFrozen
      ? openMongoStore({ url: own.url, timeoutMs })
      : openPostgresStore({
          url: own.url,
          poolMax: 4,
          statementTimeoutMs: timeoutMs,
          connectTimeoutMs: timeoutMs,
        });
  const patient = await open(20_000);
  await patient.migrate(() => {});
  await patient.close();
  const frozen = await open(1_000);
  afterAll(() => frozen.close());
  const mongo = isMongoFrozen ? frozen : (await openMongo()).store;
  const postgres = isMongoFrozen ? (await openPostgres()).store : frozen;

  test('keeps no write waiting, and is brought up to date once it goes on', async () => {
    const sides = between({ mongo, postgres }, mode);
    sides.member.set('breaker-failures', 2);
    sides.member.set('breaker-half-open-ms', 200);
    const repo = repoOf(sides);
    await repo.createAccount(newAccount());
    await sides.mirror.idle();
    const stopped = await freezeProcess(own);
    try {
      await expect(frozen.ping()).rejects.toThrow('unavailable');
      for (let i = 0; i < 20; i += 1) await repo.createAccount(newAccount());
      await eventually(() => sides.mirror.stats().breaker === 'open');
    } finally {
      stopped.thaw();
    }
    await converged(sides);
    await eventually(() => sides.mirror.stats().breaker === 'closed');
  });
});

test('a field of the old service that is named as the mark keeps no write from the mirror', async () => {
  const { store: mongo, url } = await openMongo();
  const { authority, copy, mirror, ...sides } = between(
    { mongo, postgres: (await openPostgres()).store },
    'dual-write',
  );
  const repo = repoOf({ authority, copy, mirror, ...sides });
  const made = await Promise.all(
    [null, 'soon', 1, new Date('2024-01-01')].map(async (pendingAt) => {
      const { user } = await signUp(authority.at({ epoch: 0, pending: false }));
      const change = { $set: { pendingAt }, $unset: { epoch: '', version: '' } };
      await withDatabase(url, (db) => db.collection('users').updateOne({ email: user.email }, change));
      return user;
    }),
  );
  const newHash = fakeHash('new');
  for (const { id: userId, passwordHash } of made) {
    expect(await repo.upgradeHash({ userId, oldHash: passwordHash ?? '', newHash, now: NOW })).toBe(true);
  }
  await mirror.idle();
  await eventually(async () => {
    const ids = made.map(({ id }) => id);
    const { found } = await copy.replica.read('user', ids);
    expect(ids.map((id) => found.get(id)?.record.passwordHash)).toEqual(ids.map(() => newHash));
    expect(await authority.replica.countMarks()).toMatchObject({ count: 0 });
  });
});

test('a document that no reader understands, and that was left behind, makes way for who has its address by now', async () => {
  const [mongo, postgres] = [await openMongo(), await openPostgres()];
  const sides = between({ mongo: mongo.store, postgres: postgres.store }, 'postgres-primary');
  const { authority, copy, mirror } = sides;
  const account = newAccount();
  const { email } = account.user;
  const banned = legacyUser({ email, status: 'banned' });
  await withDatabase(mongo.url, async (db) => {
    await db.collection('users').insertOne(banned);
    await db.collection('users').createIndex({ email: 1 }, { unique: true, name: 'email_1' });
  });
  await asSuperuser(
    postgres.url,
    `insert into copy_quarantine (entity, record_id, run, state, reasons, document, put_at)
     values ('user', $1, 'r', 'accepted', '[]', '', now())`,
    [String(banned._id)],
  );
  await repoOf(sides).createAccount(account);
  await mirror.idle();
  await eventually(async () => {
    expect(await authority.replica.countMarks()).toMatchObject({ count: 0 });
    expect(await authority.books.countNotes()).toEqual({ clash: 1 });
  });
  const { found, unreadable } = await copy.replica.read('user', [account.user.id, String(banned._id)]);
  expect([[...found.keys()], unreadable]).toEqual([[account.user.id], [String(banned._id)]]);
  const answer = await copy.at({ epoch: 3, pending: false }).findUserByEmail(email ?? '');
  expect(answer?.id).toBe(account.user.id);
  const kept = await withDatabase(mongo.url, (db) => db.collection('users').findOne({ _id: banned._id }));
  expect(kept).toMatchObject({ ...banned, email: expect.stringContaining(email ?? '') });
});

test('sessions that were let go of come after their user, whom PostgreSQL takes by now', async () => {
  const [mongo, postgres] = [await openMongo(), await openPostgres()];
  const sides = between({ mongo: mongo.store, postgres: postgres.store }, 'dual-write');
  const { authority, copy } = sides;
  const repo = repoOf(sides);
  const made = newAccount();
  // By the clock of the process, which is the mirror's here.
  const good = new Date(Date.now() + 86_400_000);
  const account = { ...made, session: { ...made.session, idleExpiresAt: good, expiresAt: good } };
  const { id: userId, passwordHash, name } = account.user;
  await asSuperuser(
    postgres.url,
    `alter table users add constraint users_not_this check (name <> '${name}');
     insert into copy_quarantine (entity, record_id, run, state, reasons, document, put_at)
     values ('user', '${userId}', 'r', 'accepted', '[]', '', now())`,
  );
  await repo.createAccount(account);
  await eventually(async () => expect(await authority.replica.countMarks()).toMatchObject({ count: 0 }));
  expect((await copy.replica.read('session', [account.session.id])).found.size).toBe(0);
  await asSuperuser(postgres.url, 'alter table users drop constraint users_not_this');
  const change = { userId, oldHash: passwordHash ?? '', newHash: fakeHash('new'), now: NOW };
  expect(await repo.upgradeHash(change)).toBe(true);
  await eventually(async () => {
    const { found } = await copy.replica.read('session', [account.session.id]);
    expect(found.get(account.session.id)?.record.userId).toBe(userId);
    expect(await authority.replica.countMarks()).toMatchObject({ count: 0 });
    expect(await authority.books.countNotes()).toEqual({});
  });
});
