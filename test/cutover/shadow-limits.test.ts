/** What bounds shadow reads, what they leave as evidence, and what never leaves with them. */
import { beforeEach, describe, expect, test } from 'vitest';
import { NOTES } from '../../cutover/notes.ts';
import { sumWindow } from '../../cutover/shadow/window.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Json } from '../../db/replica.ts';
import { freshId, HOUR_MS, later, NOW } from '../contract/fixtures.ts';
import {
  ALL_STAGES_MS,
  AT_ONCE_MS,
  account,
  offerUser,
  outcomes,
  plant,
  repository,
  shadow,
  useShadow,
  world,
} from './support/shadow-bench.ts';

useShadow();

describe('a compared store in trouble', () => {
  const refuse = ({ store }: { store: string }): void => {
    if (store === 'postgres') throw new StoreUnavailable('postgres', 'none', 'timeout');
  };

  test('is an error, logged and counted as a fallback that no client saw', async () => {
    world.faults.push(refuse);
    await offerUser();
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ error: 1 });
    const labels = { operation: 'findUser', store: 'postgres', outcome: 'invisible' };
    expect(world.recorded.total('cutover_fallbacks_total', labels)).toBe(1);
    const warnings = world.recorded.lines.filter(({ level }) => level === 'warn');
    expect(warnings).toEqual([
      expect.objectContaining({ fields: { operation: 'findUser', store: 'postgres', reason: 'timeout' } }),
    ]);
  });

  test('is asked no more while the breaker is open, and again after a while', async () => {
    world.faults.push(refuse);
    for (let index = 0; index < 8; index += 1) {
      await offerUser();
      await world.advance(AT_ONCE_MS);
    }
    expect(outcomes()).toEqual({ error: 5, shed: 3 });
    expect(world.recorded.total('cutover_breaker_opened_total', { purpose: 'shadow' })).toBe(1);
    world.faults.length = 0;
    await world.advance(5_000);
    await offerUser();
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ error: 5, shed: 3, match: 1 });
  });

  test('that never answers is given up on, and holds nothing up', async () => {
    world.faults.push(({ store }) => (store === 'postgres' ? new Promise(() => {}) : undefined));
    await offerUser();
    await world.advance(2_100);
    expect(outcomes()).toEqual({ error: 1 });
    await shadow.idle();
  });
});

describe('bounds', () => {
  test('a full queue sheds, and says so', async () => {
    world.member.set({ 'shadow-queue': 3 });
    for (let index = 0; index < 5; index += 1) await offerUser();
    expect(shadow.stats().queued).toBe(3);
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ shed: 2, match: 3 });
  });

  test('comparisons that wait for a re-check count as queued', async () => {
    world.member.set({ 'shadow-queue': 2 });
    await repository().endSessions({ userId: account.user.id, now: NOW });
    for (let index = 0; index < 3; index += 1) {
      await offerUser();
      await world.advance(AT_ONCE_MS);
    }
    expect(outcomes()).toEqual({ lagging: 2, shed: 1 });
  });

  test('the rate is kept, and what passes it is shed', async () => {
    world.member.set({ 'shadow-rate': 2 });
    for (let index = 0; index < 3; index += 1) await offerUser();
    await world.advance(1_000);
    for (let index = 0; index < 3; index += 1) await offerUser();
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ match: 4, shed: 2 });
  });

  test('only the sample is compared', async () => {
    world.member.set({ 'shadow-sample': 0.5 });
    await offerUser();
    world.member.set({ 'shadow-sample': 0.51 });
    await offerUser();
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ match: 1 });
  });

  test('stopping drops what waits, and keeps the counts', async () => {
    await offerUser();
    await world.advance(AT_ONCE_MS);
    await repository().endSessions({ userId: account.user.id, now: NOW });
    await offerUser();
    await world.advance(AT_ONCE_MS);
    await offerUser();
    await shadow.stop();
    await offerUser();
    expect(shadow.stats().queued).toBe(0);
    const [note] = await world.notes(NOTES.shadowWindow);
    expect(note?.body).toMatchObject({ outcomes: { match: 1, lagging: 1, shed: 1 } });
  });
});

describe('the baseline', () => {
  beforeEach(() => world.member.set({ 'shadow-baseline': true }));

  test('compares the authority with itself, and is no evidence about the copy', async () => {
    plant('other', { name: 'other name' });
    await offerUser();
    await world.advance(AT_ONCE_MS);
    const answer = await repository().findUser(account.user.id);
    await repository().endSessions({ userId: account.user.id, now: NOW });
    shadow.offer('findUser', [account.user.id], answer, world.member.ticket());
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ 'baseline-match': 1, 'baseline-difference': 1 });
    await shadow.idle();
    const sum = sumWindow(await world.notes(NOTES.shadowWindow), {
      nowMs: world.environment.date().getTime(),
      windowMs: HOUR_MS,
      epoch: 1,
    });
    expect(sum).toMatchObject({ compared: 0, mismatches: 0, outcomes: { 'baseline-match': 1 } });
    expect(await world.notes(NOTES.difference)).toEqual([]);
  });
});

describe('evidence', () => {
  const sum = async (given: { epoch?: number; run?: string; windowMs?: number } = {}) =>
    sumWindow(await world.notes(NOTES.shadowWindow), {
      nowMs: world.environment.date().getTime(),
      windowMs: HOUR_MS,
      epoch: 1,
      ...given,
    });

  test('grows by bucket, and is summed over the window', async () => {
    await offerUser();
    await world.advance(2_500);
    expect(await sum()).toMatchObject({ compared: 1, mismatches: 0 });
    plant('other', { name: 'other name' });
    await offerUser();
    await world.advance(AT_ONCE_MS);
    await world.leap(600_000);
    await offerUser();
    await world.advance(2_500);
    expect(await sum()).toMatchObject({ compared: 2, outcomes: { match: 1, mismatch: 1 } });
    expect(await world.notes(NOTES.shadowWindow)).toHaveLength(2);
    await world.leap(3 * HOUR_MS);
    expect(await sum()).toMatchObject({ compared: 0 });
  });

  test('belongs to its epoch and to its copy', async () => {
    await offerUser();
    await world.advance(AT_ONCE_MS);
    const copy = { kind: 'complete', run: 'run-2', completedAtMs: 1, verifiedAtMs: null } as const;
    world.member.follow({ revision: 2, copy });
    await offerUser();
    await world.advance(AT_ONCE_MS);
    await shadow.idle();
    expect(await sum()).toMatchObject({ compared: 2 });
    expect(await sum({ run: 'run-2' })).toMatchObject({ compared: 1 });
    expect(await sum({ epoch: 2 })).toMatchObject({ compared: 0 });
  });

  test('that the books did not take is put again', async () => {
    const refuse = ({ name }: { name: string }): void => {
      if (name === 'putNote') throw new StoreUnavailable('mongo', 'unknown', 'timeout');
    };
    world.faults.push(refuse);
    await offerUser();
    await world.advance(4_500);
    expect(await sum()).toMatchObject({ compared: 0 });
    world.faults.length = 0;
    await world.advance(2_500);
    expect(await sum()).toMatchObject({ compared: 1 });
  });

  test('older than two days is deleted, whoever put it', async () => {
    const put = (key: string, startMs: number) => {
      const body: Json = { epoch: 1, mode: 'shadow-read', run: null, startMs, outcomes: { match: 1 } };
      return world.authority.books.putNote(NOTES.shadowWindow, key, body, new Date(startMs));
    };
    await put('old/another', later(-49 * HOUR_MS).getTime());
    await put('recent/another', later(-47 * HOUR_MS).getTime());
    await world.advance(2_500);
    expect((await world.notes(NOTES.shadowWindow)).map(({ key }) => key)).toEqual(['recent/another']);
  });

  test('that another version wrote counts for nothing', () => {
    const notes = [
      { key: 'k', body: { outcomes: { match: 5 } } },
      { key: 'l', body: null },
    ];
    const query = { nowMs: 0, windowMs: HOUR_MS, epoch: 1 };
    expect(sumWindow(notes, query)).toMatchObject({ compared: 0, mismatches: 0 });
  });
});

test('no value of a record leaves: not in notes, log lines or labels', async () => {
  const planted = {
    name: 'PlantedName',
    email: 'planted@example.test',
    emailKey: 'planted@example.test',
    passwordHash: 'planted-hash',
    createdAt: later(12_345),
  };
  const { session, user, token } = account;
  const ticket = world.member.ticket();
  const repo = repository();
  const presented = { clear: 'planted-clear', hash: token.tokenHash };
  world.other.tables.verificationToken.clear();
  shadow.offer('findVerificationToken', [presented], await repo.findVerificationToken(presented), ticket);
  await world.advance(ALL_STAGES_MS);

  plant('other', planted);
  const heldSession = world.other.tables.session.get(session.id);
  if (heldSession === undefined) throw new Error('the session was not mirrored');
  const record = { ...heldSession.record, tokenHash: 'planted-token', userAgent: 'PlantedAgent' };
  world.other.tables.session.set(session.id, { ...heldSession, record });

  await offerUser();
  await offerUser(freshId());
  shadow.offer('findUserByEmail', [user.email ?? ''], await repo.findUserByEmail(user.email ?? ''), ticket);
  shadow.offer('findSession', [session.id], await repo.findSession(session.id), ticket);
  await world.advance(ALL_STAGES_MS);
  world.faults.push(({ store, name }) => {
    if (store === 'postgres') throw new Error(`refused ${name}`);
  });
  await offerUser();
  await world.advance(AT_ONCE_MS);
  await shadow.stop();

  expect(outcomes()).toEqual({ match: 1, mismatch: 3, 'missing-in-mirror': 1, lagging: 1, error: 1 });
  const notes = await Promise.all(Object.values(NOTES).map((kind) => world.notes(kind)));
  const told = JSON.stringify(notes) + world.recorded.text();
  expect(told).toContain('passwordHash');
  const secrets = [
    ...Object.values(planted),
    ...['email', 'emailKey', 'name', 'passwordHash'].map((field) => new Map(Object.entries(user)).get(field)),
    'planted-token',
    'PlantedAgent',
    'planted-clear',
    session.tokenHash,
    session.userAgent,
    token.tokenHash,
    token.nonce,
  ].map((value) => (value instanceof Date ? value.toISOString() : String(value)));
  expect(secrets.filter((secret) => told.includes(secret))).toEqual([]);
});
