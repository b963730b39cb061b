import { sql } from 'kysely';
import type { Row } from './database.ts';
import { getTableColumns } from './drizzle.ts';
import { passwordResetTokens, sessions, users, verificationTokens } from './schema.ts';

const SOURCES = {
  users,
  verification_tokens: verificationTokens,
  password_reset_tokens: passwordResetTokens,
  sessions,
};

type Named = keyof typeof SOURCES;
type Column<T extends Named> = keyof Row<T> & string;

/** Every column of a table by name: `select *` would break prepared statements as soon as a column is added. */
export const COLUMNS = {
  users: columnsOf('users'),
  verification_tokens: columnsOf('verification_tokens'),
  password_reset_tokens: columnsOf('password_reset_tokens'),
  sessions: columnsOf('sessions'),
};

function columnsOf<T extends Named>(table: T): readonly Column<T>[] {
  return Object.values(getTableColumns(SOURCES[table])).map((column) => column.name as Column<T>);
}

type Qualified<T extends Named> = { [C in Column<T>]: `${T}.${C}` }[Column<T>];
type Prefixed<T extends Named, P extends string> = {
  [C in Column<T>]: `${T}.${C} as ${P}${C}`;
}[Column<T>];

/** `table.column` for each column. */
export function qualified<T extends Named>(table: T): readonly Qualified<T>[] {
  return COLUMNS[table].map((column) => `${table}.${column}` as Qualified<T>);
}

/** `table.column as prefixcolumn` for each column, so that two tables fit in one row. */
export function prefixed<T extends Named, P extends string>(table: T, prefix: P): readonly Prefixed<T, P>[] {
  return COLUMNS[table].map((column) => `${table}.${column} as ${prefix}${column}` as Prefixed<T, P>);
}

/** The columns of a table for a statement written out. */
export function columnList(table: Named) {
  return sql.join(COLUMNS[table].map((column) => sql.ref(column)));
}

/** The part of a joined row that `prefixed` named; null when an outer join found no partner. */
export function unprefixed<T extends Named>(
  row: Readonly<Record<string, unknown>>,
  table: T,
  prefix: string,
): Row<T> | null {
  if (row[`${prefix}id`] === null) return null;
  const part: Record<string, unknown> = {};
  for (const column of COLUMNS[table]) part[column] = row[prefix + column];
  return part as Row<T>;
}

/** The columns' types as the server calls them, without their collation. */
export function typesOf(table: Named): ReadonlyMap<string, string> {
  return new Map(
    Object.values(getTableColumns(SOURCES[table])).map((column) => [
      column.name,
      column.getSQLType().replace(/ COLLATE .*/, ''),
    ]),
  );
}

/** The row's values with the type of their columns: in a select list PostgreSQL takes a parameter for text. */
export function castValues<T extends Named>(table: T, row: Readonly<Record<string, unknown>>) {
  const types = typesOf(table);
  return sql.join(
    Object.entries(row).map(
      ([column, value]) => sql`cast(${value} as ${sql.raw(types.get(column) ?? 'text')})`,
    ),
  );
}
