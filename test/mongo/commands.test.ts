/**
 * How MongoDB is asked, command by command, read on the wire. What hangs on it shows on a replica set of several members
 * that fails over, and nowhere else: a single server loses no write, and answers every read with the newest.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Repository, Store } from '../../db/port.ts';
import type { SessionRecord } from '../../db/records.ts';
import type { Books, Replica } from '../../db/replica.ts';
import { EACH } from '../contract/cases/each.ts';
import { freshHash, later, NOW, sessionOf, signUp } from '../contract/fixtures.ts';
import { userAt } from '../contract/replica/records.ts';
import { type MongoCommand, type MongoCommands, recordMongoCommands } from '../support/mongo-commands.ts';
import { newMongoDatabase, TIMEOUT_MS } from '../support/stores.ts';

const FIRST = { epoch: 1, version: 1 };
const WRITES = ['insert', 'update', 'delete', 'findAndModify'];

let wire: MongoCommands;
let store: Store;
let repo: Repository;
beforeAll(async () => {
  wire = await recordMongoCommands(await newMongoDatabase());
  store = await openMongoStore({ url: wire.url, timeoutMs: TIMEOUT_MS, emailKeyPass: false });
  await store.migrate(() => {});
  repo = store.at({ epoch: 1, pending: true });
});
afterAll(async () => {
  await store.close();
  await wire.close();
});

/** MongoDB is not asked what stays behind in it: no list of that is kept there. */
const REPLICA: {
  readonly [K in Exclude<keyof Replica, 'leftBehind' | 'toLeaveBehind'>]: (
    replica: Replica,
  ) => Promise<unknown>;
} = {
  read: (replica) => replica.read('user', [userAt([1, 1]).id]),
  async apply(replica) {
    const user = userAt([1, 1]);
    const under = { epoch: 1, expiredBefore: later(-1e9) };
    for (const name of ['inserted', 'updated']) {
      const version = name === 'inserted' ? 1 : 2;
      const record = { ...user, name, stamp: { epoch: 1, version } };
      expect(await replica.apply('user', [record], under)).toEqual([{ kind: 'applied' }]);
    }
  },
  async marks(replica) {
    await signUp(repo);
    const [after] = await replica.marks({ limit: 1 });
    if (after === undefined) throw new Error('nothing is marked');
    await replica.marks({ limit: 1, after });
  },
  countMarks: (replica) => replica.countMarks(),
  async clearMarks(replica) {
    await signUp(repo);
    expect(await replica.clearMarks(await replica.marks({ limit: 50 }))).toBeGreaterThan(0);
  },
  async touch(replica) {
    const { user } = await signUp(repo);
    const to = { epoch: 1, version: 2 };
    expect(await replica.touch('user', user.id, { expected: FIRST, to })).toBe(true);
  },
  async moveAside(replica) {
    const { user } = await signUp(repo);
    const move = { expected: FIRST, reason: 'orphan', now: NOW };
    expect(await replica.moveAside('user', user.id, move)).toBe(true);
  },
  asides: (replica) => replica.asides({ limit: 1 }),
  forgetKept: (replica) => replica.forgetKept([userAt([1, 1]).id]),
  async releaseEmailKey(replica) {
    const { user } = await signUp(repo);
    expect(await replica.releaseEmailKey(user.id, { expected: FIRST })).toBe(true);
  },
  async scan(replica) {
    const { user } = await signUp(repo);
    await replica.scan('user', { after: null, limit: 1 });
    await replica.scan('user', { after: user.id, limit: 1 });
  },
  purge: (replica) => replica.purge({ expiredBefore: NOW, limit: 10 }),
  holdsUsers: (replica) => replica.holdsUsers(),
};

const RECORD = { epoch: 1, revision: 1, body: {} };
const ROW = { instance: 'i', counter: 1, body: {} };

const BOOKS: { readonly [K in keyof Books]: (books: Books) => Promise<unknown> } = {
  readControl: (books) => books.readControl(),
  createControl: (books) => books.createControl(RECORD),
  replaceControl: (books) => books.replaceControl(RECORD, { ...RECORD, revision: 2 }),
  writeLease: (books) => books.writeLease(ROW),
  readLeases: (books) => books.readLeases(),
  removeLease: (books) => books.removeLease(ROW.instance),
  log: (books) => books.log({ id: 'e', at: NOW, body: {} }),
  readLog: (books) => books.readLog({ limit: 1, after: { id: 'e', at: NOW } }),
  putNote: (books) => books.putNote('poison', 'k', {}, NOW),
  notes: (books) => books.notes('poison', { limit: 1 }),
  deleteNote: (books) => books.deleteNote('poison', 'k'),
  countNotes: (books) => books.countNotes(),
};

const CALLS: readonly (readonly [string, () => Promise<unknown>])[] = [
  ...Object.entries(EACH).map(([name, call]) => [name, () => call(repo)] as const),
  ...Object.entries(REPLICA).map(([name, call]) => [`replica.${name}`, () => call(store.replica)] as const),
  ...Object.entries(BOOKS).map(([name, call]) => [`books.${name}`, () => call(store.books)] as const),
  ['changes.readWatch', async () => store.changes?.readWatch()],
  ['changes.replaceWatch', async () => store.changes?.replaceWatch(null, { owner: null, beat: 1, body: 0 })],
];

/** What this command should have told, and did not. */
function lacks({ name, collection, body }: MongoCommand): readonly string[] {
  const { w, j } = {
    ...(body['writeConcern'] as { readonly w?: unknown; readonly j?: unknown } | undefined),
  };
  const { level } = { ...(body['readConcern'] as { readonly level?: string } | undefined) };
  const { mode } = { ...(body['$readPreference'] as { readonly mode?: string } | undefined) };
  const isAgreed = ['cutover_control', 'cutover_leases'].includes(collection);
  const wanted: Readonly<Record<string, boolean>> = {
    'a limit for the server': body['maxTimeMS'] === TIMEOUT_MS,
    // Over one connection without the others a driver says `primaryPreferred` where it was told `primary`.
    'the primary': mode === undefined || mode === 'primary' || mode === 'primaryPreferred',
    'majority and journal': !WRITES.includes(name) || (w === 'majority' && j === true),
    'the newest state': name !== 'find' || !isAgreed || level === 'linearizable',
  };
  return Object.keys(wanted)
    .filter((want) => wanted[want] === false)
    .map((want) => `${name} ${collection}: ${want}`);
}

describe('nothing is asked without a limit, of another than the primary, or in a way that a failover undoes', () => {
  it.each(CALLS)('%s', async (_name, call) => {
    const commands = await wire.during(call);
    expect(commands.length).toBeGreaterThan(0);
    expect(commands.flatMap(lacks)).toEqual([]);
  });
});

it('the marks of a batch come off in one command, ten in one operation, however many stamps they have', async () => {
  const { replica } = store;
  const users = Array.from({ length: 25 }, (_, place) => userAt([1, place + 1]));
  await replica.apply('user', users, { epoch: 1, expiredBefore: later(-1e9) });
  const marks = await Promise.all(
    users.map(async ({ id, stamp }) => {
      const to = { epoch: 1, version: stamp.version + 1 };
      await replica.touch('user', id, { expected: stamp, to });
      return { entity: 'user', id, stamp: to } as const;
    }),
  );
  const commands = await wire.during(async () => expect(await replica.clearMarks(marks)).toBe(25));
  expect(commands.map(({ name, filters }) => [name, filters.length])).toEqual([['update', 3]]);
});

it('a session is read once for its rotation, and again only where it was written meanwhile', async () => {
  const { session } = await signUp(repo);
  const rotate = async (known: SessionRecord) => {
    const rotation = { sessionId: known.id, known, fromHash: known.tokenHash, toHash: freshHash() };
    return repo.rotateSession({ ...rotation, now: NOW, idleExpiresAt: later(1_000) });
  };
  const known = await sessionOf(repo, session.id);
  const namesOf = (commands: readonly MongoCommand[]) => commands.map(({ name }) => name);
  const once = await wire.during(async () => expect(await rotate(known)).toMatchObject({ rotation: 1 }));
  expect(namesOf(once)).toEqual(['update']);
  const twice = await wire.during(async () => expect(await rotate(known)).toBeNull());
  expect(namesOf(twice)).toEqual(['update', 'find']);
});
