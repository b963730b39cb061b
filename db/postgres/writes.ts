/** The guarded writes every operation is made of. */
import { setTimeout as delay } from 'node:timers/promises';
import { type CompiledQuery, type Kysely, type RawBuilder, sql } from 'kysely';
import { StaleWrite, StoreUnavailable } from '../errors.ts';
import type { WriteContext } from '../port.ts';
import type { Entity, New, RecordOf } from '../records.ts';
import type { Decision } from '../transitions.ts';
import { columnList } from './columns.ts';
import { type Database, TABLES } from './database.ts';
import { isDeadlock } from './errors.ts';
import { fromRow, type RowOf, toRow } from './rows.ts';
import { prepare, type Statement } from './statements.ts';

/** A connection or transaction, and the authority it writes under. */
export interface Scope {
  readonly db: Kysely<Database>;
  readonly context: WriteContext;
}

/** How often a change that lost a race is decided anew. Each round some writer wins, so more means a storm. */
const ATTEMPTS_MAX = 30;
const JITTER_MAX_MS = 20;

/** Columns of a new row: its contents, the writer's epoch, version 1. */
export function newRow<E extends Entity>(entity: E, record: New<RecordOf[E]>, context: WriteContext) {
  const pending_at = context.pending ? new Date() : null;
  return { ...toRow[entity](record), epoch: context.epoch, version: 1, pending_at };
}

type ById = { readonly [E in Entity]: Statement<[id: string], RowOf<E>> };

function byId<E extends Entity>(entity: E, lock: RawBuilder<unknown>): Statement<[id: string], RowOf<E>> {
  const table = TABLES[entity];
  return prepare<[id: string]>()((db, id) =>
    sql<RowOf<E>>`select ${columnList(table)} from ${sql.table(table)} where id = ${id}${lock}`.compile(db),
  );
}

function byIds(lock: RawBuilder<unknown>): ById {
  return {
    user: byId('user', lock),
    verificationToken: byId('verificationToken', lock),
    resetToken: byId('resetToken', lock),
    session: byId('session', lock),
  };
}

const READS = byIds(sql``);
const LOCKS = byIds(sql` for no key update`);

/** The record, locked until the transaction ends if asked; null when there is none. */
export async function read<E extends Entity>(
  { db }: Scope,
  entity: E,
  id: string,
  lock = false,
): Promise<RecordOf[E] | null> {
  const [row] = await (lock ? LOCKS : READS)[entity](db, id);
  return row === undefined ? null : fromRow[entity](row);
}

/** Replaces the record if its stamp is still the one it was read with. Throws `StaleWrite`. */
async function replace<E extends Entity>(
  scope: Scope,
  entity: E,
  before: RecordOf[E],
  next: New<RecordOf[E]>,
): Promise<boolean> {
  const update = updateOf(scope, entity, before, next);
  const key = `${entity} ${update.columns.join()}`;
  let compiled = compiledUpdates.get(key);
  if (compiled === undefined) {
    compiled = toSql(entity, update).compile(scope.db);
    compiledUpdates.set(key, compiled);
  }
  const query = { ...compiled, parameters: [...update.values, ...update.guard] };
  const { numAffectedRows } = await scope.db.executeQuery(query);
  return numAffectedRows === 1n;
}

/** `replace` of a record that this transaction has locked, so that no race can be lost. */
export async function replaceLocked<E extends Entity>(
  scope: Scope,
  entity: E,
  before: RecordOf[E],
  next: New<RecordOf[E]>,
): Promise<void> {
  if (!(await replace(scope, entity, before, next))) throw new Error(`a locked ${entity} has changed`);
  scope.context.onWrite?.(entity, before.id);
}

/** The statement of `replace`, to be embedded in a larger one. */
export function guardedUpdate<E extends Entity>(
  scope: Scope,
  entity: E,
  before: RecordOf[E],
  next: New<RecordOf[E]>,
): RawBuilder<unknown> {
  return toSql(entity, updateOf(scope, entity, before, next));
}

/** Each transition changes the same few columns every time, so there are few different updates. */
const compiledUpdates = new Map<string, CompiledQuery>();

interface Update {
  readonly columns: readonly string[];
  /** Of the columns, in their order. */
  readonly values: readonly unknown[];
  /** Id, version and epoch that the record was read with. */
  readonly guard: readonly [string, number, number];
}

/** Throws `StaleWrite`. */
function updateOf<E extends Entity>(
  { context }: Scope,
  entity: E,
  before: RecordOf[E],
  next: New<RecordOf[E]>,
): Update {
  assertNotStale(entity, before, context);
  const old = new Map<string, unknown>(Object.entries(toRow[entity](before)));
  const changed: [string, unknown][] = Object.entries(toRow[entity](next)).filter(
    ([column, value]) => !isSame(old.get(column), value),
  );
  changed.push(['epoch', context.epoch]);
  if (context.pending) changed.push(['pending_at', new Date()]);
  const { epoch, version } = before.stamp;
  return {
    columns: changed.map(([column]) => column),
    values: changed.map(([, value]) => value),
    guard: [before.id, version, epoch],
  };
}

function toSql(
  entity: Entity,
  { columns, values, guard: [id, version, epoch] }: Update,
): RawBuilder<unknown> {
  const assignments = columns.map((column, index) => assignment(column, values[index]));
  return sql`
    update ${sql.table(TABLES[entity])} set ${sql.join(assignments)}, version = version + 1
    where id = ${id} and version = ${version} and epoch = ${epoch}`;
}

/** A mark that an earlier write left stays as old as it is: only the mirror may clear it. */
function assignment(column: string, value: unknown): RawBuilder<unknown> {
  return column === 'pending_at'
    ? sql`pending_at = coalesce(pending_at, ${value})`
    : sql`${sql.ref(column)} = ${value}`;
}

export function assertNotStale<E extends Entity>(
  entity: E,
  stored: RecordOf[E],
  context: WriteContext,
): void {
  if (stored.stamp.epoch > context.epoch) throw new StaleWrite(entity, stored.stamp, context.epoch);
}

/** The record as it stands after a guarded write. */
function written<E extends Entity>(
  before: RecordOf[E],
  next: New<RecordOf[E]>,
  context: WriteContext,
): RecordOf[E] {
  return { ...next, stamp: { epoch: context.epoch, version: before.stamp.version + 1 } } as RecordOf[E];
}

export type Change<E extends Entity, R extends string> =
  | { readonly done: RecordOf[E] }
  | { readonly refused: R };

/**
 * One guarded write of one record: read, decide, commit under the stamp that was read, and again when another write
 * came between. Null when there is no record. `known`, a record the caller has just read, spares the first reading;
 * only a write may come of it, never a refusal, since it may be out of date.
 */
export async function change<E extends Entity, R extends string>(
  scope: Scope,
  entity: E,
  id: string,
  decide: (record: RecordOf[E]) => Decision<RecordOf[E], R>,
  known: RecordOf[E] | null = null,
): Promise<Change<E, R> | null> {
  const commit = async (before: RecordOf[E], next: New<RecordOf[E]>): Promise<Change<E, R> | 'lost'> => {
    assertMayWrite(scope.context);
    if (!(await replace(scope, entity, before, next))) return 'lost';
    scope.context.onWrite?.(entity, id);
    return { done: written(before, next, scope.context) };
  };
  const first = known === null ? null : decide(known);
  if (known !== null && first !== null && 'next' in first) {
    const result = await commit(known, first.next);
    if (result !== 'lost') return result;
  }
  return retried<Change<E, R> | null>(async () => {
    const before = await read(scope, entity, id);
    if (before === null) return { value: null };
    const decision = decide(before);
    if ('refused' in decision) return { value: decision };
    const result = await commit(before, decision.next);
    return result === 'lost' ? 'lost' : { value: result };
  });
}

/** Runs `attempt` until it no longer loses its race, with a growing random pause. */
export async function retried<T>(attempt: () => Promise<{ readonly value: T } | 'lost'>): Promise<T> {
  for (let round = 0; round < ATTEMPTS_MAX; round++) {
    const result = await attempt();
    if (result !== 'lost') return result.value;
    await delay(Math.random() * Math.min(JITTER_MAX_MS, 2 ** round));
  }
  throw new StoreUnavailable('postgres', 'none', 'contention');
}

/** How often a transaction that the server rolled back to break a deadlock is begun again. */
const DEADLOCKS_MAX = 3;

/** One transaction; `onWrite` hears of its writes once it has committed. */
export async function transact<T>(scope: Scope, run: (inner: Scope) => Promise<T>): Promise<T> {
  for (let deadlocks = 0; ; deadlocks++) {
    try {
      return await transactOnce(scope, run);
    } catch (error) {
      if (!isDeadlock(error) || deadlocks >= DEADLOCKS_MAX) throw error;
      await delay(Math.random() * JITTER_MAX_MS);
    }
  }
}

async function transactOnce<T>(scope: Scope, run: (inner: Scope) => Promise<T>): Promise<T> {
  const done: [Entity, string][] = [];
  const context = { ...scope.context, onWrite: (entity: Entity, id: string) => void done.push([entity, id]) };
  const result = await scope.db.transaction().execute(async (db) => {
    const answer = await run({ db, context });
    // Thrown in here, it rolls back.
    if (done.length > 0) assertMayWrite(scope.context);
    return answer;
  });
  for (const [entity, id] of done) scope.context.onWrite?.(entity, id);
  return result;
}

/** To be called just before a statement that commits by itself, and before the commit of several. */
export function assertMayWrite({ mayContinue }: WriteContext): void {
  if (mayContinue?.() === false) throw new StoreUnavailable('postgres', 'none', 'lease-lost');
}

function isSame(a: unknown, b: unknown): boolean {
  return a instanceof Date && b instanceof Date ? a.getTime() === b.getTime() : a === b;
}
