/**
 * What a mirror costs: each mode with one beside the mode of the same authority without, in turns, with one mix of requests
 * that hash nothing, arriving at a rate below half of what the slowest of them can answer. It is one process of the service on
 * one set of data that an operator moves up and down the ladder: two processes of one program differ by more than is measured.
 *
 * A shared machine stands still now and then, for longer than a request takes. One such moment is one window's p99, so
 * windows are short and many, and what counts is the middle one of each mode.
 */
import { MODES, type Mode, mirrorOf } from '../../../cutover/mode.ts';
import type { LoadAnswer, Mix } from '../entry/load.ts';
import { openOperator, whyNot } from '../lib/operator.ts';
import type { Options } from '../lib/options.ts';
import { atMost, info, type PartResult, type Row, spread } from '../lib/results.ts';
import type { Run } from '../lib/run.ts';
import { installBoth, seed, seedSpares } from '../lib/service.ts';
import { ascending, median, quantileOf } from '../lib/stats.ts';
import { runVerb } from '../lib/verb.ts';

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
/** Requests per second after a move, before anything is measured. */
const SETTLING_RATE = 100;
const CONNECTIONS = 64;
const PEOPLE = 150;
/** Of a person; the service ends the oldest beyond fifty. */
const SPARE_SESSIONS_MAX = 45;

/** Each a way along the ladder, there and back. The first is what the others are compared with. */
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

async function measureGroup(run: Run, options: Options, group: readonly [Mode, ...Mode[]]) {
  const { servers, load, placement, progress } = run;
  const [base] = group;
  const audience = `modes from ${base}`;
  progress(`modes: signing up ${PEOPLE} people in ${base}`);
  const installation = await installBoth(servers, base, options);
  await seed(installation, load, audience, PEOPLE);
  const operator = await openOperator(installation);
  const start = () => installation.start({ cores: placement.service, cost: options.cost });
  let service = await start();
  let now: Mode = base;

  const ask = (flow: Mix, rate: number | null, windowMs: number): Promise<LoadAnswer> =>
    load.run({
      audience,
      port: service.port,
      flow,
      connections: rate === null ? options.connections : CONNECTIONS,
      rate,
      warmUpMs: options.warmUpMs,
      windowMs,
    });
  async function moveTo(to: Mode): Promise<void> {
    if (to === now) return;
    const direction = MODES.indexOf(to) > MODES.indexOf(now) ? 'promote' : 'rollback';
    const moved = await operator.move(to, direction, { force: true });
    if (moved.kind !== 'done') throw new Error(`no way from ${now} to ${to}: ${whyNot(moved)}`);
    const started = mirrorOf(now) === null;
    now = to;
    // Without a copy there is nothing to compare with.
    if (started && to === 'dual-write') await runVerb(['backfill'], installation.urls);
    // What a move and a copy leave to be done, in the service and in the servers, is no mode's.
    await ask(KNEE_MIX, SETTLING_RATE, options.windowMs / CUTS);
    await service.settle();
  }

  /** What can go on for ever: the time that the mirror needs to catch up counts. */
  const knees: Partial<Record<Mode, number>> = {};
  for (const mode of group) {
    await moveTo(mode);
    progress(`modes: ${mode}, as many as it can`);
    const windowMs = options.quick ? 1_000 : KNEE_MS;
    const { perSecond } = await ask(KNEE_MIX, null, windowMs);
    const loadedMs = options.warmUpMs + windowMs;
    knees[mode] = (perSecond * loadedMs) / (loadedMs + (await service.settle()));
  }
  for (const mode of group.toReversed()) await moveTo(mode);
  const rate = Math.max(1, Math.floor(Math.min(...Object.values(knees)) * SHARE_OF_KNEE));
  const spares = sparesFor(rate, options, group.length);
  progress(`modes: ${spares} sessions more for each person, to be logged out`);
  await service.stop();
  await seedSpares(installation, load, audience, spares);
  service = await start();
  const windows: Record<string, LoadAnswer[]> = Object.fromEntries(group.map((mode) => [mode, []]));
  for (let turn = 0; turn < options.rounds * CUTS; turn += 1) {
    for (const mode of [...group, ...group.toReversed()]) {
      await moveTo(mode);
      progress(`modes: ${mode}, ${rate} per second`);
      windows[mode]?.push(await ask(MIX, rate, options.windowMs / CUTS));
      // What one mode has yet to mirror is not to be done in the next one's time.
      await service.settle();
    }
  }
  await operator.close();
  await service.stop();
  return { rate, knees, windows };
}

/** As many as the windows will log out, and some. */
function sparesFor(rate: number, { rounds, warmUpMs, windowMs }: Options, modes: number): number {
  const weight = (MIX.logout ?? 0) / Object.values(MIX).reduce((all, each) => all + each, 0);
  const logouts = ((rate * weight * (warmUpMs * CUTS + windowMs)) / 1_000) * 2 * rounds * modes;
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
