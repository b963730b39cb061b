/**
 * Records that cannot be mirrored as they stand, set aside so that they hold nobody up. They stay marked, so they may
 * be forgotten here: they are then tried, and set aside, once more.
 */
import { compareStamps, type Entity, type Stamp } from '../../db/records.ts';
import type { Marked } from '../../db/replica.ts';
import { keyOf } from './queue.ts';

export type AsideKind = 'poison' | 'conflict';

export interface SetAside {
  readonly kind: AsideKind;
  /** Null: the record cannot be read. */
  readonly stamp: Stamp | null;
  readonly attempts: number;
  /** When to try again, ms on the monotonic clock. */
  readonly dueAtMs: number;
}

export interface Asides {
  get(entity: Entity, id: string): SetAside | null;
  put(entity: Entity, id: string, aside: SetAside): void;
  /** What was known of it; null: nothing. */
  take(entity: Entity, id: string): SetAside | null;
  /** Whether it is to be left alone for now: known, still in that state, and not due. */
  rests(mark: Marked, nowMs: number): boolean;
  count(kind: AsideKind): number;
  clear(): void;
}

export function createAsides(recordsMax: number): Asides {
  const records = new Map<string, SetAside>();
  const counts = { poison: 0, conflict: 0 };

  function remove(key: string): SetAside | null {
    const known = records.get(key) ?? null;
    if (known !== null) counts[known.kind] -= 1;
    records.delete(key);
    return known;
  }

  return {
    get: (entity, id) => records.get(keyOf(entity, id)) ?? null,
    put(entity, id, aside) {
      const key = keyOf(entity, id);
      remove(key);
      const [oldest] = records.keys();
      if (records.size >= recordsMax && oldest !== undefined) remove(oldest);
      records.set(key, aside);
      counts[aside.kind] += 1;
    },
    take: (entity, id) => remove(keyOf(entity, id)),
    rests({ entity, id, stamp }, nowMs) {
      const known = records.get(keyOf(entity, id));
      if (known === undefined || known.dueAtMs <= nowMs) return false;
      return known.stamp === null || compareStamps(known.stamp, stamp) === 0;
    },
    count: (kind) => counts[kind],
    clear() {
      records.clear();
      counts.poison = 0;
      counts.conflict = 0;
    },
  };
}
