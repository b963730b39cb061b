/**
 * Ranges over `_id`, each within one BSON type: a comparison never finds values of another, so that with a range or more
 * for every type there is, no document is skipped. The ranges are cut by arithmetic, not by reading; whoever works one
 * gives back what is left of it when it turns out long.
 */
import { ObjectId } from 'bson';
import type { Doc } from '../../canonical.ts';
import type { Entity } from '../../records.ts';
import { type MongoBulk, packValue, unpackValue } from './client.ts';

/** Every type an `_id` can have; by number where servers differ about the name. */
export const ID_TYPES = [
  'objectId',
  'number',
  'string',
  'object',
  'binData',
  'bool',
  'date',
  'timestamp',
  'null',
  'minKey',
  'maxKey',
  'symbol',
  'javascript',
  15,
  12,
] as const;
export type IdType = (typeof ID_TYPES)[number];

/** `after` excluded, `upTo` included; null: from the type's first, to its last. Values are packed. */
export interface IdRange {
  readonly type: IdType;
  readonly after: string | null;
  readonly upTo: string | null;
}

export function rangeFilter({ type, after, upTo }: IdRange): Doc {
  return {
    _id: {
      $type: type,
      ...(after === null ? {} : { $gt: unpackValue(after) }),
      ...(upTo === null ? {} : { $lte: unpackValue(upTo) }),
    },
  };
}

/** Whether a range may be cut after this value: nothing compares as greater than NaN. */
export function mayCutAfter(value: unknown): boolean {
  return !(typeof value === 'number' && Number.isNaN(value));
}

/** At least one range for each type that occurs; ObjectIds in about `parts`. */
export async function cutRanges(bulk: MongoBulk, entity: Entity, parts: number): Promise<readonly IdRange[]> {
  const ranges: IdRange[] = [];
  for (const type of ID_TYPES) {
    const first = await edge(bulk, entity, type, 1);
    if (first === undefined) continue;
    const whole: IdRange = { type, after: null, upTo: null };
    if (type !== 'objectId' && type !== 'number') {
      ranges.push(whole);
      continue;
    }
    const last = await edge(bulk, entity, type, -1);
    const cuts = cutsBetween(first, last, parts).map(packValue);
    const bounds = [null, ...cuts, null];
    for (let i = 1; i < bounds.length; i += 1) {
      ranges.push({ type, after: bounds[i - 1] ?? null, upTo: bounds[i] ?? null });
    }
  }
  return ranges;
}

async function edge(bulk: MongoBulk, entity: Entity, type: IdType, way: 1 | -1): Promise<unknown> {
  const doc = await bulk.collection(entity).findOne({ _id: { $type: type } } as never, {
    projection: { _id: 1 },
    sort: { _id: way },
    maxTimeMS: bulk.timeoutMs,
  });
  return doc?._id;
}

/** Values that cut between the two in equal steps of their leading bits. */
function cutsBetween(first: unknown, last: unknown, parts: number): readonly unknown[] {
  if (typeof first === 'number' && typeof last === 'number') {
    const step = (last - first) / parts;
    if (!Number.isFinite(step) || step < 1) return [];
    return Array.from({ length: parts - 1 }, (_, i) => Math.floor(first + step * (i + 1)));
  }
  if (!(first instanceof ObjectId) || !(last instanceof ObjectId)) return [];
  const [low, high] = [first, last].map((id) => BigInt(`0x${id.toHexString()}`));
  if (low === undefined || high === undefined) return [];
  const step = (high - low) / BigInt(parts);
  if (step < 1n) return [];
  return Array.from({ length: parts - 1 }, (_, i) =>
    ObjectId.createFromHexString((low + step * BigInt(i + 1)).toString(16).padStart(24, '0')),
  );
}
