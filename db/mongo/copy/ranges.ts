/**
 * Ranges over `_id`, each within one BSON type: a comparison never finds values of another, so that with a range or more
 * for every type there is, no document is skipped. The ranges are cut by arithmetic, not by reading; whoever works one
 * gives back what is left of it when it turns out long.
 */
import { ObjectId } from 'bson';
import { bsonType } from '../../bson.ts';
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

/** No range is worth cutting below this. */
const RANGE_DOCUMENTS_MIN = 2_000;

/** At least one range for each type that occurs; ObjectIds and numbers in `parts` at most. */
export async function cutRanges(bulk: MongoBulk, entity: Entity, parts: number): Promise<readonly IdRange[]> {
  const count = await bulk.collection(entity).estimatedDocumentCount();
  const wanted = Math.max(1, Math.min(parts, Math.ceil(count / RANGE_DOCUMENTS_MIN)));
  // The order is by type first: between two ObjectIds there is nothing else, and the index says so at once.
  const [first, last] = await Promise.all([findId(bulk, entity, {}, 1), findId(bulk, entity, {}, -1)]);
  if (first === undefined) return [];
  if ([first, last].every((id) => bsonType(id) === 'ObjectId'))
    return between('objectId', first, last, wanted);
  const each = await Promise.all(ID_TYPES.map((type) => cutType(bulk, entity, type, wanted)));
  return each.flat();
}

async function cutType(
  bulk: MongoBulk,
  entity: Entity,
  type: IdType,
  parts: number,
): Promise<readonly IdRange[]> {
  const first = await edge(bulk, entity, type, 1);
  if (first === undefined) return [];
  const isEven = parts > 1 && (type === 'objectId' || type === 'number');
  return between(type, first, isEven ? await edge(bulk, entity, type, -1) : first, parts);
}

function between(type: IdType, first: unknown, last: unknown, parts: number): readonly IdRange[] {
  const bounds = [null, ...cutsBetween(first, last, parts).map(packValue), null];
  return bounds.slice(1).map((upTo, i) => ({ type, after: bounds[i] ?? null, upTo }));
}

const edge = (bulk: MongoBulk, entity: Entity, type: IdType, way: 1 | -1): Promise<unknown> =>
  findId(bulk, entity, { _id: { $type: type } }, way);

async function findId(bulk: MongoBulk, entity: Entity, filter: Doc, way: 1 | -1): Promise<unknown> {
  const options = { projection: { _id: 1 }, sort: { _id: way }, maxTimeMS: bulk.timeoutMs } as const;
  return (await bulk.collection(entity).findOne(filter as never, options))?._id;
}

/** Values that cut between the two in equal steps of their leading bits. */
function cutsBetween(first: unknown, last: unknown, parts: number): readonly unknown[] {
  if (typeof first === 'number' && typeof last === 'number') {
    const step = (last - first) / parts;
    if (!Number.isFinite(step) || step < 1) return [];
    return Array.from({ length: parts - 1 }, (_, i) => Math.floor(first + step * (i + 1)));
  }
  // Not by class: the driver has its own copy of it.
  if (bsonType(first) !== 'ObjectId' || bsonType(last) !== 'ObjectId') return [];
  const [low, high] = [first, last].map((id) => BigInt(`0x${String(id)}`));
  if (low === undefined || high === undefined) return [];
  const step = (high - low) / BigInt(parts);
  if (step < 1n) return [];
  return Array.from({ length: parts - 1 }, (_, i) =>
    ObjectId.createFromHexString((low + step * BigInt(i + 1)).toString(16).padStart(24, '0')),
  );
}
