/** Every outcome of a comparison, on stores in memory and a clock of the test's own. */
import { beforeEach, describe, expect, test } from 'vitest';
import { NOTES } from '../../cutover/notes.ts';
import { fenceEntry } from '../../cutover/snapshot/fence.ts';
import { createTraffic } from '../../cutover/traffic.ts';
import type { Store } from '../../db/port.ts';
import { freshId, HOUR_MS, NOW, newAccount } from '../contract/fixtures.ts';
import {
  ALL_STAGES_MS,
  AT_ONCE_MS,
  account,
  offerUser,
  outcomes,
  plant,
  repository,
  shadow,
  startShadow,
  useShadow,
  world,
} from './support/shadow-bench.ts';

useShadow();

describe('equal answers', () => {
  test('every read of the port is compared, and counted', async () => {
    const { user, session, token } = account;
    const presented = { clear: 'unused', hash: token.tokenHash };
    const reset = { clear: 'unused', hash: '0'.repeat(64) };
    const list = { userId: user.id, now: NOW };
    const ticket = world.member.ticket();
    const repo = repository();
    shadow.offer('findUser', [user.id], await repo.findUser(user.id), ticket);
    shadow.offer('findUserByEmail', [user.email ?? ''], await repo.findUserByEmail(user.email ?? ''), ticket);
    shadow.offer('findSession', [session.id], await repo.findSession(session.id), ticket);
    shadow.offer('listSessions', [list], await repo.listSessions(list), ticket);
    shadow.offer('findVerificationToken', [presented], await repo.findVerificationToken(presented), ticket);
    shadow.offer('findResetToken', [reset], await repo.findResetToken(reset), ticket);
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ match: 6 });
    const counter = 'cutover_shadow_comparisons_total';
    expect(world.recorded.total(counter, { outcome: 'match' })).toBe(6);
    expect(world.recorded.total(counter, { outcome: 'match', entity: 'session' })).toBe(2);
  });

  test('nothing is read on the way of the reply', async () => {
    const reached: string[] = [];
    const answer = await repository().findUser(account.user.id);
    world.faults.push(({ store }) => void reached.push(store));
    shadow.offer('findUser', [account.user.id], answer, world.member.ticket());
    await Promise.resolve();
    expect(reached).toEqual([]);
    expect(shadow.stats().queued).toBe(1);
    await world.advance(AT_ONCE_MS);
    expect(reached).toContain('postgres');
  });

  test('reads by id that come together are made together, and one of them by the port', async () => {
    const accounts = [account];
    for (let more = 0; more < 9; more += 1) {
      const one = newAccount();
      accounts.push(one);
      await repository().createAccount(one);
    }
    await world.mirror();
    const missing = freshId();
    const ticket = world.member.ticket();
    for (const { session } of accounts) {
      shadow.offer('findSession', [session.id], await repository().findSession(session.id), ticket);
    }
    shadow.offer('findSession', [missing], await repository().findSession(missing), ticket);
    const reached: string[] = [];
    world.faults.push(({ name }) => void reached.push(name));
    await world.advance(AT_ONCE_MS);
    expect(reached).toEqual(['findSession', 'read', 'read']);
    expect(outcomes()).toEqual({ match: 11 });
  });

  test('each of those that come together has its own outcome', async () => {
    const [good, changed, gone, unknown] = [account, newAccount(), newAccount(), newAccount()];
    for (const one of [changed, gone, unknown]) await repository().createAccount(one);
    await world.mirror();
    plant('other', { name: 'other name' }, changed.user.id);
    world.other.tables.user.delete(gone.user.id);
    world.authority.tables.user.delete(unknown.user.id);
    for (const { user } of [good, changed, gone, unknown]) await offerUser(user.id);
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ match: 1, mismatch: 1, lagging: 2 });
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({
      match: 1,
      mismatch: 1,
      lagging: 2,
      'missing-in-mirror': 1,
      'missing-in-authority': 1,
    });
  });

  test('a record that was written between the two answers, and mirrored, takes one look', async () => {
    const { id } = account.user;
    const answer = await repository().findUser(id);
    await repository().endSessions({ userId: id, now: NOW });
    await world.mirror();
    const reached: string[] = [];
    world.faults.push(({ store, name }) => void reached.push(`${store} ${name}`));
    shadow.offer('findUser', [id], answer, world.member.ticket());
    await world.advance(AT_ONCE_MS);
    expect(reached).toEqual(['postgres findUser', 'mongo read', 'postgres read']);
    expect(outcomes()).toEqual({ match: 1 });
  });

  test('nothing is compared while authority is on its way', async () => {
    await offerUser();
    const transition = {
      id: 't',
      target: 'postgres-primary',
      phase: 'announced',
      deadlineMs: 10_000,
    } as const;
    world.member.follow({ transition });
    const reached: string[] = [];
    world.faults.push(({ store }) => void reached.push(store));
    await world.advance(1_000);
    expect(reached).toEqual([]);
    world.member.follow({ transition: null });
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ match: 1 });
  });

  test('it keeps out of the way of clients, for a while', async () => {
    await shadow.stop();
    const traffic = createTraffic(world.environment);
    startShadow(world, traffic);
    traffic.begin();
    await offerUser();
    await world.advance(55);
    expect(outcomes()).toEqual({});
    await world.advance(10);
    expect(outcomes()).toEqual({ match: 1 });
    traffic.end();
    await offerUser();
    await world.advance(51);
    expect(outcomes()).toEqual({ match: 2 });
  });

  test('modes that compare nothing, and lists of due mail, are left alone', async () => {
    world.member.follow({ mode: 'dual-write' });
    await offerUser();
    world.member.follow({ mode: 'shadow-read' });
    shadow.offer('listDueMail', [{ now: NOW, limit: 1 }], [], world.member.ticket());
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({});
  });

  test('what is past retention is no difference, whichever store has deleted it', async () => {
    world.other.tables.session.delete(account.session.id);
    const { tokenHash, id } = account.token;
    world.authority.tables.verificationToken.delete(id);
    await world.leap(40 * 86_400_000);
    const presented = { clear: 'unused', hash: tokenHash };
    const ticket = world.member.ticket();
    const repo = repository();
    shadow.offer('findSession', [account.session.id], await repo.findSession(account.session.id), ticket);
    shadow.offer('findVerificationToken', [presented], await repo.findVerificationToken(presented), ticket);
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ match: 2 });
  });
});

describe('a mirror on its way', () => {
  beforeEach(async () => {
    await repository().endSessions({ userId: account.user.id, now: NOW });
  });

  test.each([
    ['1 s', 900],
    ['5 s', 5_900],
    ['30 s', 35_900],
  ])('is lagging, and a match once the record has come, at the re-check after %s', async (_, ms) => {
    await offerUser();
    await world.advance(ms);
    expect(outcomes()).toEqual({ lagging: 1 });
    await world.mirror();
    await world.advance(ALL_STAGES_MS - ms);
    expect(outcomes()).toEqual({ lagging: 1, match: 1 });
    await shadow.idle();
    expect(await world.notes(NOTES.difference)).toEqual([]);
  });

  test('is a mismatch after the last re-check, when that very state has not come', async () => {
    await offerUser();
    await world.advance(35_900);
    expect(outcomes()).toEqual({ lagging: 1 });
    await world.advance(ALL_STAGES_MS - 35_900);
    expect(outcomes()).toEqual({ lagging: 1, mismatch: 1 });
    const fields = world.recorded.total('cutover_shadow_differences_total', { field: 'sessionGeneration' });
    expect(fields).toBe(1);
    // It is marked, so it is on its way already: a touch would add nothing.
    expect(world.authority.tables.user.get(account.user.id)?.record.stamp.version).toBe(2);
  });

  test('is looked at again as often, and after so long, as is set', async () => {
    world.member.set({ 'shadow-recheck-ms': '300,400' });
    await offerUser();
    await world.advance(600);
    expect(outcomes()).toEqual({ lagging: 1 });
    await world.advance(400);
    expect(outcomes()).toEqual({ lagging: 1, mismatch: 1 });
  });

  test('is never a mismatch while the record is written again and again, and the mirror follows', async () => {
    await offerUser();
    await world.advance(AT_ONCE_MS);
    for (let second = 0; second < 40; second += 1) {
      await world.mirror();
      await repository().endSessions({ userId: account.user.id, now: NOW });
      await world.advance(1_000);
    }
    expect(outcomes()).toEqual({ lagging: 1 });
  });

  test('is never a mismatch while the mirror follows, and each state is written over before its mark is taken off', async () => {
    const { id } = account.user;
    await offerUser();
    await world.advance(AT_ONCE_MS);
    for (let second = 0; second < 40; second += 1) {
      const { found } = await world.authority.replica.read('user', [id]);
      await repository().endSessions({ userId: id, now: NOW });
      const mirrored = [...found.values()].map(({ record }) => record);
      await world.other.replica.apply('user', mirrored, { epoch: 1, expiredBefore: new Date(0) });
      await world.advance(1_000);
    }
    expect(outcomes()).toEqual({ lagging: 1 });
  });

  test('is a mismatch when the record is written again and again, and the mirror never follows', async () => {
    await offerUser();
    for (let second = 0; second < 40; second += 1) {
      await repository().endSessions({ userId: account.user.id, now: NOW });
      await world.advance(1_000);
    }
    expect(outcomes()).toEqual({ lagging: 1, mismatch: 1 });
  });

  test('is lagging for as long as an operator pauses the mirror', async () => {
    world.member.set({ 'mirror-paused': true });
    await offerUser();
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ lagging: 1 });
  });

  test('a write between the two looks at the authority is no difference', async () => {
    await world.mirror();
    const id = account.user.id;
    const answer = await repository().findUser(id);
    world.faults.push(async ({ store, name }) => {
      if (store !== 'postgres' || name !== 'findUser') return;
      world.faults.length = 0;
      await repository().endSessions({ userId: id, now: NOW });
      await world.mirror();
    });
    shadow.offer('findUser', [id], answer, world.member.ticket());
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ match: 1 });
  });
});

test('a record that is written and mirrored within each single look is never a mismatch', async () => {
  const { id } = account.user;
  const answer = await repository().findUser(id);
  let writing = false;
  world.faults.push(async ({ store, name }) => {
    if (writing || store !== 'postgres' || (name !== 'findUser' && name !== 'read')) return;
    writing = true;
    await repository().endSessions({ userId: id, now: NOW });
    await world.mirror();
    writing = false;
  });
  shadow.offer('findUser', [id], answer, world.member.ticket());
  await world.advance(ALL_STAGES_MS);
  expect(outcomes()).toEqual({ lagging: 1 });
});

describe('a real difference', () => {
  test('one changed character under an equal stamp is a mismatch at once, by field', async () => {
    plant('other', { name: `${account.user.name}.` });
    await offerUser();
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ mismatch: 1 });
    const counter = 'cutover_shadow_differences_total';
    expect(world.recorded.total(counter)).toBe(1);
    expect(world.recorded.total(counter, { entity: 'user', field: 'name' })).toBe(1);
  });

  test('leaves a note with the digests, and is touched; the note goes once the records match', async () => {
    plant('other', { name: 'other name' });
    await offerUser();
    await world.advance(2_500);
    const [note, ...more] = await world.notes(NOTES.difference);
    expect(more).toEqual([]);
    expect(note?.key).toBe(`user/${account.user.id}`);
    expect(note?.body).toEqual({
      entity: 'user',
      id: account.user.id,
      outcome: 'mismatch',
      fields: [
        { field: 'name', authority: expect.stringMatching(/^[0-9a-f]{16}$/), other: expect.any(String) },
      ],
      stamps: { authority: { epoch: 1, version: 1 }, other: { epoch: 1, version: 1 } },
      foundAtMs: expect.any(Number),
    });
    const touched = world.authority.tables.user.get(account.user.id);
    expect(touched?.pendingAt).not.toBeNull();
    expect(touched?.record.stamp).toEqual({ epoch: 1, version: 2 });
    expect(touched?.record.name).toBe(account.user.name);

    await world.mirror();
    await world.advance(ALL_STAGES_MS);
    expect(await world.notes(NOTES.difference)).toEqual([]);
    await offerUser();
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ mismatch: 1, match: 1 });
  });

  test('a mirror that is ahead is a mismatch, and the touch goes above it', async () => {
    plant('other', { stamp: { epoch: 1, version: 7 } });
    await offerUser();
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ lagging: 1, mismatch: 1 });
    expect(world.authority.tables.user.get(account.user.id)?.record.stamp.version).toBe(8);
  });

  test('a record the mirror lacks is found after the re-checks, and touched', async () => {
    world.other.tables.session.clear();
    const { session } = account;
    const answer = await repository().findSession(session.id);
    shadow.offer('findSession', [session.id], answer, world.member.ticket());
    await world.advance(35_900);
    expect(outcomes()).toEqual({ lagging: 1 });
    await world.advance(ALL_STAGES_MS - 35_900);
    expect(outcomes()).toEqual({ lagging: 1, 'missing-in-mirror': 1 });
    expect(world.authority.tables.session.get(session.id)?.pendingAt).not.toBeNull();
  });

  test('a record only the mirror has is found after the re-checks, and moved aside', async () => {
    world.authority.tables.user.delete(account.user.id);
    await offerUser();
    await world.advance(35_900);
    expect(world.other.tables.user.size).toBe(1);
    await world.advance(ALL_STAGES_MS - 35_900);
    expect(outcomes()).toEqual({ lagging: 1, 'missing-in-authority': 1 });
    expect(world.other.tables.user.size).toBe(0);
    const asides = await world.other.replica.asides({ limit: 10 });
    expect(asides).toContainEqual(
      expect.objectContaining({ entity: 'user', id: account.user.id, reason: 'missing-in-authority' }),
    );
  });

  test('nothing is moved out of a store that was restored, nor compared with it any more', async () => {
    const { books, tables } = world.other;
    const control = await books.readControl();
    if (control === null) throw new Error('both have a record');
    const fence = fenceEntry({ snapshot: 's', complete: true, atMs: 0, control: null, epoch: 1 }, 1);
    await books.replaceControl(control, fence);
    world.authority.tables.user.delete(account.user.id);
    await offerUser();
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ lagging: 1, 'missing-in-authority': 1 });
    await offerUser();
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ lagging: 1, 'missing-in-authority': 1, shed: 1 });
    expect(tables.user.has(account.user.id)).toBe(true);
    expect(await world.other.replica.asides({ limit: 10 })).toEqual([]);
  });

  test('stores that look the same records up differently differ in their answer', async () => {
    await shadow.stop();
    const { postgres } = world;
    const deaf: Store = {
      ...postgres,
      at: (context) => ({ ...postgres.at(context), findUserByEmail: async () => null }),
    };
    startShadow({ mongo: world.mongo, postgres: deaf });
    const email = account.user.email ?? '';
    const answer = await repository().findUserByEmail(email);
    shadow.offer('findUserByEmail', [email], answer, world.member.ticket());
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ lagging: 1, mismatch: 1 });
    await shadow.idle();
    const notes = await world.notes(NOTES.difference);
    expect(notes.map(({ key }) => key)).toEqual([`user/${account.user.id}/findUserByEmail`]);
  });

  test('a store whose records are right, and its answers wrong under the same stamps, differs in its answer', async () => {
    await shadow.stop();
    const { postgres } = world;
    const garbled: Store = {
      ...postgres,
      at(context) {
        const port = postgres.at(context);
        const findUserByEmail = async (email: string) => {
          const user = await port.findUserByEmail(email);
          return user && { ...user, name: 'other name' };
        };
        return { ...port, findUserByEmail };
      },
    };
    startShadow({ mongo: world.mongo, postgres: garbled });
    const email = account.user.email ?? '';
    const answer = await repository().findUserByEmail(email);
    shadow.offer('findUserByEmail', [email], answer, world.member.ticket());
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ lagging: 1, mismatch: 1 });
  });

  test('past a thousand notes differences are only counted', async () => {
    for (let index = 0; index < 1_000; index += 1) {
      await world.authority.books.putNote(NOTES.difference, `user/${index}`, {}, NOW);
    }
    plant('other', { name: 'other name' });
    await offerUser();
    await world.advance(4_500);
    expect(outcomes()).toEqual({ mismatch: 1 });
    expect(await world.notes(NOTES.difference)).toHaveLength(1_000);
  });

  test('nothing is repaired without a lease, nor judged', async () => {
    plant('other', { name: 'other name' });
    world.member.leased = false;
    await offerUser();
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ shed: 1 });
    expect(world.authority.tables.user.get(account.user.id)?.pendingAt).toBeNull();
  });

  test('an epoch that ends between answer and comparison leaves nothing to ask', async () => {
    plant('other', { name: 'other name' });
    await offerUser();
    world.member.follow({ mode: 'postgres-primary', epoch: 2 });
    world.faults.push(({ name }) => {
      if (name === 'findUser') throw new Error('nobody should ask');
    });
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ shed: 1 });
  });

  test('an epoch that ends while both are read leaves nothing to say', async () => {
    plant('other', { name: 'other name' });
    await offerUser();
    world.faults.push(({ store, name }) => {
      if (store === 'postgres' && name === 'read') {
        world.member.follow({ mode: 'postgres-primary', epoch: 2 });
      }
    });
    await world.advance(ALL_STAGES_MS);
    expect(outcomes()).toEqual({ shed: 1 });
    expect(world.authority.tables.user.get(account.user.id)?.pendingAt).toBeNull();
  });
});

describe('known differences', () => {
  const listed = (until: string, field = 'name') =>
    world.member.set({
      'shadow-ignore': JSON.stringify([{ entity: 'user', field, reason: 'old names', until }]),
    });

  test('are ignored up to their last day', async () => {
    plant('other', { name: 'other name' });
    listed('2026-03-01');
    await offerUser();
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ ignored: 1 });
    await world.leap(24 * HOUR_MS);
    await offerUser();
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ ignored: 1, mismatch: 1 });
  });

  test('do not hide another field', async () => {
    plant('other', { name: 'other name', isVerified: true });
    listed('2027-01-01');
    await offerUser();
    await world.advance(AT_ONCE_MS);
    expect(outcomes()).toEqual({ mismatch: 1 });
  });
});
