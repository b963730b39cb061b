import { expect, test } from 'vitest';
import { runZeroDowntime } from './zero-downtime.ts';

test('TC09: the whole ladder, with backfill, verify and snapshot, and every instance replaced, under steady traffic: no failed request, no lost write', {
  timeout: 300_000,
}, async () => {
  const seen = await runZeroDowntime({ seed: 9, perSecond: 25, people: 12, legacy: 12, quiet: 24 });
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
  expect(seen.verified).toEqual(['dual-write', 'shadow-read', 'postgres-primary']);
  // Accounts of the old service that nobody touched, at the least: what was written since came by the mirror.
  expect(seen.copied).toBeGreaterThanOrEqual(24);
  expect(seen.snapshotBytes).toBeGreaterThan(0);
  expect(seen.requests).toBeGreaterThan(100);
});
