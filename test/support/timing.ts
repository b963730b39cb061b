/** Whether two kinds of answers take the same time: a stranger must not tell by it whether there is an account. */
import type { Answer } from './client.ts';

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** The z score of the Mann-Whitney rank-sum test: how many standard deviations the two samples lie apart in rank. */
function rankSumZ(a: readonly number[], b: readonly number[]): number {
  const ranked = [...a.map((value) => ({ value, of: 'a' })), ...b.map((value) => ({ value, of: 'b' }))]
    .sort((x, y) => x.value - y.value)
    .map((each, index) => ({ ...each, rank: index + 1 }));
  const sumA = ranked.filter(({ of }) => of === 'a').reduce((sum, { rank }) => sum + rank, 0);
  const [m, n] = [a.length, b.length];
  return (sumA - (m * (m + n + 1)) / 2) / Math.sqrt((m * n * (m + n + 1)) / 12);
}

/** Apart both in rank and by more than a quarter: chance or a busy machine gives one of the two, a skipped hash both. */
export function areApart(a: readonly number[], b: readonly number[]): boolean {
  const ratio = median(a) / median(b);
  return Math.abs(rankSumZ(a, b)) > 3.5 && (ratio > 1.25 || ratio < 0.8);
}

/** Measures the kinds in turn, so that whatever else the machine does strikes them alike. */
export async function interleaved<K extends string>(
  rounds: number,
  kinds: Readonly<Record<K, () => Promise<Answer>>>,
): Promise<Record<K, number[]>> {
  const names = Object.keys(kinds) as K[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>;
  for (let round = -1; round < rounds; round += 1) {
    // Each kind comes first equally often.
    const order = [
      ...names.slice(Math.abs(round) % names.length),
      ...names.slice(0, Math.abs(round) % names.length),
    ];
    for (const name of order) {
      const { tookMs } = await kinds[name]();
      if (round >= 0) times[name].push(tookMs);
    }
  }
  return times;
}
