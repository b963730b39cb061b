/**
 * Ranges over `_id`. Where it pays there are several, each within one BSON type: a comparison never finds values of
 * another, so that with a range or more for every type there is, no document is skipped. These are cut by arithmetic, not
 * by reading. Elsewhere one range holds a whole collection, in the order of its index. Whoever works a range gives back
 * what is left of it when it turns out long.
 */
import { ObjectId } from 'bson';
import { bsonType } from '../../bson.ts';
import type { Doc } from '../../canonical.ts';
import { ENTITIES, type Entity } from '../../records.ts';
import { type MongoBulk, packValue, unpackValue } from './client.ts';

/** Every type an `_id` can have; by number where servers differ about the name. */
const ID_TYPES = [
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

/** `after` excluded, `upTo` included; null: from the first, to the last. Values are packed. */
export interface IdRange {
  /** `any`: all of them, in the order that MongoDB has for them. */
  readonly type: IdType | 'any';
  readonly after: string | null;
  readonly upTo: string | null;
}

/** What to ask for. */
export interface Query {
  readonly filter: Doc;
  /** Bounds in the index, which are the only ones that hold across types: `min` is included, `max` is not. */
  readonly bounds: { readonly min?: Doc; readonly max?: Doc };
}

/** The queries that give a range's documents, one after the other; with the range's own `after` where types mix. */
export function queriesOf({ type, after, upTo }: IdRange): readonly Query[] {
  // What is left of a range that was cut at its own end: nothing, and bounds that MongoDB refuses.
  if (after !== null && after === upTo) return [];
  const [low, high] = [after, upTo].map((packed) =>
    packed === null ? null : { value: unpackValue(packed) },
  );
  if (type === 'any') {
    const min = low && { min: { _id: low.value } };
    const max = high && { max: { _id: high.value } };
    const within: Query = { filter: {}, bounds: { ...min, ...max } };
    return high ? [within, { filter: { _id: { $eq: high.value } }, bounds: {} }] : [within];
  }
  const _id = { $type: type, ...(low && { $gt: low.value }), ...(high && { $lte: high.value }) };
  return [{ filter: { _id }, bounds: {} }];
}

/** Whether a range may be cut after this value: nothing compares as greater than NaN. */
export function mayCutAfter({ type }: IdRange, value: unknown): boolean {
  return type === 'any' || !(typeof value === 'number' && Number.isNaN(value));
}

/** Below this one cursor is faster than several: the next batch is read while this one is worked on anyhow. */
const RANGE_DOCUMENTS = 100_000;

/** How many ranges a collection is worth, `parts` at most: one where the server would read all of it for each. */
export async function usefulParts(bulk: MongoBulk, entity: Entity, parts: number): Promise<number> {
  if (parts === 1 || !(await isSeeking(bulk, entity))) return 1;
  const count = await bulk.collection(entity).estimatedDocumentCount();
  return Math.max(1, Math.min(parts, Math.ceil(count / RANGE_DOCUMENTS)));
}

/** How many documents there are, about. MongoDB knows; another server may have to look at each. */
export async function countDocuments(bulk: MongoBulk): Promise<number> {
  let count = 0;
  for (const entity of ENTITIES) count += await bulk.collection(entity).estimatedDocumentCount();
  return count;
}

/** Whether the server finds a range of `_id` in its index. MongoDB does; what speaks its protocol need not. */
async function isSeeking(bulk: MongoBulk, entity: Entity): Promise<boolean> {
  const plan = await bulk
    .collection(entity)
    .find({ _id: { $gt: MIDDLE } } as never, { sort: { _id: 1 }, maxTimeMS: bulk.timeoutMs })
    .explain('queryPlanner');
  return !JSON.stringify(plan['queryPlanner'] ?? {}).includes('"COLLSCAN"');
}

const MIDDLE = ObjectId.createFromHexString('7'.padEnd(24, 'f'));

/** One range for all, or at least one for each type that occurs; ObjectIds and numbers in `parts` at most. */
export async function cutRanges(bulk: MongoBulk, entity: Entity, parts: number): Promise<readonly IdRange[]> {
  if (parts === 1) return [{ type: 'any', after: null, upTo: null }];
  // The order is by type first: between two ObjectIds there is nothing else, and the index says so at once.
  const [first, last] = await Promise.all([findId(bulk, entity, {}, 1), findId(bulk, entity, {}, -1)]);
  if (first === undefined) return [];
  if ([first, last].every((id) => bsonType(id) === 'ObjectId'))
    return between('objectId', first, last, parts);
  const each = await Promise.all(ID_TYPES.map((type) => cutType(bulk, entity, type, parts)));
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
