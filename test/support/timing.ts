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
/** Looks before a kind that is still suspect is judged, by the samples of all of them. */
const LOOKS = 5;

/** Apart both in rank and in the middle, so far each. */
function areApart(a: readonly number[], b: readonly number[], far: { z: number; ratio: number }): boolean {
  const ratio = median(a) / median(b);
  return Math.abs(rankSumZ(a, b)) > far.z && (ratio > far.ratio || ratio < 1 / far.ratio);
}

/** Otherwise nothing more is asked of that kind. */
const SUSPECT = { z: 1, ratio: 1.1 };
/** By simulation, two alike are that far apart in less than one of 100,000 measurements. */
const APART = { z: 4.6, ratio: 1.25 };

type Measured = () => Promise<Pick<Answer, 'tookMs'>>;

/**
 * The kinds of answers that take another time than those of `base`, with all of their times. After each look, kinds of which
 * all samples so far are not suspect are measured no more; the others are judged once there are enough samples.
 */
export async function apartFrom<K extends string>(
  base: NoInfer<K>,
  kinds: Readonly<Record<K, Measured>>,
): Promise<Partial<Record<K, readonly number[]>>> {
  const names = Object.keys(kinds) as K[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>;
  let suspects = names.filter((name) => name !== base);
  for (let look = 1; look <= LOOKS && suspects.length > 0; look += 1) {
    const measured = await interleaved([base, ...suspects], kinds);
    for (const name of [base, ...suspects]) times[name].push(...measured[name]);
    const far = look < LOOKS ? SUSPECT : APART;
    suspects = suspects.filter((name) => areApart(times[name], times[base], far));
  }
  const shown = suspects.length === 0 ? [] : [base, ...suspects];
  return Object.fromEntries(shown.map((name) => [name, times[name]])) as Partial<Record<K, number[]>>;
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
