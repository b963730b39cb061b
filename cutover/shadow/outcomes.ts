/** What a comparison can come to. */

export const OUTCOMES = [
  'match',
  /** Differs only in fields that the setting `shadow-ignore` lists, or in what an operator has left behind. */
  'ignored',
  /** Put off: the mirror may still be on its way. Counted once for each comparison, whose end is counted too, if it comes. */
  'lagging',
  'mismatch',
  'missing-in-mirror',
  'missing-in-authority',
  /** A store could not be read. */
  'error',
  /** Sampled, but not compared: over the rate, the queue full, the breaker open, the other store fenced, or the epoch over. */
  'shed',
  /** A/A mode. Kept apart: these say nothing about the copy. */
  'baseline-match',
  'baseline-difference',
] as const;
export type Outcome = (typeof OUTCOMES)[number];
export type OutcomeCounts = Readonly<Record<Outcome, number>>;

/** Outcomes that speak against the copy. */
export const MISMATCHES: readonly Outcome[] = ['mismatch', 'missing-in-mirror', 'missing-in-authority'];

/** Outcomes that say something about the copy. */
export const COMPARED: readonly Outcome[] = ['match', 'ignored', ...MISMATCHES];

export function noOutcomes(): Record<Outcome, number> {
  return Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
}
