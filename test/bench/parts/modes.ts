/**
 * What a mirror costs: each mode with one beside the mode of the same authority without, on the same servers, in turns,
 * with one mix of requests that hash nothing, arriving at a rate below half of what the slowest of them can answer.
 *
 * A shared machine stands still now and then, for longer than a request takes. One such moment is one window's p99, so
 * windows are short and many, and what counts is the middle one of each mode.
 */
import type { Mode } from '../../../cutover/mode.ts';
import type { LoadAnswer, Mix } from '../entry/load.ts';
import type { Options } from '../lib/options.ts';
import { atMost, info, type PartResult, type Row, spread } from '../lib/results.ts';
import type { Run } from '../lib/run.ts';
import { type Installation, installBoth, type Measured, seed, seedSpares } from '../lib/service.ts';
import { ascending, median, quantileOf } from '../lib/stats.ts';

const GOALS = [
  { name: 'p50', quantile: 0.5, most: 1.05 },
  { name: 'p99', quantile: 0.99, most: 1.15 },
] as const;

/** Whose latencies are put together: what only reads, and what writes. */
const CLASSES = { 'me, list': ['me', 'list'], 'refresh, logout': ['refresh', 'logout'] } as const;
const MIX: Mix = { me: 47, list: 20, refresh: 30, logout: 3 };
/** The sessions to be logged out are kept for the windows that count. */
const KNEE_MIX: Mix = { me: 47, list: 20, refresh: 33 };
/** As far as a service that is to bear the loss of an instance, and a busy hour, is loaded. */
const SHARE_OF_KNEE = 0.25;
/** Windows that one of `--seconds` is cut into, ABBA each. */
const CUTS = 2;
const KNEE_MS = 3_000;
const CONNECTIONS = 64;
const PEOPLE = 50;
/** Of a person; the service ends the oldest beyond fifty. */
const SPARE_SESSIONS_MAX = 45;

/** The first of each is what the others are compared with. */
const GROUPS: readonly (readonly [Mode, ...Mode[]])[] = [
  ['mongo-only', 'dual-write', 'shadow-read'],
  ['postgres-only', 'postgres-primary'],
];

type Windows = Readonly<Record<string, readonly LoadAnswer[]>>;

export async function measureModes(run: Run, options: Options): Promise<PartResult> {
  const rows: Row[] = [];
  const details: Record<string, unknown> = {};
  run.servers.place(run.placement.databases);
  for (const group of GROUPS) {
    const { rate, knees, windows } = await measureGroup(run, options, group);
    const [base, ...others] = group;
    for (const mode of others) rows.push(...compareModes(windows, base, mode, rate));
    for (const mode of group)
      rows.push(
        info(`modes · ${mode} · knee`, knees[mode] ?? Number.NaN, '/s', absolute(windows, mode, rate)),
      );
    details[group.join(' ')] = { rate, knees, windows: withoutSamples(windows) };
  }
  return { rows, details };
}

async function measureGroup(run: Run, options: Options, group: readonly Mode[]) {
  const { servers, load, placement, progress } = run;
  const services = new Map<Mode, Measured>();
  const installations = new Map<Mode, Installation>();
  for (const mode of group) {
    progress(`modes: signing up ${PEOPLE} people in ${mode}`);
    const installation = await installBoth(servers, mode, options);
    await seed(installation, load, mode, PEOPLE);
    installations.set(mode, installation);
    services.set(mode, await installation.start({ cores: placement.service, cost: options.cost }));
  }
  const ask = (mode: Mode, flow: Mix, rate: number | null, windowMs: number): Promise<LoadAnswer> =>
    load.run({
      audience: mode,
      port: services.get(mode)?.port ?? 0,
      flow,
      connections: rate === null ? options.connections : CONNECTIONS,
      rate,
      warmUpMs: options.warmUpMs,
      windowMs,
    });
  const settle = async (mode: Mode): Promise<number> => (await services.get(mode)?.settle()) ?? 0;
  /** What can go on for ever: the time that the mirror needs to catch up counts. */
  const knees: Partial<Record<Mode, number>> = {};
  for (const mode of group) {
    progress(`modes: ${mode}, as many as it can`);
    const windowMs = options.quick ? 1_000 : KNEE_MS;
    const { perSecond } = await ask(mode, KNEE_MIX, null, windowMs);
    const loadedMs = options.warmUpMs + windowMs;
    knees[mode] = (perSecond * loadedMs) / (loadedMs + (await settle(mode)));
  }
  const rate = Math.max(1, Math.floor(Math.min(...Object.values(knees)) * SHARE_OF_KNEE));
  const spares = sparesFor(rate, options);
  for (const [mode, installation] of installations) {
    progress(`modes: ${spares} sessions more for each person in ${mode}, to be logged out`);
    await seedSpares(installation, load, mode, spares);
  }
  const windows: Record<string, LoadAnswer[]> = Object.fromEntries(group.map((mode) => [mode, []]));
  for (let turn = 0; turn < options.rounds * CUTS; turn += 1) {
    for (const mode of [...group, ...group.toReversed()]) {
      progress(`modes: ${mode}, ${rate} per second`);
      windows[mode]?.push(await ask(mode, MIX, rate, options.windowMs / CUTS));
      // What one mode has yet to mirror is not to be done in the next one's time.
      await settle(mode);
    }
  }
  await Promise.all([...services.values()].map((service) => service.stop()));
  return { rate, knees, windows };
}

/** As many as the windows will log out, and some. */
function sparesFor(rate: number, { rounds, warmUpMs, windowMs }: Options): number {
  const weight = (MIX.logout ?? 0) / Object.values(MIX).reduce((all, each) => all + each, 0);
  const logouts = ((rate * weight * (warmUpMs * CUTS + windowMs)) / 1_000) * 2 * rounds;
  return Math.min(SPARE_SESSIONS_MAX, Math.ceil((1.3 * logouts) / PEOPLE) + 1);
}

function compareModes(windows: Windows, base: Mode, mode: Mode, rate: number): readonly Row[] {
  return Object.entries(CLASSES).flatMap(([words, flows]) =>
    GOALS.map(({ name, quantile, most }) => {
      const each = (of: Mode) =>
        (windows[of] ?? []).map((one) => quantileOf(latencies([one], flows), quantile));
      const [ours, theirs] = [median(each(mode)), median(each(base))];
      const pooled = (of: Mode) => quantileOf(latencies(windows[of] ?? [], flows), quantile);
      const together = (pooled(mode) / pooled(base)).toFixed(2);
      const others = each(base);
      const pairs = ascending(each(mode).map((value, index) => value / (others[index] ?? Number.NaN)));
      const note = `${ours.toFixed(2)} ms beside ${theirs.toFixed(2)} ms at ${rate}/s; all windows together ${together}; ${spread(pairs)}`;
      return atMost(`modes · ${mode} / ${base} · ${words} · ${name}`, ours / theirs, '×', most, note);
    }),
  );
}

function latencies(windows: readonly LoadAnswer[], flows: readonly string[]): readonly number[] {
  return ascending(
    windows.flatMap(({ samples }) =>
      flows.flatMap((flow) => (samples[flow] ?? []).map(([, tookMs]) => tookMs)),
    ),
  );
}

function absolute(windows: Windows, mode: Mode, rate: number): string {
  const of = (pick: (answer: LoadAnswer) => number) => median((windows[mode] ?? []).map(pick)).toFixed(1);
  return `at ${rate}/s p50 ${of(({ p50Ms }) => p50Ms)} ms, p99 ${of(({ p99Ms }) => p99Ms)} ms, all requests together`;
}

function withoutSamples(windows: Windows) {
  const entries = Object.entries(windows).map(([mode, answers]) => [
    mode,
    answers.map(({ samples: _, ...answer }) => answer),
  ]);
  return Object.fromEntries(entries);
}
