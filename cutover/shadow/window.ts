/**
 * Counts of comparisons as they are kept in the authority's books, one note (`NOTES.shadowWindow`) for each instance and
 * ten minutes, and how an operator's gate reads them.
 */
import type { Json, Note } from '../../db/replica.ts';
import { COMPARED, MISMATCHES, noOutcomes, OUTCOMES, type OutcomeCounts } from './outcomes.ts';

export const BUCKET_MS = 600_000;

/** What the counts of one note are evidence about: another epoch or another copy makes them worthless. */
export interface Subject {
  readonly epoch: number;
  readonly mode: string;
  /** The run that completed the copy; null when it was not complete. */
  readonly run: string | null;
}

export interface WindowBody extends Subject {
  readonly startMs: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

export interface WindowSum {
  readonly outcomes: OutcomeCounts;
  /** Comparisons that say something about the copy. */
  readonly compared: number;
  /** Those among them that speak against it and that no list explains. */
  readonly mismatches: number;
}

export function bucketStart(nowMs: number): number {
  return nowMs - (nowMs % BUCKET_MS);
}

/** `START/INSTANCE`, and a number when the subject changed within the bucket. */
export function windowKey(startMs: number, instance: string, nth: number): string {
  return `${new Date(startMs).toISOString()}/${instance}${nth === 1 ? '' : `/${nth}`}`;
}

/** The note's body; null when this version cannot read it. */
export function readWindow({ body }: Pick<Note, 'body'>): WindowBody | null {
  if (!isObject(body)) return null;
  const { startMs, epoch, mode, run, outcomes } = body;
  if (typeof startMs !== 'number' || typeof epoch !== 'number' || typeof mode !== 'string') return null;
  if ((typeof run !== 'string' && run !== null) || !isObject(outcomes)) return null;
  const counts = Object.entries(outcomes).flatMap(([outcome, count]) =>
    typeof count === 'number' ? [[outcome, count] as const] : [],
  );
  return { startMs, epoch, mode, run, outcomes: Object.fromEntries(counts) };
}

/**
 * Sums the notes of `NOTES.shadowWindow` that belong to this epoch, and to this run's copy when one is named, over
 * the last `windowMs`, rounded up to whole buckets.
 */
export function sumWindow(
  notes: readonly Pick<Note, 'key' | 'body'>[],
  query: {
    readonly nowMs: number;
    readonly windowMs: number;
    readonly epoch: number;
    readonly run?: string;
  },
): WindowSum {
  const counted = notes.map(readWindow).filter((window) => window !== null && counts(window, query));
  const outcomes = noOutcomes();
  for (const outcome of OUTCOMES) {
    for (const window of counted) outcomes[outcome] += window?.outcomes[outcome] ?? 0;
  }
  const total = (of: readonly (keyof OutcomeCounts)[]) => of.reduce((sum, each) => sum + outcomes[each], 0);
  return { outcomes, compared: total(COMPARED), mismatches: total(MISMATCHES) };
}

function counts(window: WindowBody, query: Parameters<typeof sumWindow>[1]): boolean {
  if (window.epoch !== query.epoch) return false;
  if (query.run !== undefined && window.run !== query.run) return false;
  return window.startMs + BUCKET_MS > query.nowMs - query.windowMs;
}

function isObject(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
