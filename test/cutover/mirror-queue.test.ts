import { describe, expect, test } from 'vitest';
import { createQueue, type Item } from '../../cutover/mirror/queue.ts';

const ids = (items: readonly Item[]) => items.map(({ id }) => id);

describe('the queue of the mirror', () => {
  test('holds each record once, and gives users first, one entity at a time', () => {
    const queue = createQueue(10);
    queue.add('session', 's1');
    queue.add('user', 'u1');
    queue.add('session', 's2');
    queue.add('user', 'u1');
    queue.add('user', 'u2');
    expect(queue.size()).toBe(4);
    expect(ids(queue.take(0, 1))).toEqual(['u1']);
    expect(ids(queue.take(0, 9))).toEqual(['u2']);
    expect(ids(queue.take(0, 9))).toEqual(['s1', 's2']);
    expect([queue.take(0, 9), queue.dueAtMs()]).toEqual([[], null]);
  });

  test('forgets everything rather than grow beyond its bound', () => {
    const queue = createQueue(10);
    for (let i = 0; i < 6; i += 1) queue.add('user', `u${i}`);
    for (let i = 0; i < 4; i += 1)
      queue.retry({ entity: 'session', id: `s${i}`, attempts: 1, alone: false }, 5);
    queue.add('user', 'u3');
    expect(queue.size()).toBe(10);
    queue.add('user', 'u9');
    expect([queue.size(), queue.has('user', 'u9'), queue.has('session', 's1')]).toEqual([1, true, false]);
  });

  test('gives users first again once it has forgotten everything in the middle of a round', () => {
    const queue = createQueue(10);
    for (const id of ['s1', 's2', 's3']) queue.add('session', id);
    expect(ids(queue.take(0, 1))).toEqual(['s1']);
    queue.clear();
    queue.add('session', 's4');
    queue.add('user', 'u1');
    expect([ids(queue.take(0, 9)), ids(queue.take(0, 9))]).toEqual([['u1'], ['s4']]);
  });

  test('keeps what failed until its time, alone if need be', () => {
    const queue = createQueue(10);
    const failed = (id: string): Item => ({ entity: 'user', id, attempts: 1, alone: true });
    queue.retry(failed('a'), 100);
    queue.retry(failed('b'), 200);
    expect([queue.take(99, 9), queue.dueAtMs()]).toEqual([[], 100]);
    queue.add('user', 'c');
    expect(ids(queue.take(100, 9))).toEqual(['c']);
    expect(ids(queue.take(100, 9))).toEqual(['a']);
    expect(queue.dueAtMs()).toBe(200);
    queue.hasten();
    queue.add('user', 'd');
    expect(ids(queue.take(100, 9))).toEqual(['b']);
    expect(ids(queue.take(100, 9))).toEqual(['d']);
  });

  test('what is written while it waits is due at once, and still alone', () => {
    const queue = createQueue(10);
    const failed: Item = { entity: 'user', id: 'a', attempts: 3, alone: true };
    queue.retry(failed, 1_000);
    queue.add('user', 'a');
    expect(queue.take(0, 9)).toEqual([failed]);
    queue.add('user', 'a');
    queue.retry(failed, 1_000);
    expect(queue.take(0, 9)).toEqual([failed]);
    expect(queue.size()).toBe(0);
  });

  test('a round is over once all that was due when it began has been taken, or forgotten', () => {
    const queue = createQueue(10);
    const over = [queue.isRoundOver()];
    const look = () => over.push(queue.isRoundOver());
    for (const id of ['s1', 's2', 's3']) queue.add('session', id);
    queue.add('user', 'u1');
    look();
    expect(ids(queue.take(0, 9))).toEqual(['u1']);
    look();
    queue.add('user', 'u2');
    queue.add('session', 's4');
    expect(ids(queue.take(0, 2))).toEqual(['s1', 's2']);
    look();
    expect(ids(queue.take(0, 2))).toEqual(['s3']);
    look();
    expect(ids(queue.take(0, 2))).toEqual(['u2']);
    look();
    queue.clear();
    look();
    expect(over).toEqual([true, true, false, false, true, false, true]);
  });

  test('lets users who are written all the time keep nobody else waiting', () => {
    const queue = createQueue(100);
    queue.add('user', 'u0');
    queue.add('session', 's0');
    const taken: string[] = [];
    for (let turn = 1; turn <= 4; turn += 1) {
      taken.push(...queue.take(0, 10).map(({ id }) => id));
      queue.add('user', `u${turn}`);
      queue.add('session', `s${turn}`);
    }
    expect(taken).toEqual(['u0', 's0', 'u1', 'u2', 's1', 's2']);
  });
});
