/** When MongoDB may answer for PostgreSQL, and when it must not. */
import { beforeEach, describe, expect, test } from 'vitest';
import { fromControl } from '../../cutover/control.ts';
import { createFallback, type Fallback } from '../../cutover/fallback.ts';
import type { Mode } from '../../cutover/mode.ts';
import { NOTES } from '../../cutover/notes.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import { type Account, NOW, newAccount } from '../contract/fixtures.ts';
import { createMemoryStore } from '../support/memory/store.ts';
import { controlOf, openWorld, type World } from './support/shadow-world.ts';

let world: World;
let fallback: Fallback;
let account: Account;

const TIMED_OUT = new StoreUnavailable('postgres', 'unknown', 'timeout');
const STALE = { kind: 'stale', sinceMs: 0 } as const;

async function open(mode: Mode): Promise<void> {
  world = await openWorld(mode);
  const { mongo, postgres, environment, member } = world;
  const { telemetry } = world.recorded;
  fallback = createFallback({ stores: { mongo, postgres }, environment, telemetry, member });
  account = newAccount();
  await world.authority.at({ epoch: 1, pending: true }).createAccount(account);
  await world.mirror();
}

const tryUser = (error = TIMED_OUT) =>
  fallback.tryRead('findUser', [account.user.id], world.member.ticket(), error);
const total = (outcome: string) => world.recorded.total('cutover_fallbacks_total', { outcome });

beforeEach(() => open('postgres-primary'));

describe('a read that PostgreSQL failed', () => {
  test.each(['timeout', 'contention', 'connect', 'connection-lost', 'overloaded'] as const)(
    'is answered by MongoDB, which holds everything (%s)',
    async (reason) => {
      const fallen = await tryUser(new StoreUnavailable('postgres', 'unknown', reason));
      expect(fallen?.answer).toMatchObject({ id: account.user.id, name: account.user.name });
      expect(total('answered')).toBe(1);
    },
  );

  test('is answered with null when there is nothing', async () => {
    const found = await fallback.tryRead('findUser', ['0'.repeat(24)], world.member.ticket(), TIMED_OUT);
    expect(found).toEqual({ answer: null });
  });

  test('is put on record by the hour, without ids', async () => {
    await tryUser();
    await tryUser();
    await fallback.idle();
    const [note, ...more] = await world.postgres.books.notes(NOTES.fallback, { limit: 10 });
    expect(more).toEqual([]);
    expect(note?.key).toBe('2026-03-01T12:00:00.000Z/instance-1');
    expect(note?.body).toEqual({ count: 2, answered: 2, refused: 0, failed: 0 });
    const warnings = world.recorded.lines.filter(({ level }) => level === 'warn');
    expect(warnings).toHaveLength(1);
    expect(world.recorded.text()).not.toContain(account.user.id);
  });

  test('is put on record once PostgreSQL takes it again', async () => {
    world.faults.push(({ name }) => {
      if (name === 'putNote') throw new StoreUnavailable('postgres', 'none', 'connect');
    });
    await tryUser();
    // Nothing is read meanwhile that could fail and be noted: without a lease, nothing is admitted.
    await world.advance(1_800_000);
    expect(await world.postgres.books.notes(NOTES.fallback, { limit: 10 })).toEqual([]);
    world.faults.length = 0;
    await world.advance(5_000);
    expect(await world.postgres.books.notes(NOTES.fallback, { limit: 10 })).toHaveLength(1);
  });

  test('MongoDB is read only after PostgreSQL has said that nothing is pending', async () => {
    const order: string[] = [];
    world.faults.push(({ store, name }) => void order.push(`${store} ${name}`));
    await tryUser();
    const asked = ['postgres readControl', 'postgres assurance', 'mongo readControl', 'mongo assurance'];
    expect(order.slice(0, 4).sort()).toEqual(asked.sort());
    expect(order[4]).toBe('mongo findUser');
  });
});

describe('MongoDB does not stand in', () => {
  const putNote = (kind: string) => world.postgres.books.putNote(kind, 'user/1', {}, NOW);
  const move = (change: Parameters<typeof controlOf>[1], mode: Mode = 'postgres-primary') =>
    world.postgres.books.replaceControl(
      controlOf(mode),
      fromControl(controlOf(mode, { revision: 2, ...change })),
    );

  test.each<readonly [string, () => unknown]>([
    [
      'for a logout that it does not know of',
      () =>
        world.postgres.at({ epoch: 1, pending: true }).revokeSession({
          sessionId: account.session.id,
          userId: null,
          reason: 'logout',
          now: NOW,
        }),
    ],
    ['beside a poisoned record', () => putNote(NOTES.poison)],
    ['beside a conflict', () => putNote(NOTES.conflict)],
    ['beside a quarantined document', () => putNote(NOTES.quarantine)],
    [
      'while it holds an orphan itself',
      () => world.mongo.at({ epoch: 1, pending: true }).endSessions({ userId: account.user.id, now: NOW }),
    ],
    ['when this instance knows of no complete copy', () => world.member.follow({ copy: STALE })],
    ['when the copy has gone stale since', () => move({ copy: STALE })],
    ['when others may write without the mirror by now', () => move({ mode: 'postgres-only', copy: STALE })],
    ['when authority has moved', () => move({ epoch: 2, mode: 'shadow-read' })],
    [
      'when MongoDB has seen a later authority',
      () =>
        world.mongo.books.replaceControl(
          controlOf('postgres-primary'),
          fromControl(controlOf('shadow-read', { epoch: 2 })),
        ),
    ],
    [
      'when MongoDB was put back as it was under an earlier authority',
      () =>
        world.mongo.books.replaceControl(
          controlOf('postgres-primary'),
          fromControl(controlOf('shadow-read', { epoch: 0 })),
        ),
    ],
    [
      'when MongoDB is another system’s, of the same epoch',
      () => {
        world.member.follow({ system: 'own' });
        return world.mongo.books.replaceControl(
          controlOf('postgres-primary'),
          fromControl(controlOf('postgres-primary', { revision: 2, system: 'another' })),
        );
      },
    ],
    [
      'when PostgreSQL cannot say',
      () =>
        world.faults.push(({ name, store }) => {
          if (store === 'postgres' && name === 'assurance') throw TIMED_OUT;
        }),
    ],
  ])('%s', async (_, arrange) => {
    await arrange();
    expect(await tryUser()).toBeNull();
    expect([total('answered'), total('refused')]).toEqual([0, 1]);
  });

  test.each<readonly [string, () => Promise<unknown>]>([
    [
      'when an orphan has landed before it was read',
      () =>
        world.mongo
          .at({ epoch: 1, pending: true })
          .verifyEmail({ userId: account.user.id, tokenId: account.token.id, now: NOW }),
    ],
    [
      'when it has heard of a later authority before it was read',
      () =>
        world.mongo.books.replaceControl(
          controlOf('postgres-primary'),
          fromControl(controlOf('shadow-read', { epoch: 2 })),
        ),
    ],
  ])('%s', async (_, arrange) => {
    let once = true;
    world.faults.push(async ({ store, name }) => {
      if (store !== 'mongo' || name !== 'findUser' || !once) return;
      once = false;
      await arrange();
    });
    expect(await tryUser()).toBeNull();
    expect(once).toBe(false);
    expect([total('answered'), total('refused')]).toEqual([0, 1]);
  });

  test('for what an operator has left behind in it, nor for its sessions', async () => {
    const { user, session } = account;
    const ask = () =>
      Promise.all([
        fallback.tryRead('findUserByEmail', [user.email ?? ''], world.member.ticket(), TIMED_OUT),
        fallback.tryRead('listSessions', [{ userId: user.id, now: NOW }], world.member.ticket(), TIMED_OUT),
      ]);
    world.postgres.decided.add(`user/${user.id}`);
    expect(await ask()).toMatchObject([{ answer: { id: user.id } }, { answer: [{ id: session.id }] }]);
    world.postgres.tables.session.clear();
    world.postgres.tables.user.clear();
    expect(await ask()).toEqual([null, null]);
    expect([total('answered'), total('refused')]).toEqual([2, 2]);
  });

  test('when it was emptied, or its URL leads elsewhere', async () => {
    const { postgres, environment, member } = world;
    const mongo = createMemoryStore({ name: 'mongo', now: environment.date });
    const { telemetry } = world.recorded;
    fallback = createFallback({ stores: { mongo, postgres }, environment, telemetry, member });
    expect(await tryUser()).toBeNull();
    expect([total('answered'), total('refused')]).toEqual([0, 1]);
  });

  test('when PostgreSQL does not say in time', async () => {
    world.faults.push(({ name }) => (name === 'assurance' ? new Promise(() => {}) : undefined));
    const answer = tryUser();
    await world.advance(300);
    expect(await answer).toBeNull();
    expect(total('refused')).toBe(1);
  });

  test('when it fails itself, which is counted apart', async () => {
    world.faults.push(({ name }) => {
      if (name === 'findUser') throw new StoreUnavailable('mongo', 'none', 'timeout');
    });
    expect(await tryUser()).toBeNull();
    expect(total('failed')).toBe(1);
  });

  test.each(['lease-lost', 'no-lease', 'queue-full', 'read-only'] as const)(
    'for a failure that is no failure of PostgreSQL to answer (%s)',
    async (reason) => {
      expect(await tryUser(new StoreUnavailable('postgres', 'none', reason))).toBeNull();
      expect(total('refused')).toBe(0);
    },
  );

  test.each<Mode>(['mongo-only', 'dual-write', 'shadow-read', 'postgres-only'])('in %s', async (mode) => {
    await open(mode);
    expect(await tryUser()).toBeNull();
    expect(total('answered')).toBe(0);
  });
});
