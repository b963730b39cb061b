/** What is reported: rows with a value and perhaps a goal. */

export interface Row {
  /** Part, store and thing measured, such as `logins · postgres · share of bare bcryptjs`. */
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Null when the value only informs. */
  readonly goal: { readonly words: string; readonly met: boolean } | null;
  readonly note: string;
}

export interface PartResult {
  readonly rows: readonly Row[];
  /** Everything measured, window by window, for whoever wants to check. */
  readonly details: unknown;
}

export const info = (name: string, value: number, unit: string, note = ''): Row => ({
  name,
  value,
  unit,
  goal: null,
  note,
});

export const atLeast = (name: string, value: number, unit: string, least: number, note = ''): Row => ({
  name,
  value,
  unit,
  goal: { words: `≥ ${least}`, met: value >= least },
  note,
});

export const below = (name: string, value: number, unit: string, limit: number, note = ''): Row => ({
  name,
  value,
  unit,
  goal: { words: `< ${limit}`, met: value < limit },
  note,
});

export const atMost = (name: string, value: number, unit: string, most: number, note = ''): Row => ({
  name,
  value,
  unit,
  goal: { words: `≤ ${most}`, met: value <= most },
  note,
});

const mebibytes = (bytes: number): number => bytes / 1024 / 1024;

export const memory = (name: string, bytes: number, note = ''): Row =>
  info(name, mebibytes(bytes), 'MiB', note);

/** The spread of a comparison, for a row's note. */
export function spread(pairs: readonly number[]): string {
  return `single pairs ${format(pairs[0] ?? Number.NaN)} to ${format(pairs.at(-1) ?? Number.NaN)}`;
}

/** Three significant digits, without an exponent. */
function format(value: number): string {
  if (!Number.isFinite(value)) return 'n/a';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits);
}

/** The rows as a table in text. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.name,
    `${format(row.value)} ${row.unit}`.trimEnd(),
    row.goal?.words ?? '',
    row.goal === null ? '' : row.goal.met ? 'met' : 'MISSED',
    row.note,
  ]);
  const all = [['measured', 'value', 'goal', '', 'note'], ...cells];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((line) => (line[column] ?? '').length)));
  const lines = all.map((line) =>
    line
      .map((cell, column) =>
        column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  const [head = '', ...rest] = lines;
  return [head, '-'.repeat(head.length + 20), ...rest].join('\n');
}
