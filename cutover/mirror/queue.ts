/**
 * What this instance has still to mirror: ids only, each once, and not too many of them. It may forget all of it at
 * any time, since the marks in the authority say the same.
 */
import { ENTITIES, type Entity } from '../../db/records.ts';

export interface Item {
  readonly entity: Entity;
  readonly id: string;
  /** How often it did not work. */
  readonly attempts: number;
  /** To be tried in a batch of its own, since it may be what made a whole batch fail. */
  readonly alone: boolean;
}

export interface Queue {
  /** To be mirrored at once. */
  add(entity: Entity, id: string): void;
  /** To be tried again at that time, ms on the monotonic clock, unless it is written and added before. */
  retry(item: Item, atMs: number): void;
  has(entity: Entity, id: string): boolean;
  /**
   * Up to `max` of one entity that are due. In rounds, each with what is due when it begins, users before the rest: what
   * belongs to a user follows it, and users who are written all the time do not keep sessions waiting for ever.
   */
  take(nowMs: number, max: number): readonly Item[];
  /** Whether the next `take` begins a round: what was due when the last one began has all been taken. */
  isRoundOver(): boolean;
  /** When something will be due; null when nothing is queued. */
  dueAtMs(): number | null;
  /** Makes everything due. */
  hasten(): void;
  clear(): void;
  size(): number;
}

export const keyOf = (entity: Entity, id: string): string => `${entity}/${id}`;

interface Waiting {
  readonly item: Item;
  readonly atMs: number;
}

const NONE_LEFT: Readonly<Record<Entity, number>> = {
  user: 0,
  verificationToken: 0,
  resetToken: 0,
  session: 0,
};

export function createQueue(itemsMax: number): Queue {
  const due: { readonly [E in Entity]: Map<string, Item> } = {
    user: new Map(),
    verificationToken: new Map(),
    resetToken: new Map(),
    session: new Map(),
  };
  /** What of this round is left, by entity: so many of the longest due. */
  let round = { ...NONE_LEFT };
  const waiting = new Map<string, Waiting>();
  /** The earliest of the waiting, or earlier. */
  let nextMs = Number.POSITIVE_INFINITY;

  const size = (): number => ENTITIES.reduce((sum, entity) => sum + due[entity].size, waiting.size);

  function clear(): void {
    for (const entity of ENTITIES) due[entity].clear();
    waiting.clear();
    nextMs = Number.POSITIVE_INFINITY;
    round = { ...NONE_LEFT };
  }

  function put(item: Item): void {
    // A mirror that is down for long must not fill the memory: the sweep finds the marks of all these again.
    if (size() >= itemsMax && !due[item.entity].has(item.id)) clear();
    due[item.entity].set(item.id, item);
  }

  function wake(nowMs: number): void {
    if (nowMs < nextMs) return;
    nextMs = Number.POSITIVE_INFINITY;
    for (const [key, { item, atMs }] of waiting) {
      if (atMs > nowMs) {
        nextMs = Math.min(nextMs, atMs);
        continue;
      }
      waiting.delete(key);
      if (!due[item.entity].has(item.id)) due[item.entity].set(item.id, item);
    }
  }

  const leftOfRound = (): Entity | undefined =>
    ENTITIES.find((each) => round[each] > 0 && due[each].size > 0);

  function nextOfRound(): Entity | undefined {
    const left = leftOfRound();
    if (left !== undefined) return left;
    const sizeOf = (entity: Entity): number => due[entity].size;
    round = {
      user: sizeOf('user'),
      verificationToken: sizeOf('verificationToken'),
      resetToken: sizeOf('resetToken'),
      session: sizeOf('session'),
    };
    return ENTITIES.find((each) => round[each] > 0);
  }

  return {
    size,
    clear,
    add(entity, id) {
      const before = waiting.get(keyOf(entity, id))?.item;
      waiting.delete(keyOf(entity, id));
      put(before ?? due[entity].get(id) ?? { entity, id, attempts: 0, alone: false });
    },
    retry(item, atMs) {
      if (due[item.entity].has(item.id)) {
        // Written meanwhile: it is due anyway, and may still be what is in the way.
        due[item.entity].set(item.id, item);
        return;
      }
      if (size() >= itemsMax) clear();
      waiting.set(keyOf(item.entity, item.id), { item, atMs });
      nextMs = Math.min(nextMs, atMs);
    },
    has: (entity, id) => due[entity].has(id) || waiting.has(keyOf(entity, id)),
    take(nowMs, max) {
      wake(nowMs);
      const entity = nextOfRound();
      if (entity === undefined) return [];
      const most = Math.min(max, round[entity]);
      const taken: Item[] = [];
      for (const item of due[entity].values()) {
        if (taken.length >= most || (item.alone && taken.length > 0)) break;
        taken.push(item);
        if (item.alone) break;
      }
      for (const { id } of taken) due[entity].delete(id);
      round[entity] -= taken.length;
      return taken;
    },
    isRoundOver: () => leftOfRound() === undefined,
    dueAtMs() {
      if (ENTITIES.some((entity) => due[entity].size > 0)) return Number.NEGATIVE_INFINITY;
      return waiting.size === 0 ? null : nextMs;
    },
    hasten() {
      wake(Number.POSITIVE_INFINITY);
    },
  };
}
