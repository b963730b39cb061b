import { expect, test } from 'vitest';
import { backoffMs } from '../../cutover/mirror/backoff.ts';
import { DEFAULT_SETTINGS } from '../../cutover/settings.ts';

test('every setting has its default', () => {
  expect(DEFAULT_SETTINGS).toEqual({
    'poll-ms': 500,
    'fast-poll-ms': 20,
    'heartbeat-ms': 500,
    'lease-ms': 5_000,
    'margin-ms': 2_000,
    'deadline-ms': 10_000,
    'fence-max-ms': 2_000,
    'flip-attempts': 3,
    'mirror-paused': false,
    'mirror-gather-ms': 50,
    'mirror-batch': 100,
    'mirror-retry-min-ms': 50,
    'mirror-retry-max-ms': 30_000,
    'breaker-failures': 5,
    'breaker-window-ms': 10_000,
    'breaker-half-open-ms': 5_000,
    'shadow-sample': 1,
    'shadow-rate': 200,
    'shadow-queue': 1_000,
    'shadow-recheck-ms': '1000,5000,30000',
    'shadow-baseline': false,
    'shadow-ignore': '[]',
    'gate-shadow-pending': 1_000,
    'gate-shadow-oldest-ms': 60_000,
    'gate-primary-comparisons': 10_000,
    'gate-primary-window-ms': 86_400_000,
    'gate-primary-mismatches': 0,
    'gate-primary-pending': 100,
    'gate-primary-oldest-ms': 5_000,
    'gate-verify-age-ms': 86_400_000,
    'gate-snapshot-age-ms': 86_400_000,
    'gate-only-soak-ms': 86_400_000,
    'backfill-rate': 0,
    'backfill-slow-p99-ms': 200,
    'backfill-stop-p99-ms': 1_000,
    'backfill-paused': false,
  });
});

test('the mirror waits twice as long after each failure, up to a bound, and no two instances alike', () => {
  const settings = { 'mirror-retry-min-ms': 50, 'mirror-retry-max-ms': 30_000 };
  const waits = (chance: number) =>
    [1, 2, 3, 4, 10, 11, 1_000].map((failures) => backoffMs(failures, settings, { random: () => chance }));
  expect(waits(1)).toEqual([50, 100, 200, 400, 25_600, 30_000, 30_000]);
  expect(waits(0)).toEqual([25, 50, 100, 200, 12_800, 15_000, 15_000]);
});
