/**
 * What the engine tells the outside: log lines, and counts under the names that Prometheus sees. The engine knows
 * neither a logger nor a metrics library. No label, field or message ever holds a value of a record.
 */

export type Fields = Readonly<Record<string, unknown>>;

interface Definition<L extends string> {
  readonly help: string;
  readonly labels: readonly L[];
}

const define = <const L extends string>(help: string, ...labels: L[]): Definition<L> => ({ help, labels });

/** Counters. Every name ends in `_total`. */
export const COUNTERS = {
  cutover_mirror_applied_total: define('Records the mirror took or already held', 'store'),
  cutover_mirror_retried_total: define('Batches that are tried again', 'store', 'reason'),
  cutover_mirror_conflicts_total: define('Unique-key clashes met in the mirror', 'store', 'resolution'),
  cutover_mirror_poisoned_total: define('Records the mirror refuses', 'store', 'entity'),
  cutover_mirror_ahead_total: define('Records found newer in the mirror than in the authority', 'store'),
  cutover_mirror_orphans_total: define(
    'Marks found in the mirror, by what became of them',
    'store',
    'resolution',
  ),
  cutover_breaker_opened_total: define('How often a breaker opened', 'store', 'purpose'),
  cutover_shadow_comparisons_total: define('Comparisons by outcome', 'entity', 'outcome'),
  cutover_shadow_differences_total: define('Differing fields in mismatches', 'entity', 'field'),
  cutover_fallbacks_total: define(
    'Reads that PostgreSQL failed, and its failures that no client saw, by what became of them',
    'operation',
    'store',
    'outcome',
  ),
  cutover_refused_total: define('Operations that were not admitted, or not acknowledged', 'reason'),
  cutover_flips_total: define('Changes of mode this instance has followed', 'from', 'to'),
  cutover_lease_lapses_total: define('Leases that lapsed'),
  cutover_foreign_writes_total: define(
    'Writes found that no instance of this service made',
    'store',
    'entity',
  ),
} as const;
export type CounterName = keyof typeof COUNTERS;

const STORE_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const;

/** Histograms, in seconds. */
export const HISTOGRAMS = {
  cutover_operation_duration_seconds: {
    ...define('Time of one store operation', 'operation', 'store', 'mode', 'outcome'),
    buckets: STORE_SECONDS,
  },
  cutover_pause_duration_seconds: {
    ...define('Time an operation waited at a fence or for a lease, in vain too'),
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  },
  cutover_mirror_lag_seconds: {
    ...define('Time from mark to mirror', 'store'),
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300],
  },
} as const;
export type HistogramName = keyof typeof HISTOGRAMS;

type Labels<D extends { readonly labels: readonly string[] }> = Readonly<Record<D['labels'][number], string>>;

export interface Telemetry {
  debug(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  error(fields: Fields, message: string): void;
  count<N extends CounterName>(name: N, labels: Labels<(typeof COUNTERS)[N]>, by?: number): void;
  observe<N extends HistogramName>(name: N, labels: Labels<(typeof HISTOGRAMS)[N]>, seconds: number): void;
}

/** Says nothing to nobody. */
export const SILENT: Telemetry = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  count() {},
  observe() {},
};
