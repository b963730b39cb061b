/**
 * What a copy costs the service, and what to do about it. Instances say in their rows how slow the authority has lately
 * been for them; a copy goes slower as soon as that passes a bound, and ends when it passes another. Pure.
 */
import type { LeaseReport } from '../control.ts';
import { isSilent, type Watch } from '../protocol/silence.ts';
import type { Timing } from '../protocol/types.ts';
import type { Settings } from '../settings.ts';

/**
 * The slowest living instance's p99, ms; null: none has said anything. A row that was not seen to move may be a dead
 * instance's. `watch` must already have taken in these rows.
 */
export function slowestMs(
  watch: Watch,
  rows: readonly LeaseReport[],
  nowMs: number,
  timing: Timing,
): number | null {
  const heard = rows.flatMap((row) => {
    const lives = watch[row.instance]?.moved === true && !isSilent(watch, row, nowMs, timing);
    const p99Ms = row.facts?.p99Ms ?? null;
    return lives && p99Ms !== null ? [p99Ms] : [];
  });
  return heard.length === 0 ? null : Math.max(...heard);
}

/** Whether some row says how slow its instance is that nobody knows yet to be a living one's, or a dead one's. */
export function isUnheard(
  watch: Watch,
  rows: readonly LeaseReport[],
  nowMs: number,
  timing: Timing,
): boolean {
  return rows.some(
    (row) =>
      (row.facts?.p99Ms ?? null) !== null &&
      watch[row.instance]?.moved !== true &&
      !isSilent(watch, row, nowMs, timing),
  );
}

/** How a copy goes at present. */
export type Strain =
  | { readonly kind: 'free' }
  | {
      readonly kind: 'slowed';
      /** Documents each second at most. */
      readonly rate: number;
      /** What it moved before it was slowed. */
      readonly before: number;
      readonly p99Ms: number;
      readonly boundMs: number;
    }
  | {
      readonly kind: 'over';
      /** What it moved before it was slowed, or stopped. */
      readonly before: number;
      readonly p99Ms: number;
      readonly boundMs: number;
    };

export const FREE: Strain = { kind: 'free' };

/** It never comes to a stand: what is slowed to this takes its time. */
const RATE_MIN = 10;
const SLOWER = 0.5;
const FASTER = 1.5;

/**
 * Halves the rate at each look at which the service is too slow, and lets it grow again at each at which it is not; from the
 * slowest on, when it was so slow that the copy had to stop.
 */
export function decideStrain(
  strain: Strain,
  { p99Ms, perSecond }: { readonly p99Ms: number | null; readonly perSecond: number },
  settings: Pick<Settings, 'backfill-slow-p99-ms' | 'backfill-stop-p99-ms'>,
): Strain {
  const { 'backfill-slow-p99-ms': slowMs, 'backfill-stop-p99-ms': stopMs } = settings;
  const before = strain.kind === 'free' ? perSecond : strain.before;
  if (p99Ms !== null && stopMs > 0 && p99Ms > stopMs) {
    return { kind: 'over', before, p99Ms, boundMs: stopMs };
  }
  if (strain.kind === 'over') {
    const { boundMs } = strain;
    return { kind: 'slowed', rate: RATE_MIN, before, p99Ms: p99Ms ?? strain.p99Ms, boundMs };
  }
  const slowed = strain.kind === 'slowed' ? strain : null;
  if (p99Ms !== null && slowMs > 0 && p99Ms > slowMs) {
    const rate = Math.max(RATE_MIN, Math.floor((slowed?.rate ?? perSecond) * SLOWER));
    return { kind: 'slowed', rate, before, p99Ms, boundMs: slowMs };
  }
  if (slowed === null || slowMs === 0) return FREE;
  const rate = Math.ceil(slowed.rate * FASTER);
  return rate >= slowed.before ? FREE : { ...slowed, rate, p99Ms: p99Ms ?? slowed.p99Ms };
}
