/** Invariant 7: at rest both stores hold the same, field by field. */
import { type Contents, type Row, TABLES } from './records.ts';

export interface Difference {
  readonly table: string;
  readonly id: string;
  /** `record` when only one store has it. */
  readonly field: string;
  /** Never the values: a report is read by others. */
  readonly what: string;
}

/** Everything that differs, stamps too. */
export function compare(a: Contents, b: Contents): readonly Difference[] {
  return TABLES.flatMap((table) => {
    const ids = new Set([...a.rows[table].keys(), ...b.rows[table].keys()]);
    return [...ids].flatMap((id): readonly Difference[] => {
      const [left, right] = [a.rows[table].get(id), b.rows[table].get(id)];
      if (left !== undefined && right !== undefined) {
        return fieldsThatDiffer(left, right).map((field) => ({ table, id, field, what: 'differs' }));
      }
      return [
        { table, id, field: 'record', what: left === undefined ? 'only in the second' : 'only in the first' },
      ];
    });
  });
}

function fieldsThatDiffer(a: Row, b: Row): readonly string[] {
  const fields = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...fields].filter((field) => (a[field] ?? null) !== (b[field] ?? null));
}

/** Invariant 2: addresses that more than one living account answers to, in one store. */
export function sharedAddresses({ rows }: Contents): readonly string[] {
  const living = [...rows.users.values()].filter((user) => (user['deleted_at'] ?? null) === null);
  const byKey = Map.groupBy(living, (user) => String(user['email'] ?? '').toLowerCase());
  return [...byKey].filter(([, users]) => users.length > 1).map(([key]) => key);
}
