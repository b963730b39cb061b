import { type Kysely, type RawBuilder, sql } from 'kysely';
import { erasedAmong, judge, screen } from '../../apply.ts';
import { EmailTaken, IdTaken, StaleEpoch, StoreUnavailable } from '../../errors.ts';
import { compareIds } from '../../ids.ts';
import { compareStamps, type Entity, type RecordOf } from '../../records.ts';
import type { ApplyOutcome, Replica } from '../../replica.ts';
import { typesOf } from '../columns.ts';
import { type Database, TABLES } from '../database.ts';
import { StatementRefused } from '../errors.ts';
import { forgetKept } from '../kept.ts';
import { toRow } from '../rows.ts';
import { clearMarks } from './marks.ts';
import { look } from './records.ts';

/** How often a record that was there a moment ago, and then was not, is applied anew. */
const ATTEMPTS_MAX = 5;
const FOREIGN_KEY_VIOLATION = '23503';

interface Item<E extends Entity> {
  /** Where its outcome goes. */
  readonly index: number;
  readonly record: RecordOf[E];
}

type Apply = Pick<Replica, 'apply'>;

export function createApply(db: Kysely<Database>): Apply {
  return {
    async apply(entity, records, under) {
      const outcomes = records.map((record) => screen(record, under));
      const items = records
        .map((record, index) => ({ index, record }))
        .filter(({ index }) => outcomes[index] === null)
        .sort((a, b) => inLockOrder(a.record, b.record));
      for (const [index, outcome] of await applyItems(db, entity, items, under.epoch, 1)) {
        outcomes[index] = outcome;
      }
      // Who applies it takes the mark off only afterwards, so that it is made good if this process dies here.
      await forgetKept(db, erasedAmong(records, outcomes));
      return outcomes.map((outcome) => outcome ?? { kind: 'refused', reason: 'no-outcome' });
    },
  };
}

type Outcomes = readonly (readonly [index: number, outcome: ApplyOutcome])[];

/** One statement while all goes well. What the server refuses is halved until it is alone and can be named. */
async function applyItems<E extends Entity>(
  db: Kysely<Database>,
  entity: E,
  items: readonly Item<E>[],
  epoch: number,
  attempt: number,
): Promise<Outcomes> {
  const [first] = items;
  if (first === undefined) return [];
  if (attempt > ATTEMPTS_MAX) throw new StoreUnavailable('postgres', 'unknown', 'contention');
  let applied: ReadonlySet<string>;
  try {
    applied = await upsert(db, entity, items, epoch);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (items.length === 1) {
      const outcome = await explain(db, first.record, error);
      return outcome === null ? applyItems(db, entity, items, epoch, attempt + 1) : [[first.index, outcome]];
    }
    const middle = Math.ceil(items.length / 2);
    return [
      ...(await applyItems(db, entity, items.slice(0, middle), epoch, attempt)),
      ...(await applyItems(db, entity, items.slice(middle), epoch, attempt)),
    ];
  }
  const done: Outcomes = items
    .filter(({ record }) => applied.has(record.id))
    .map(({ index }) => [index, { kind: 'applied' }]);
  const rest = items.filter(({ record }) => !applied.has(record.id));
  return rest.length === 0 ? done : [...done, ...(await settle(db, entity, rest, epoch, attempt))];
}

/** Ids of the records that were written. Throws `StaleEpoch`. */
async function upsert<E extends Entity>(
  db: Kysely<Database>,
  entity: E,
  items: readonly Item<E>[],
  epoch: number,
): Promise<ReadonlySet<string>> {
  const rows = items.map(({ record }) => ({ ...toRow[entity](record), ...record.stamp }));
  const { rows: answers } = await statement(entity, rows, epoch).execute(db);
  const [answer] = answers;
  const stored = answer?.epoch ?? null;
  if (stored !== null && stored > epoch) throw new StaleEpoch(stored, epoch);
  return new Set(answer?.ids);
}

/**
 * The lock on the control row waits for a change of authority that is being committed, and reads what it made of the
 * row; a later one waits for this statement. The sorted ids keep two appliers from waiting for each other.
 */
function statement(
  entity: Entity,
  rows: readonly Readonly<Record<string, unknown>>[],
  epoch: number,
): RawBuilder<{ readonly epoch: number | null; readonly ids: readonly string[] }> {
  const table = TABLES[entity];
  const types = typesOf(table);
  const columns = Object.keys(rows[0] ?? {});
  const arrays = columns.map(
    (column) => sql`cast(${rows.map((row) => row[column])} as ${sql.raw(`${types.get(column)}[]`)})`,
  );
  const names = sql.join(columns.map((column) => sql.ref(column)));
  const assignments = columns
    .filter((column) => column !== 'id')
    .map((column) => sql`${sql.ref(column)} = excluded.${sql.ref(column)}`);
  return sql`
    with control as materialized (select epoch from cutover_control for key share),
    applied as (
      insert into ${sql.table(table)} as held (${names})
      select ${names} from unnest(${sql.join(arrays)}) with ordinality as given (${names}, place)
      where not exists (select from control where control.epoch > ${epoch})
      order by place
      on conflict (id) do update set ${sql.join(assignments)}, pending_at = null
      where (held.epoch, held.version) < (excluded.epoch, excluded.version)
      returning id
    )
    select (select max(epoch) from control) as epoch, array(select id from applied) as ids`;
}

/** Outcomes of records that were held already, in a state that is not older. */
async function settle<E extends Entity>(
  db: Kysely<Database>,
  entity: E,
  items: readonly Item<E>[],
  epoch: number,
  attempt: number,
): Promise<Outcomes> {
  const { found } = await look(
    db,
    entity,
    items.map(({ record }) => record.id),
  );
  const judged = items.map((item) => {
    const held = found.get(item.record.id);
    const outcome = held === undefined ? null : judge(held.record, item.record);
    return { item, outcome, isMarked: held !== undefined && held.pendingAt !== null };
  });
  const marked = judged.filter(({ outcome, isMarked }) => isMarked && outcome?.kind === 'same');
  if (marked.length > 0) {
    await clearMarks(
      db,
      marked.map(({ item: { record } }) => ({ entity, id: record.id, stamp: record.stamp })),
    );
  }
  // Gone since, or moved aside and back: the next attempt finds out.
  const again = judged.filter(({ outcome }) => outcome === null).map(({ item }) => item);
  return [
    ...judged.flatMap(({ item, outcome }) => (outcome === null ? [] : [[item.index, outcome] as const])),
    ...(await applyItems(db, entity, again, epoch, attempt + 1)),
  ];
}

type Refusal = EmailTaken | IdTaken | StatementRefused;

/** A statement that another batch could pass, as against a store in trouble. */
function isRefusal(error: unknown): error is Refusal {
  return (
    error instanceof EmailTaken ||
    error instanceof IdTaken ||
    // Data that does not fit, constraints, and one id twice in a statement.
    (error instanceof StatementRefused && /^2[123]/.test(error.code))
  );
}

/** Why this one record was refused; null when it would not be any more. */
async function explain<E extends Entity>(
  db: Kysely<Database>,
  record: RecordOf[E],
  error: Refusal,
): Promise<ApplyOutcome | null> {
  if (error instanceof StatementRefused) {
    if (error.code === FOREIGN_KEY_VIOLATION) return { kind: 'user-missing' };
    return { kind: 'refused', reason: `${error.code} ${error.constraint ?? ''}`.trimEnd() };
  }
  if (error instanceof IdTaken || !('emailKey' in record)) return null;
  const holder = await db
    .selectFrom('users')
    .select('id')
    .where('email_key', '=', record.emailKey)
    .where('id', '<>', record.id)
    .executeTakeFirst();
  return holder === undefined ? null : { kind: 'clash', holderId: holder.id };
}

/** Sessions by their user, whose rows their foreign keys lock; of one record the older state first. */
function inLockOrder<E extends Entity>(a: RecordOf[E], b: RecordOf[E]): number {
  return (
    compareIds(lockedUser(a), lockedUser(b)) || compareIds(a.id, b.id) || compareStamps(a.stamp, b.stamp)
  );
}

function lockedUser(record: RecordOf[Entity]): string {
  return 'rotation' in record ? record.userId : '';
}
