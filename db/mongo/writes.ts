/** The guarded writes every operation is made of. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  assignments,
  type Codec,
  type Doc,
  isStamped,
  markOf,
  type Path,
  STORE_FIELDS,
  type Written,
} from '../canonical.ts';
import { StaleWrite, StoreUnavailable } from '../errors.ts';
import { decodeId } from '../ids.ts';
import type { WriteContext } from '../port.ts';
import type { Entity, New, RecordOf } from '../records.ts';
import type { Decision } from '../transitions.ts';
import type { Client } from './client.ts';
import { duplicateKey, refusedByValidator, takenError } from './errors.ts';
import { fieldsToSet } from './fields-to-set.ts';
import { guard, guarded, STAMP } from './guard.ts';
import { settingWithMark } from './mark.ts';
import type { StoredDoc } from './models.ts';
import type { Serial } from './serial.ts';
import { assertMayWrite, type Steps } from './steps.ts';

/** The connection, and the authority it writes under. */
export interface Scope {
  readonly client: Client;
  readonly context: WriteContext;
  readonly serial: Serial;
  /** Of the operation, when it has several writes. */
  readonly steps?: Steps;
}

/** How often a change that lost a race is decided anew. Each round some writer wins, so more means a storm. */
const ATTEMPTS_MAX = 30;
const JITTER_MAX_MS = 20;

export interface Found<E extends Entity> {
  readonly doc: StoredDoc;
  readonly record: RecordOf[E];
}

/** The document with this id and what it means; null when there is none, or none that can be read. */
export async function find<E extends Entity>(
  client: Client,
  entity: E,
  id: string,
): Promise<Found<E> | null> {
  const _id = decodeId(id);
  if (_id === undefined) return null;
  const [found] = await findAll(client, entity, { _id: { $eq: _id } }, { limit: 1 });
  return found ?? null;
}

/** The readable ones of the documents that match. */
export async function findAll<E extends Entity>(
  client: Client,
  entity: E,
  filter: Doc,
  options: { readonly limit: number; readonly sort?: Record<string, 1 | -1> },
): Promise<Found<E>[]> {
  const docs = await client.readCommitted(({ models }, firm) =>
    models[entity]
      .find(filter, null, { ...options, ...firm })
      .lean<StoredDoc[]>()
      .exec(),
  );
  return docs.flatMap((doc) => {
    const canonical = client.codec.read(entity, doc);
    return 'record' in canonical ? [{ doc, record: canonical.record }] : [];
  });
}

/** Stores a new record as version 1. Throws `IdTaken`, or `EmailTaken` for a user. */
export async function insert<E extends Entity>(
  { client, context, steps }: Scope,
  entity: E,
  record: New<RecordOf[E]>,
): Promise<void> {
  const stamped = { ...record, stamp: { epoch: context.epoch, version: 1 } } as RecordOf[E];
  const doc = {
    ...client.codec.toDocument(entity, stamped),
    ...(context.pending ? { [STORE_FIELDS.pendingAt]: new Date() } : {}),
  };
  try {
    await client.write(({ models, maxTimeMS }) => {
      assertMayWrite(context);
      return models[entity].collection.insertOne(doc as never, { maxTimeMS });
    });
  } catch (error) {
    const key = duplicateKey(error);
    throw key === null ? refusedByValidator(error) : takenError(entity, key);
  }
  steps?.wrote();
  context.onWrite?.(entity, record.id);
}

export type Change<E extends Entity, R extends string> =
  | { readonly done: RecordOf[E] }
  | { readonly refused: R };

/** What becomes of fields that are not the record's: they survive, unless nothing but the record is to be left. */
export interface Extra {
  readonly bare?: boolean;
  /** Set in the same write. */
  readonly also?: Doc;
}

/**
 * One guarded write of one document: read, decide, commit only over what was read, and again when another write came
 * between. Null when there is no record. `known`, a document that has just been read, spares the first reading; only a write
 * may come of it, never a refusal, since it may be out of date.
 */
export async function change<E extends Entity, R extends string>(
  scope: Scope,
  entity: E,
  id: string,
  decide: (record: RecordOf[E]) => Decision<RecordOf[E], R>,
  extra: Extra = {},
  known: Found<E> | null = null,
): Promise<Change<E, R> | null> {
  const commit = async (found: Found<E>, next: New<RecordOf[E]>): Promise<Change<E, R> | 'lost'> => {
    const done = await replace(scope, entity, found, next, extra);
    return done === null ? 'lost' : { done };
  };
  const attempt = async (): Promise<Change<E, R> | null | 'lost'> => {
    const found = await find(scope.client, entity, id);
    if (found === null) return null;
    const decision = decide(found.record);
    return 'refused' in decision ? decision : commit(found, decision.next);
  };
  const early = known === null ? null : decide(known.record);
  if (known !== null && early !== null && 'next' in early) {
    const result = await commit(known, early.next);
    if (result !== 'lost') return result;
  }
  const first = await attempt();
  if (first !== 'lost') return first;
  // Whoever lost once queues up behind the others of this process: otherwise n writers need n rounds each.
  return scope.serial(`${entity} ${id}`, async () => {
    for (let round = 1; round < ATTEMPTS_MAX; round += 1) {
      await delay(Math.random() * JITTER_MAX_MS);
      const result = await attempt();
      if (result !== 'lost') return result;
    }
    throw new StoreUnavailable('mongo', 'none', 'contention');
  });
}

/** The record as written, or null when the document is no longer as it was read. Throws `StaleWrite`. */
async function replace<E extends Entity>(
  { client, context, steps }: Scope,
  entity: E,
  { doc, record }: Found<E>,
  next: New<RecordOf[E]>,
  extra: Extra = {},
): Promise<RecordOf[E] | null> {
  if (record.stamp.epoch > context.epoch) throw new StaleWrite(entity, record.stamp, context.epoch);
  const stamp = { epoch: context.epoch, version: record.stamp.version + 1 };
  const written = { ...next, stamp } as RecordOf[E];
  const { codec } = client;
  const { paths, ...how } =
    extra.bare === true
      ? bareDocument(codec, entity, written, keptMark(doc, context.pending))
      : changedFields(codec, entity, { doc, record }, written);
  const filter = {
    _id: { $eq: doc._id },
    ...guard(doc, [...STAMP, ...guarded(codec, entity, paths)]),
  } as never;
  const write = client.write(({ models, maxTimeMS }) => {
    assertMayWrite(context);
    const { collection } = models[entity];
    if ('replacement' in how) return collection.replaceOne(filter, how.replacement, { maxTimeMS });
    const set = { ...how.set, ...extra.also, ...stamp };
    const update = settingWithMark(doc, set, context.pending);
    return collection.updateOne(filter, update as never, { maxTimeMS });
  });
  const { matchedCount } = await write.catch((error: unknown) => {
    throw refusedByValidator(error);
  });
  if (matchedCount === 0) return null;
  steps?.wrote();
  context.onWrite?.(entity, record.id);
  return written;
}

interface Assigned {
  readonly set: Doc;
  /** What was read from where decides whether it may be set. */
  readonly paths: readonly Path[];
}

function changedFields<E extends Entity>(
  codec: Codec,
  entity: E,
  { doc, record }: Found<E>,
  written: RecordOf[E],
): Assigned {
  const before = codec.write(entity, record);
  // The stamp makes a legacy document one of ours, in which some shapes would mean something else.
  const isLegacy = !isStamped(doc);
  const changed = isLegacy
    ? fieldsToSet(codec, entity, doc, written)
    : codec
        .write(entity, written)
        .filter(
          (field, place) =>
            !isIdentity(field, codec, entity) && !isSame(plainAt(before, field, place), field.plain),
        );
  return { set: assignments(doc, changed), paths: changed.map(({ path }) => path) };
}

/** The same place before; records of one kind mostly list their places alike. */
function plainAt(before: readonly Written[], { path }: Written, place: number): unknown {
  const same = before[place];
  if (same?.path === path) return same.plain;
  return before.find((field) => field.path.text === path.text)?.plain;
}

const isIdentity = ({ path }: Written, codec: Codec, entity: Entity): boolean =>
  path.text === '_id' || (entity !== 'user' && path.text === codec.path(entity, 'userId').text);

/**
 * When nothing but the record is to be left: whole, in place of the document, for there are names of fields that no update can
 * take out. An absent field already means null.
 */
export function bareDocument<E extends Entity>(
  codec: Codec,
  entity: E,
  record: RecordOf[E],
  pendingAt: Date | null,
): { readonly replacement: Doc; readonly paths: readonly Path[] } {
  const { _id, ...own } = codec.toDocument(entity, record);
  const all = { ...own, [STORE_FIELDS.pendingAt]: pendingAt };
  const replacement = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
  const paths = codec.write(entity, record).map(({ path }) => path);
  return { replacement, paths: paths.filter(({ top }) => Object.hasOwn(replacement, top)) };
}

/** The mark of a document that is replaced: one that is there stays as old as it is. */
export function keptMark(doc: Doc, isPending: boolean): Date | null {
  return markOf(doc) ?? (isPending ? new Date() : null);
}

function isSame(a: unknown, b: unknown): boolean {
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
  return a === b;
}
