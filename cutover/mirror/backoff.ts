import type { Environment } from '../environment.ts';
import type { Settings } from '../settings.ts';

/** How long to wait after the `failures`-th failure in a row, ms: doubling, and spread so that many do not come at once. */
export function backoffMs(
  failures: number,
  settings: Pick<Settings, 'mirror-retry-min-ms' | 'mirror-retry-max-ms'>,
  { random }: Pick<Environment, 'random'>,
): number {
  const doublings = Math.min(Math.max(failures - 1, 0), 30);
  const longest = Math.min(settings['mirror-retry-max-ms'], settings['mirror-retry-min-ms'] * 2 ** doublings);
  return longest * (0.5 + random() / 2);
}
