/** What an operator, or a policy of the copy, has left behind in MongoDB: it was put aside, decided, and never came here. */
import { ENTITIES } from '../records.ts';
import type { RecordName } from '../replica.ts';
import { TABLES } from './database.ts';

const IS_HERE = ENTITIES.map(
  (entity) => `when '${entity}' then exists (select from ${TABLES[entity]} where id = record_id)`,
);

/** Takes entities and ids, in pairs. By the primary key, and none of the originals is read. */
const DECIDED = `
  select entity, record_id as id from copy_quarantine
  join unnest($1::text[], $2::text[]) as asked (entity, record_id) using (entity, record_id)
  where state in ('accepted', 'dropped')`;
const DECIDED_AND_AWAY = `${DECIDED} and not case entity ${IS_HERE.join(' ')} end`;

export type Ask = (text: string, values: unknown[]) => Promise<{ readonly rows: readonly RecordName[] }>;

export const leftBehindAmong = (ask: Ask, names: readonly RecordName[]): Promise<ReadonlySet<string>> =>
  among(ask, DECIDED_AND_AWAY, names);

/** Also of those that are here. */
export const toLeaveBehindAmong = (ask: Ask, names: readonly RecordName[]): Promise<ReadonlySet<string>> =>
  among(ask, DECIDED, names);

async function among(ask: Ask, question: string, names: readonly RecordName[]): Promise<ReadonlySet<string>> {
  if (names.length === 0) return new Set();
  const { rows } = await ask(question, [names.map(({ entity }) => entity), names.map(({ id }) => id)]);
  return new Set(rows.map(({ entity, id }) => `${entity}/${id}`));
}
