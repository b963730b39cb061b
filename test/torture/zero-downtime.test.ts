import { expect, test } from 'vitest';
import { runZeroDowntime } from './zero-downtime.ts';

test('TC09: the whole ladder, and every instance replaced, under steady traffic: no failed request, no lost write', {
  timeout: 300_000,
}, async () => {
  const seen = await runZeroDowntime({ seed: 9, perSecond: 25, people: 20 });
  expect(seen.failed).toEqual([]);
  expect(seen.findings).toEqual([]);
  expect(seen.moves).toEqual([
    'mongo-only → dual-write',
    'dual-write → shadow-read',
    'shadow-read → postgres-primary',
    'postgres-primary → postgres-only',
  ]);
  expect(seen.replaced).toEqual(
    ['a', 'b', 'c'].map((place) => ({ place, exitCode: 0, saidNotReady: true, servedMeanwhile: true })),
  );
  expect(seen.requests).toBeGreaterThan(100);
});
