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

/** Of each kind in one look. */
const ROUNDS = 10;
/** Looks that must agree before a kind counts as apart. */
const LOOKS = 4;

/** Apart both in rank and by more than a quarter: one look of a busy machine may say so of kinds that are not. */
function areApart(a: readonly number[], b: readonly number[]): boolean {
  const ratio = median(a) / median(b);
  return Math.abs(rankSumZ(a, b)) > 2.2 && (ratio > 1.25 || ratio < 0.8);
}

type Measured = () => Promise<Pick<Answer, 'tookMs'>>;

/**
 * The kinds of answers that take another time than those of `base`, with the times of the last look. A skipped hash shows in
 * each look; what chance or other work on the machine sets apart in one of forty, it does not in four looks on end.
 */
export async function apartFrom<K extends string>(
  base: NoInfer<K>,
  kinds: Readonly<Record<K, Measured>>,
): Promise<Partial<Record<K, readonly number[]>>> {
  let suspects = (Object.keys(kinds) as K[]).filter((name) => name !== base);
  let times: Partial<Record<K, readonly number[]>> = {};
  for (let look = 0; look < LOOKS && suspects.length > 0; look += 1) {
    const measured = await interleaved([base, ...suspects], kinds);
    suspects = suspects.filter((name) => areApart(measured[name], measured[base]));
    times = suspects.length === 0 ? {} : measured;
  }
  return times;
}

/** Measures the kinds in turn, so that whatever else the machine does strikes them alike. */
async function interleaved<K extends string>(
  names: readonly K[],
  kinds: Readonly<Record<K, Measured>>,
): Promise<Record<K, number[]>> {
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>;
  for (let round = -1; round < ROUNDS; round += 1) {
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
