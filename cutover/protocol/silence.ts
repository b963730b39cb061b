/**
 * Who waits for an instance needs no common clock: it watches the row's counter stand still for a lease and a margin.
 * Whatever that row was worth, it was worth it since before it was first seen, so by then it is worth nothing.
 */
import type { LeaseRow, Timing } from './types.ts';

export interface Watched {
  readonly incarnation: number;
  readonly counter: number;
  /** The watcher's monotonic clock when it first saw this very counter, ms. */
  readonly sinceMs: number;
  /** It was seen at another counter before: somebody is alive behind it. */
  readonly moved: boolean;
}

export type Watch = Readonly<Record<string, Watched>>;

/** Takes in the rows as read: a counter that moved starts over. */
export function watchRows(watch: Watch, rows: readonly LeaseRow[], nowMs: number): Watch {
  return Object.fromEntries(
    rows.map((row) => {
      const before = watch[row.instance];
      const same = before?.counter === row.counter && before.incarnation === row.incarnation;
      const { incarnation, counter } = row;
      const moved = before !== undefined;
      return [row.instance, same ? before : { incarnation, counter, sinceMs: nowMs, moved }];
    }),
  );
}

/**
 * Whether any lease this row stands for has run out. `watch` must already have taken in this row. `nowMs`: no later than the
 * row stood so, which is when it was asked for; who stood still before the answer came has seen nothing of that time.
 */
export function isSilent(watch: Watch, row: LeaseRow, nowMs: number, timing: Timing): boolean {
  const watched = watch[row.instance];
  return (
    watched !== undefined &&
    nowMs - watched.sinceMs >= Math.max(row.leaseMs, timing.leaseMs) + timing.marginMs
  );
}
