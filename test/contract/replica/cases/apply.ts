import { describe, expect, it } from 'vitest';
import { StaleEpoch } from '../../../../db/errors.ts';
import type { Entity } from '../../../../db/records.ts';
import type { Scanned } from '../../../../db/replica.ts';
import { fakeHash, freshId, later, NOW, newAccount, newUser } from '../../fixtures.ts';
import type { ReplicaSubject } from '../harness.ts';
import {
  applyTo,
  heldBy,
  next,
  resetAt,
  sessionAt,
  tombstoneAt,
  UNDER,
  userAt,
  verificationAt,
} from '../records.ts';

export function applyCases({ store, readRaw, traits }: ReplicaSubject): void {
  const { replica } = store;

  describe('apply', () => {
    it('stores records of every kind as they are', async () => {
      const user = userAt([2, 7], { isVerified: true, verifiedWith: freshId(), sessionGeneration: 4 });
      const verification = verificationAt([2, 1], user.id, { mailDueAt: later(5) });
      const reset = resetAt([2, 2], user.id);
      const session = sessionAt([2, 3], user.id, {
        revokedAt: later(1),
        revokedReason: 'reuse',
        rotation: 9,
      });
      expect(await applyTo(store, 'user', user)).toEqual(['applied']);
      expect(await applyTo(store, 'verificationToken', verification)).toEqual(['applied']);
      expect(await applyTo(store, 'resetToken', reset)).toEqual(['applied']);
      expect(await applyTo(store, 'session', session)).toEqual(['applied']);
      expect(await heldBy(store, 'user', user.id)).toEqual({ record: user, pendingAt: null });
      expect((await heldBy(store, 'verificationToken', verification.id)).record).toEqual(verification);
      expect((await heldBy(store, 'resetToken', reset.id)).record).toEqual(reset);
      expect((await heldBy(store, 'session', session.id)).record).toEqual(session);
    });

    it('takes what it is given to the port as well', async () => {
      const user = userAt([1, 1]);
      await applyTo(store, 'user', user);
      const repo = store.at({ epoch: 1, pending: false });
      expect(await repo.findUserByEmail(user.email ?? '')).toEqual(user);
    });

    it('answers nothing with nothing', async () => {
      expect(await applyTo(store, 'user')).toEqual([]);
    });

    it('goes over older stamps: by epoch first, then by version', async () => {
      const first = userAt([1, 9]);
      const second = next(first, [1, 10], { name: 'second' });
      const third = next(first, [2, 1], { name: 'third', sessionGeneration: 2 });
      for (const user of [first, second, third])
        expect(await applyTo(store, 'user', user)).toEqual(['applied']);
      expect((await heldBy(store, 'user', first.id)).record).toEqual(third);
    });

    it('resurrects nothing, however late a retry comes', async () => {
      const first = userAt([1, 1]);
      const newest = next(first, [2, 3], { passwordHash: fakeHash('newest'), isVerified: true });
      await applyTo(store, 'user', newest);
      for (const late of [first, next(first, [1, 99]), next(first, [2, 2])]) {
        expect(await replica.apply('user', [late], UNDER)).toEqual([
          { kind: 'ahead', stored: { epoch: 2, version: 3 } },
        ]);
      }
      expect((await heldBy(store, 'user', first.id)).record).toEqual(newest);
    });

    it('knows the same state again, and another content under its stamp', async () => {
      const user = userAt([1, 5]);
      await applyTo(store, 'user', user);
      expect(await applyTo(store, 'user', user)).toEqual(['same']);
      expect(await applyTo(store, 'user', { ...user, name: `${user.name}.` })).toEqual(['differs']);
      const session = sessionAt([1, 5], user.id);
      await applyTo(store, 'session', session);
      const other = { ...session, expiresAt: later(1, session.expiresAt) };
      expect(await applyTo(store, 'session', session, other)).toEqual(['same', 'differs']);
      expect((await heldBy(store, 'user', user.id)).record).toEqual(user);
    });

    it('leaves the newest of several states in one batch', async () => {
      const user = userAt([1, 1]);
      const states = [next(user, [1, 3], { name: 'newest' }), user, next(user, [1, 2], { name: 'between' })];
      const kinds = await applyTo(store, 'user', ...states);
      expect(kinds[0]).toBe('applied');
      expect((await heldBy(store, 'user', user.id)).record).toEqual(states[0]);
    });

    it('takes what is past retention for done, by the predicate of purge', async () => {
      const owner = userAt([1, 1], { createdAt: new Date(0), updatedAt: new Date(0) });
      await applyTo(store, 'user', owner);
      const past = verificationAt([1, 1], owner.id, { expiresAt: later(-1, UNDER.expiredBefore) });
      const edge = verificationAt([1, 1], owner.id, { expiresAt: UNDER.expiredBefore });
      expect(await applyTo(store, 'verificationToken', past, edge)).toEqual(['expired', 'applied']);
      const session = sessionAt([1, 1], owner.id, { expiresAt: later(-1, UNDER.expiredBefore) });
      expect(await applyTo(store, 'session', session)).toEqual(['expired']);
      expect(await readRaw('verificationToken', past.id)).toBeNull();
      expect(await readRaw('session', session.id)).toBeNull();
    });

    it('takes the mark off what it writes or finds the same, and off nothing else', async () => {
      const account = newAccount();
      await store.at({ epoch: 1, pending: true }).createAccount(account);
      const { record } = await heldBy(store, 'user', account.user.id);
      expect(await applyTo(store, 'user', { ...record, name: 'other' })).toEqual(['differs']);
      expect(await applyTo(store, 'user', { ...record, stamp: { epoch: 0, version: 9 } })).toEqual(['ahead']);
      expect((await heldBy(store, 'user', record.id)).pendingAt).toBeInstanceOf(Date);
      expect(await applyTo(store, 'user', record)).toEqual(['same']);
      expect((await heldBy(store, 'user', record.id)).pendingAt).toBeNull();
      const session = await heldBy(store, 'session', account.session.id);
      const newer = { ...session.record, rotation: 1, stamp: { epoch: 2, version: 2 } };
      expect(await applyTo(store, 'session', newer)).toEqual(['applied']);
      expect((await heldBy(store, 'session', session.record.id)).pendingAt).toBeNull();
    });

    it('a batch of 500 goes through at once, and again without a change', async () => {
      const users = Array.from({ length: 500 }, () => userAt([1, 1]));
      expect(new Set(await applyTo(store, 'user', ...users))).toEqual(new Set(['applied']));
      expect(new Set(await applyTo(store, 'user', ...users))).toEqual(new Set(['same']));
      const newer = users.map((user, index) => (index % 2 === 0 ? next(user, [1, 2], { name: 'x' }) : user));
      const kinds = await applyTo(store, 'user', ...newer);
      expect(kinds).toEqual(users.map((_, index) => (index % 2 === 0 ? 'applied' : 'same')));
    });

    it('sets a record aside that the store cannot take, and applies the others', async () => {
      const users = Array.from({ length: 7 }, () => userAt([1, 1]));
      const batch = users.map((user, index) => (index === 3 ? traits.poison(user) : user));
      const outcomes = await replica.apply('user', batch, UNDER);
      expect(outcomes.map(({ kind }) => kind)).toEqual(
        users.map((_, i) => (i === 3 ? 'refused' : 'applied')),
      );
      const reason = outcomes.flatMap((outcome) => (outcome.kind === 'refused' ? [outcome.reason] : []));
      expect(reason[0]).toMatch(/^[\w ]{2,60}$/);
    });

    it('refuses a record of an epoch above the one it acts under', async () => {
      const user = userAt([UNDER.epoch + 1, 1]);
      const fine = userAt([UNDER.epoch, 1]);
      expect(await replica.apply('user', [user, fine], UNDER)).toEqual([
        { kind: 'refused', reason: 'epoch' },
        { kind: 'applied' },
      ]);
      expect(await readRaw('user', user.id)).toBeNull();
    });

    it('names the holder of a key, and applies the others', async () => {
      const holder = userAt([1, 1]);
      await applyTo(store, 'user', holder);
      const rival = userAt([1, 1], { email: holder.email ?? '' });
      const others = [userAt([1, 1]), userAt([1, 1]), userAt([1, 1])];
      const batch = [others[0], rival, others[1], others[2]].filter((user) => user !== undefined);
      expect(await replica.apply('user', batch, UNDER)).toEqual([
        { kind: 'applied' },
        { kind: 'clash', holderId: holder.id },
        { kind: 'applied' },
        { kind: 'applied' },
      ]);
      const { email, emailKey } = newUser();
      await applyTo(store, 'user', next(holder, [1, 2], { email, emailKey }));
      expect(await applyTo(store, 'user', rival)).toEqual(['applied']);
      expect((await heldBy(store, 'user', rival.id)).record).toEqual(rival);
    });

    it('a change into another user’s key is a clash too, and leaves the record as it was', async () => {
      const [a, b] = [userAt([1, 1]), userAt([1, 1])];
      await applyTo(store, 'user', a, b);
      const moved = next(b, [1, 2], { email: a.email, emailKey: a.emailKey });
      expect(await replica.apply('user', [moved], UNDER)).toEqual([{ kind: 'clash', holderId: a.id }]);
      expect((await heldBy(store, 'user', b.id)).record).toEqual(b);
    });

    it('says when a session’s user is missing, if that matters, and applies the others', async () => {
      const user = userAt([1, 1]);
      await applyTo(store, 'user', user);
      const lost = sessionAt([1, 1], freshId());
      const kinds = await applyTo(
        store,
        'session',
        sessionAt([1, 1], user.id),
        lost,
        sessionAt([1, 1], user.id),
      );
      expect(kinds).toEqual(['applied', traits.hasForeignKey ? 'user-missing' : 'applied', 'applied']);
      await applyTo(store, 'user', userAt([1, 1], { id: lost.userId }));
      expect(await applyTo(store, 'session', lost)).toEqual([traits.hasForeignKey ? 'applied' : 'same']);
    });

    it('leaves nothing personal in a tombstone, and frees the key', async () => {
      const user = userAt([1, 1], { name: 'Personal Name' });
      await applyTo(store, 'user', user);
      const erased = tombstoneAt([1, 2], user, later(1));
      expect(await applyTo(store, 'user', erased)).toEqual(['applied']);
      const stored = JSON.stringify(await readRaw('user', user.id));
      for (const personal of [user.email, user.emailKey, user.name, user.passwordHash]) {
        expect(stored).not.toContain(personal);
      }
      expect((await heldBy(store, 'user', user.id)).record).toEqual(erased);
      expect(await applyTo(store, 'user', user)).toEqual(['ahead']);
      expect(await applyTo(store, 'user', userAt([1, 1], { email: user.email ?? '' }))).toEqual(['applied']);
    });

    it('a tombstone arrives where the user never was', async () => {
      const erased = tombstoneAt([1, 4], userAt([1, 1]), NOW);
      expect(await applyTo(store, 'user', erased)).toEqual(['applied']);
      expect((await heldBy(store, 'user', erased.id)).record).toEqual(erased);
    });

    it('reads what is there, marks included, and leaves out what is not', async () => {
      const user = userAt([1, 1]);
      await applyTo(store, 'user', user);
      const { found, unreadable } = await replica.read('user', [freshId(), user.id, 'no id at all']);
      expect([...found.keys()]).toEqual([user.id]);
      expect(unreadable).toEqual([]);
    });

    it.each(['user', 'session'] satisfies Entity[])('scans every %s once, page by page', async (entity) => {
      const owner = userAt([1, 1]);
      await applyTo(store, 'user', owner);
      for (let index = 0; index < 5; index++) await applyTo(store, 'session', sessionAt([1, 1], owner.id));
      const seen: string[] = [];
      let after: string | null = null;
      do {
        const page: Scanned<Entity> = await replica.scan(entity, { after, limit: 97 });
        seen.push(...page.records.map(({ id }) => id));
        after = page.next;
      } while (after !== null);
      expect(seen.length).toBeGreaterThanOrEqual(5);
      const hex = seen.filter((id) => /^[0-9a-f]{24}$/.test(id));
      expect(hex).toEqual([...new Set(hex)].sort());
    });
  });

  describe('apply under a control record', () => {
    it('is refused as a whole by a store that has seen a higher epoch', async () => {
      const { books } = store;
      await books.createControl({ epoch: 50, revision: 1, body: {} });
      const user = userAt([40, 1]);
      const stale = { ...UNDER, epoch: 49 };
      await expect(replica.apply('user', [user], stale)).rejects.toBeInstanceOf(StaleEpoch);
      expect(await readRaw('user', user.id)).toBeNull();
      expect(await replica.apply('user', [user], { ...UNDER, epoch: 50 })).toEqual([{ kind: 'applied' }]);
      // Also when there would be nothing to write.
      await expect(replica.apply('user', [user], stale)).rejects.toMatchObject({ stored: 50 });
    });
  });
}
