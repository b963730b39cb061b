import { describe, expect, it } from 'vitest';
import { gathered, shared, within } from '../../db/within.ts';

describe('a shared question', () => {
  it('is never one that began before the caller called', async () => {
    const begun: PromiseWithResolvers<number>[] = [];
    const ask = shared(() => {
      const question = Promise.withResolvers<number>();
      begun.push(question);
      return question.promise;
    });
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const first = ask();
    await turn();
    const late = [ask(), ask()];
    await turn();
    expect(begun).toHaveLength(1);
    begun[0]?.resolve(1);
    expect(await first).toBe(1);
    await turn();
    expect(begun).toHaveLength(2);
    const last = ask();
    begun[1]?.reject(new Error('away'));
    for (const each of late) await expect(each).rejects.toThrow('away');
    await turn();
    begun[2]?.resolve(3);
    expect(await last).toBe(3);
    expect(begun).toHaveLength(3);
  });
});

it('a gathered question is about all that those name who wait for it', async () => {
  const asked: (readonly number[])[] = [];
  const first = Promise.withResolvers<number>();
  const ask = gathered(async (named: readonly number[]) => {
    asked.push(named);
    return asked.length === 1 ? first.promise : asked.length;
  });
  const early = [ask([1]), ask([2, 3])];
  await new Promise((resolve) => setImmediate(resolve));
  const late = [ask([4]), ask([5])];
  first.resolve(1);
  expect(await Promise.all([...early, ...late])).toEqual([1, 1, 2, 2]);
  expect(asked).toEqual([
    [1, 2, 3],
    [4, 5],
  ]);
});

describe('a limit in time', () => {
  it('rejects what has not settled, and lets through what has', async () => {
    const late = () => new Error('late');
    expect(await within(10_000, Promise.resolve(1), late)).toBe(1);
    await expect(within(10_000, Promise.reject(new Error('own')), late)).rejects.toThrow('own');
    const slow = Promise.withResolvers<number>();
    await expect(within(1, slow.promise, late)).rejects.toThrow('late');
    slow.reject(new Error('nobody listens'));
  });
});
