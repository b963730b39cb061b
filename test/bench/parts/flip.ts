/**
 * The longest wait at a change of authority: three instances under steady traffic, authority moved there and back again
 * and again. What counts is what clients see: the longest latency among the requests that a fence can have held up.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Mode } from '../../../cutover/mode.ts';
import { setSetting } from '../../../cutover/operator/index.ts';
import type { OperatorContext } from '../../../cutover/operator/types.ts';
import type { LoadAnswer, Mix, Sample } from '../entry/load.ts';
import { type Operator, openOperator, whyNot } from '../lib/operator.ts';
import type { Options } from '../lib/options.ts';
import { below, info, type PartResult } from '../lib/results.ts';
import type { Run } from '../lib/run.ts';
import { type InstallationOfBoth, installBoth, seed } from '../lib/service.ts';
import { ascending, quantileOf } from '../lib/stats.ts';

const GOAL_MS = 250;
const INSTANCES = 3;
const RATE_EACH = 30;
const PEOPLE = 60;
const MIX: Mix = { me: 60, list: 15, refresh: 25 };
const REST_MS = 500;
/** A busy machine may not fence in time, or have something pending for too long. */
const TRIES_MAX = 5;
/** The traffic is stopped when the flips are over; this only bounds it. */
const TRAFFIC_MS_MAX = 30 * 60_000;

interface Flip {
  readonly to: Mode;
  /** From asking for the fence until the new authority was seen to be followed, ms since 1970. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** As the coordinator counts it: until authority was taken over. */
  readonly pauseMs: number;
  readonly attempts: number;
  /** How long each step behind the fence took, ms. */
  readonly steps: Readonly<Record<string, number>>;
}

export async function measureFlips(run: Run, options: Options): Promise<PartResult> {
  const { servers, load, progress } = run;
  servers.place(null);
  const installation = await installBoth(servers, 'shadow-read', options);
  progress(`flip: signing up ${INSTANCES * PEOPLE} people`);
  const audiences = Array.from({ length: INSTANCES }, (_, index) => `flip ${index}`);
  for (const audience of audiences) await seed(installation, load, audience, PEOPLE);
  const services = await Promise.all(
    audiences.map(() => installation.start({ cores: null, cost: options.cost })),
  );
  const traffic = Promise.all(
    audiences.map((audience, index) =>
      load.run({
        audience,
        port: services[index]?.port ?? 0,
        flow: MIX,
        connections: PEOPLE,
        rate: RATE_EACH,
        warmUpMs: options.warmUpMs,
        windowMs: TRAFFIC_MS_MAX,
      }),
    ),
  );
  const each = options.quick ? 2 : 20;
  await delay(options.warmUpMs);
  const flips = await Promise.race([flipOften(installation, each, progress), failureOf(traffic)]);
  for (const audience of audiences) await load.stop(audience);
  const answers = await traffic;
  await Promise.all(services.map((service) => service.stop()));
  return judge(flips, answers, each);
}

/** A failed request ends the traffic with an error: a flip must not be seen. */
async function failureOf(traffic: Promise<unknown>): Promise<never> {
  await traffic;
  throw new Error('the traffic ended before the flips');
}

async function flipOften(
  installation: InstallationOfBoth,
  each: number,
  progress: Run['progress'],
): Promise<readonly Flip[]> {
  const operator = await openOperator(installation);
  try {
    // A minute's traffic is no evidence for anybody's data, and none is asked for.
    await setSetting(operator.context, 'gate-primary-comparisons', '0');
    const flips: Flip[] = [];
    for (let made = 0; made < each; made += 1) {
      progress(`flip: ${made + 1} of ${each}, there and back`);
      flips.push(await flip(operator, 'postgres-primary'), await flip(operator, 'shadow-read'));
    }
    return flips;
  } finally {
    await operator.close();
  }
}

async function flip(operator: Operator, to: Mode): Promise<Flip> {
  let fromMs = 0;
  const begun: { readonly step: string; readonly atMs: number }[] = [];
  const report: OperatorContext['report'] = ({ step }) => {
    // An attempt that is taken back held requests up, too.
    if (step === 'fence' && fromMs === 0) fromMs = Date.now();
    if (fromMs > 0) begun.push({ step, atMs: performance.now() });
  };
  const direction = to === 'postgres-primary' ? 'promote' : 'rollback';
  for (let tries = 1, attempts = 0; ; tries += 1) {
    const result = await operator.move(to, direction, { report });
    const untilMs = Date.now();
    const { kind, longestPauseMs } = result;
    attempts += result.attempts;
    await delay(REST_MS * tries);
    if (kind === 'done' && longestPauseMs !== null) {
      return { to, fromMs, untilMs, pauseMs: longestPauseMs, attempts, steps: durations(begun) };
    }
    if (tries < TRIES_MAX) continue;
    throw new Error(`no flip to ${to}: ${whyNot(result)}`);
  }
}

/** Each step lasts until the next one begins; the last one tells nothing. */
function durations(begun: readonly { readonly step: string; readonly atMs: number }[]): Flip['steps'] {
  const lasted = new Map<string, number>();
  for (const [index, { step, atMs }] of begun.entries()) {
    const next = begun[index + 1];
    if (next !== undefined) lasted.set(step, (lasted.get(step) ?? 0) + next.atMs - atMs);
  }
  return Object.fromEntries(lasted);
}

function inSteps(flips: readonly Flip[]): string {
  const names = [...new Set(flips.flatMap(({ steps }) => Object.keys(steps)))];
  const each = names.map((name) => {
    const all = ascending(flips.map(({ steps }) => steps[name] ?? 0));
    return `${name} ${quantileOf(all, 0.5).toFixed(0)}/${quantileOf(all, 1).toFixed(0)}`;
  });
  return `median/longest of each step, ms: ${each.join(', ')}`;
}

function judge(flips: readonly Flip[], answers: readonly LoadAnswer[], each: number): PartResult {
  const samples = answers.flatMap((answer) => Object.values(answer.samples).flat());
  const isDuring = ([endedMs, tookMs]: Sample, { fromMs, untilMs }: Flip): boolean =>
    endedMs >= fromMs && endedMs - tookMs <= untilMs;
  const longest = (within: readonly Sample[]): number => Math.max(0, ...within.map(([, tookMs]) => tookMs));
  const waits = flips.map((one) => longest(samples.filter((sample) => isDuring(sample, one))));
  const calm = ascending(
    samples.filter((sample) => !flips.some((one) => isDuring(sample, one))).map(([, tookMs]) => tookMs),
  );
  const pauses = ascending(flips.map(({ pauseMs }) => pauseMs));
  const retried = flips.filter(({ attempts }) => attempts > 1).length;
  const noise = `${samples.length} requests, none failed; without a flip p99 ${quantileOf(calm, 0.99).toFixed(0)} ms, longest ${quantileOf(calm, 1).toFixed(0)} ms`;
  const ofAll = (values: readonly number[]): string =>
    `median ${quantileOf(values, 0.5).toFixed(0)} ms, p90 ${quantileOf(values, 0.9).toFixed(0)} ms`;
  const times = `${each} flips each way, ${INSTANCES} instances, ${INSTANCES * RATE_EACH}/s`;
  return {
    rows: [
      below(
        'flip · longest wait of a request',
        Math.max(...waits),
        'ms',
        GOAL_MS,
        `${times}; longest of each flip: ${ofAll(ascending(waits))}; ${noise}`,
      ),
      info(
        'flip · longest pause',
        pauses.at(-1) ?? Number.NaN,
        'ms',
        `as the coordinator counts it; ${ofAll(pauses)}; ${retried} flips took more than one attempt; ${inSteps(flips)}`,
      ),
    ],
    details: { flips, waits },
  };
}
