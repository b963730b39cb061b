import { beforeEach, expect, test } from 'vitest';
import { createTraffic, type Traffic } from '../../cutover/traffic.ts';
import { type Clock, manualClock } from './support/shadow-world.ts';

let clock: Clock;
let traffic: Traffic;

beforeEach(() => {
  clock = manualClock();
  traffic = createTraffic(clock.environment);
});

/** When it resolved, ms; null while it has not. */
function lullOf(maxMs: number): () => number | null {
  let atMs: number | null = null;
  void traffic.lull(maxMs).then(() => {
    atMs = clock.environment.now().monotonicMs;
  });
  return () => atMs;
}

test('without an operation under way it is a lull at once', async () => {
  const lull = lullOf(100);
  await clock.advance(0);
  expect(lull()).toBe(0);
});

test('a lull begins a moment after the last operation has ended', async () => {
  traffic.begin();
  traffic.begin();
  const lull = lullOf(100);
  await clock.advance(10);
  traffic.end();
  await clock.advance(10);
  expect(lull()).toBeNull();
  traffic.end();
  await clock.advance(10);
  expect(lull()).toBe(21);
});

test('an operation that follows within that moment puts it off', async () => {
  traffic.begin();
  const lull = lullOf(100);
  await clock.advance(10);
  traffic.end();
  traffic.begin();
  await clock.advance(10);
  expect(lull()).toBeNull();
  traffic.end();
  await clock.advance(10);
  expect(lull()).toBe(21);
});

test('nobody waits for longer than it asked to, and all who wait go on together', async () => {
  traffic.begin();
  const [short, long, longer] = [lullOf(20), lullOf(100), lullOf(200)];
  await clock.advance(50);
  expect([short(), long(), longer()]).toEqual([20, null, null]);
  traffic.end();
  await clock.advance(10);
  expect([long(), longer()]).toEqual([51, 51]);
});
