/** Numbers from samples. */

/** The value that the share `quantile` (0 to 1) of the sorted samples does not exceed; NaN without samples. */
export function quantileOf(sorted: readonly number[], quantile: number): number {
  const index = Math.min(sorted.length - 1, Math.max(0, Math.ceil(quantile * sorted.length) - 1));
  return sorted[index] ?? Number.NaN;
}

export const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

export const median = (values: readonly number[]): number => quantileOf(ascending(values), 0.5);

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/**
 * Events per second: the slope of the count over the times (ms) by least squares. Events that end in pairs or a window
 * that cuts one off bias it far less than a count divided by a length. NaN for fewer than three.
 */
export function ratePerSecond(timesMs: readonly number[]): number {
  if (timesMs.length < 3) return Number.NaN;
  const sorted = ascending(timesMs);
  const meanTime = sum(sorted) / sorted.length;
  const meanCount = (sorted.length - 1) / 2;
  let covariance = 0;
  let variance = 0;
  for (const [count, time] of sorted.entries()) {
    covariance += (time - meanTime) * (count - meanCount);
    variance += (time - meanTime) ** 2;
  }
  return (covariance / variance) * 1000;
}

export interface Comparison {
  /** All of A over all of B. */
  readonly ratio: number;
  /** The least and the greatest ratio of one neighbouring pair: how far noise reaches. */
  readonly pairs: readonly number[];
}

/** Compares windows that were run in the order ABBA ABBA …: the n-th A has run next to the n-th B. */
export function compare(a: readonly number[], b: readonly number[]): Comparison {
  const pairs = a.map((value, index) => value / (b[index] ?? Number.NaN));
  return { ratio: sum(a) / sum(b), pairs: ascending(pairs) };
}

/** Runs A and B alternating, ABBA per round, so that a machine that slows down or speeds up favours neither. */
export async function interleave<A, B>(
  rounds: number,
  runA: () => Promise<A>,
  runB: () => Promise<B>,
): Promise<{ readonly a: readonly A[]; readonly b: readonly B[] }> {
  const a: A[] = [];
  const b: B[] = [];
  for (let round = 0; round < rounds; round++) {
    a.push(await runA());
    b.push(await runB());
    b.push(await runB());
    a.push(await runA());
  }
  return { a, b };
}
