import { describe, expect, it } from 'vitest';
import type { LimitHit } from '../../../db/limits.ts';
import { freshId, later, NOW, parallel } from '../fixtures.ts';
import type { StoreSubject } from '../harness.ts';

export function limitCases({ store }: Pick<StoreSubject, 'store'>): void {
  const { limits } = store;

  function bucket(given: Partial<LimitHit> = {}): LimitHit {
    return { key: `case:${freshId()}`, capacity: 3, windowMs: 3_000, backoff: null, ...given };
  }

  async function hit(one: LimitHit, now = NOW) {
    const [verdict] = await limits.hit([one], now);
    if (verdict === undefined) throw new Error('no verdict');
    return verdict;
  }

  async function fill(one: LimitHit): Promise<void> {
    for (let index = 0; index < one.capacity; index++) await hit(one);
  }

  describe('limits', () => {
    it('lets the capacity through, then refuses and says how long to wait', async () => {
      const one = bucket();
      expect(await hit(one)).toEqual({ allowed: true, remaining: 2, retryAfterMs: 0 });
      expect(await hit(one)).toEqual({ allowed: true, remaining: 1, retryAfterMs: 0 });
      expect(await hit(one)).toEqual({ allowed: true, remaining: 0, retryAfterMs: 1_000 });
      expect(await hit(one)).toEqual({ allowed: false, remaining: 0, retryAfterMs: 1_000 });
    });

    it('slides: a full bucket drains steadily, fractions of a hit included', async () => {
      const one = bucket();
      await fill(one);
      expect(await hit(one, later(500))).toMatchObject({ allowed: false, retryAfterMs: 500 });
      expect(await hit(one, later(1_000))).toMatchObject({ allowed: true });
      expect(await hit(one, later(1_500))).toMatchObject({ allowed: false, retryAfterMs: 500 });
      expect(await hit(one, later(60_000))).toMatchObject({ allowed: true, remaining: 2 });
    });

    it('with backoff lets single attempts through, further and further apart', async () => {
      const one = bucket({ windowMs: 3_000_000, backoff: { baseMs: 100, maxMs: 300 } });
      await fill(one);
      expect(await hit(one, later(50))).toMatchObject({ allowed: false, retryAfterMs: 50 });
      expect(await hit(one, later(100))).toMatchObject({ allowed: true, retryAfterMs: 200 });
      expect(await hit(one, later(200))).toMatchObject({ allowed: false });
      expect(await hit(one, later(300))).toMatchObject({ allowed: true, retryAfterMs: 300 });
    });

    it('fills up under hits of instances whose clocks differ', async () => {
      const [one, hourMs] = [bucket(), 3_600_000];
      const remaining: number[] = [];
      for (const ms of [0, hourMs, 0, hourMs, 0, hourMs])
        remaining.push((await hit(one, later(ms))).remaining);
      // What the first hit left drains once, as the clock that is ahead is met.
      expect(remaining).toEqual([2, 2, 1, 0, 0, 0]);
      expect(await hit(one, later(hourMs))).toMatchObject({ allowed: false });
    });

    it('drains on by the right clock after a hit by one that is days ahead', async () => {
      const one = bucket();
      await hit(one, later(9 * 86_400_000));
      await hit(one);
      expect(await hit(one, later(3_000))).toMatchObject({ remaining: 2 });
    });

    it('a refused hit changes nothing', async () => {
      const one = bucket();
      await fill(one);
      for (let index = 0; index < 5; index++) await hit(one, later(500));
      expect(await hit(one, later(1_000))).toMatchObject({ allowed: true });
    });

    it('answers several hits in their order, each for itself', async () => {
      const [full, empty] = [bucket(), bucket()];
      await fill(full);
      const verdicts = await limits.hit([empty, full, empty], NOW);
      expect(verdicts.map((verdict) => verdict.allowed)).toEqual([true, false, true]);
      expect(verdicts.map((verdict) => verdict.remaining)).toEqual([2, 0, 1]);
    });

    it('when one hit is refused none counts, and no bucket is made for it', async () => {
      const era = new Date('1984-01-01T00:00:00Z');
      const [full, part, fresh] = [bucket(), bucket({ backoff: { baseMs: 500, maxMs: 500 } }), bucket()];
      for (let index = 0; index < 3; index++) await hit(full, era);
      await hit(part, era);
      for (const hits of [
        [full, part, fresh],
        [fresh, part, full],
        [part, fresh, full],
      ]) {
        const verdicts = await limits.hit(hits, later(500, era));
        expect(verdicts.map(({ allowed }) => allowed)).toEqual(hits.map((one) => one !== full));
      }
      // Their times neither: a bucket that was touched then would be younger.
      expect(await limits.purge(later(1, era))).toBe(2);
      expect(await limits.purge(later(60_000, era))).toBe(0);
    });

    it('counts exactly when attempts that share one bucket are refused by others meanwhile', async () => {
      const shared = bucket({ capacity: 100, windowMs: 1e9 });
      const own = bucket({ capacity: 4, windowMs: 1e9 });
      const verdicts = await parallel(20, (index) =>
        limits.hit(index % 2 ? [shared, own] : [own, shared], NOW),
      );
      expect(verdicts.filter((each) => each.every(({ allowed }) => allowed))).toHaveLength(4);
      expect((await hit(shared)).remaining).toBe(95);
    });

    it('peek answers as a hit would, counts nothing and makes no bucket', async () => {
      const era = new Date('1983-01-01T00:00:00Z');
      const [full, fresh] = [bucket(), bucket()];
      for (let index = 0; index < 2; index++) await hit(full, era);
      for (let index = 0; index < 3; index++)
        expect(await limits.peek([full, fresh], era)).toMatchObject([{ remaining: 0 }, { remaining: 2 }]);
      await hit(full, era);
      expect(await limits.peek([fresh, full], later(500, era))).toEqual([
        { allowed: true, remaining: 2, retryAfterMs: 0 },
        { allowed: false, remaining: 0, retryAfterMs: 500 },
      ]);
      expect(await limits.peek([full], later(1_000, era))).toMatchObject([{ allowed: true }]);
      expect(await limits.purge(later(1, era))).toBe(1);
    });

    it('answers no hits with no verdicts', async () => {
      expect(await limits.hit([], NOW)).toEqual([]);
      expect(await limits.peek([], NOW)).toEqual([]);
    });

    it('counts exactly when many hit at once', async () => {
      const one = bucket({ capacity: 20, windowMs: 20_000 });
      const verdicts = await parallel(50, () => hit(one));
      expect(verdicts.filter((verdict) => verdict.allowed)).toHaveLength(20);
    });

    it('counts exactly when many hit the same buckets in opposite orders', async () => {
      const [a, b] = [bucket({ capacity: 15 }), bucket({ capacity: 15 })];
      const verdicts = await parallel(30, (index) => limits.hit(index % 2 === 0 ? [a, b] : [b, a], NOW));
      expect(verdicts.flat().filter((verdict) => verdict.allowed)).toHaveLength(30);
    });

    it('clear empties the buckets it names, and no other', async () => {
      const [a, b] = [bucket(), bucket()];
      await fill(a);
      await fill(b);
      await limits.clear([a.key, `case:${freshId()}`]);
      expect(await hit(a)).toMatchObject({ allowed: true, remaining: 2 });
      expect(await hit(b)).toMatchObject({ allowed: false });
    });

    it('refund takes one hit back, never below empty', async () => {
      const one = bucket();
      await fill(one);
      await limits.refund([one.key]);
      expect(await hit(one)).toMatchObject({ allowed: true, remaining: 0 });
      for (let index = 0; index < 5; index++) await limits.refund([one.key, `case:${freshId()}`]);
      expect(await hit(one)).toMatchObject({ allowed: true, remaining: 2 });
    });

    it('loses no refund among hits at once', async () => {
      const one = bucket({ capacity: 100, windowMs: 1e9 });
      await parallel(20, () => hit(one));
      await parallel(20, async (index) => {
        await (index % 2 === 0 ? hit(one) : limits.refund([one.key]));
      });
      expect((await hit(one)).remaining).toBe(79);
    });

    it('purge deletes the buckets untouched since then', async () => {
      const [old, recent] = [bucket({ windowMs: 1e13 }), bucket({ windowMs: 1e13 })];
      const era = new Date('1985-01-01T00:00:00Z');
      await hit(old, later(-1, era));
      await hit(recent, era);
      expect(await limits.purge(era)).toBe(1);
      expect(await hit(old, era)).toMatchObject({ remaining: 2 });
      expect(await hit(recent, era)).toMatchObject({ remaining: 1 });
      await limits.clear([old.key, recent.key]);
    });
  });
}
