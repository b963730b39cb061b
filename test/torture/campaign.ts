/** One run from start to verdict: traffic, flips and faults at once, then rest, then the last rung. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Mode } from '../../cutover/mode.ts';
import { startCrowd } from './clients/crowd.ts';
import { createHttpClient } from './clients/http.ts';
import { type LegacyAccount, recordLegacy, seedLegacy } from './clients/legacy.ts';
import { createTurns } from './clients/turns.ts';
import { allWell, inflict } from './faults/inflict.ts';
import { describeFault, describeStrike, planFaults, planStrikes } from './faults/plan.ts';
import { createWindows } from './faults/windows.ts';
import { storedAccounts } from './final/answers.ts';
import { compare } from './final/compare.ts';
import type { Contents } from './final/records.ts';
import { judgeRest, readBoth } from './final/rest.ts';
import { verifyFindsAByte } from './final/verified.ts';
import { arrive, newWalk, type WalkOptions, walk, walked } from './flips/ladder.ts';
import { applySettings, moveTo } from './flips/operator.ts';
import { WHOLE_LADDER } from './flips/route.ts';
import { createRecorder } from './history/recorder.ts';
import { CAUGHT, CLIENT_KINDS, type Kind } from './history/types.ts';
import { type Monitor, startMonitor } from './monitor.ts';
import type { Progress } from './progress.ts';
import { createRandom } from './random.ts';
import { LEEWAY_MS, type ServiceEnv } from './system/environment.ts';
import { openSystem, type System } from './system/system.ts';
import { judgeRun, type Verdict } from './verdict.ts';

export interface CampaignOptions {
  readonly seed: number;
  /** How long traffic, faults and flips go on. */
  readonly trafficMs: number;
  readonly instances: number;
  readonly people: number;
  readonly thinkMs: number;
  readonly faults: number;
  readonly strikes: number;
  /** Of flips without a change of authority. */
  readonly flipStrikes: number;
  /** More changes of authority on each way from end to end of the ladder. */
  readonly crossings: { readonly min: number; readonly max: number };
  /** People whom the old service has left in MongoDB. */
  readonly legacy: number;
  /** Between two moves. */
  readonly restMs: number;
  /** How much longer traffic goes on for what was planned and has not come yet, on a slow machine. */
  readonly patienceMs: number;
  readonly okMin: number;
  /** How many thefts must have been detected, and how many superseded reset tokens refused. */
  readonly caughtMin: number;
  readonly progress: Progress;
  /** Of the instances; a seeded bug, for the harness's own test. */
  readonly entry?: string;
  readonly env?: ServiceEnv;
}

export interface Report {
  readonly verdict: Verdict;
  readonly moves: readonly { readonly from: Mode; readonly to: Mode }[];
  /** Bulk verbs that went through, and copies that were killed on the way and gone on with. */
  readonly bulk: readonly string[];
  readonly killed: readonly string[];
  readonly longestPauseMs: number | null;
  readonly refusals: readonly string[];
  readonly bites: readonly { readonly what: string; readonly seen: string | null }[];
  readonly records: number;
  /** Logs and history; null when they were not kept. */
  readonly folder: string | null;
}

const CLIENT_TIMEOUT_MS = 15_000;
/** Two cores do everything here. */
const HASHING_AT_ONCE = 2;
/** How much longer, over half of its time, traffic may go on for kinds that are behind. */
const MORE_MS = 120_000;
const LOGINS_AT_REST = 40;
const PEOPLE_ACTS = 30;
/** Clients go for more than the verdict asks for, which counts only what cannot have been refused for another reason. */
const CAUGHT_WANTED = { times: 2, min: 5 } as const;
/** How long the way to where it ends may take. */
const ARRIVE_MS = 240_000;

export async function runCampaign(options: CampaignOptions): Promise<Report> {
  const { progress } = options;
  const random = createRandom(options.seed);
  const names = Array.from({ length: options.instances }, (_, index) => String.fromCharCode(97 + index));
  const faults = planFaults(random.fork('faults'), options.faults, names);
  const strikes = [
    ...planStrikes('change of authority', options.seed, options.strikes),
    ...planStrikes('flip', options.seed, options.flipStrikes),
  ];
  progress.plan([...faults.map(describeFault), ...strikes.map(describeStrike)]);
  progress.say('starting PostgreSQL, MongoDB and the instances');
  let legacy: readonly LegacyAccount[] = [];
  const system = await openSystem({
    instances: options.instances,
    firstMode: 'mongo-only',
    async before({ mongo }) {
      legacy = await seedLegacy(mongo.url, options.legacy);
    },
    ...(options.entry !== undefined && { entry: options.entry }),
    ...(options.env !== undefined && { env: options.env }),
  });
  let monitor: Monitor | null = null;
  let keep = true;
  try {
    monitor = await startMonitor(system);
    const report = await conduct(system, monitor, options, { faults, strikes, legacy });
    keep = !report.verdict.holds;
    return { ...report, folder: keep ? system.folder : null };
  } finally {
    progress.done();
    await monitor?.close();
    await system.close(keep);
  }
}

async function conduct(
  system: System,
  monitor: Monitor,
  options: CampaignOptions,
  plan: {
    readonly faults: ReturnType<typeof planFaults>;
    readonly strikes: ReturnType<typeof planStrikes>;
    readonly legacy: readonly LegacyAccount[];
  },
): Promise<Omit<Report, 'folder'>> {
  const { progress } = options;
  const random = createRandom(options.seed).fork('run');
  const recorder = createRecorder();
  const windows = createWindows();
  const http = createHttpClient(CLIENT_TIMEOUT_MS);
  const reports: string[] = [];
  const oks = new Map<Kind, number>();
  progress.watch({ recorder, windows, monitor });
  recorder.onEnd(({ call, outcome }) => {
    if (outcome.kind === 'ok') oks.set(call.kind, (oks.get(call.kind) ?? 0) + 1);
  });

  await applySettings(system);
  await recordLegacy(recorder, plan.legacy);

  const caughtWanted = Math.max(options.caughtMin * CAUGHT_WANTED.times, CAUGHT_WANTED.min);
  const crowd = startCrowd({
    world: {
      http,
      recorder,
      inbox: system.inbox,
      random: random.fork('people'),
      targets: system.places,
      leewayMs: LEEWAY_MS,
      hashing: createTurns(HASHING_AT_ONCE),
      report: (what) => void reports.push(what),
    },
    people: options.people,
    acts: PEOPLE_ACTS,
    thinkMs: options.thinkMs,
    done: (kind) => oks.get(kind) ?? 0,
    wanted: options.okMin,
    caughtWanted,
    legacy: plan.legacy,
  });

  const endMs = performance.now() + options.trafficMs;
  const patienceEndsMs = endMs + options.patienceMs;
  const isPast = (ms: number): boolean => performance.now() >= ms;
  const bites: { what: string; seen: string | null }[] = [];
  const climbed = newWalk();
  const left = [...plan.faults];
  const spacingMs = options.trafficMs / (plan.faults.length + 1);

  const wreck = async (): Promise<void> => {
    for (let fault = left[0]; fault !== undefined && !isPast(patienceEndsMs); fault = left[0]) {
      await sleep(Math.min(spacingMs, 3_000) * (0.3 + 0.4 * random.next()));
      const what = describeFault(fault);
      progress.say(what);
      const close = windows.open(what);
      const seen = await inflict(system, fault).finally(close);
      bites.push({ what, seen });
      left.shift();
    }
  };
  const unmade = (): readonly string[] => WHOLE_LADDER.filter((each) => !walked(climbed).has(each));
  const walking: WalkOptions = {
    system,
    random: random.fork('walk'),
    windows,
    strikes: plan.strikes,
    crossings: options.crossings,
    restMs: options.restMs,
    onMove: progress.say,
    async record() {
      // As of after the last verb: what it has changed is nobody's to do again.
      await monitor.look();
      return monitor.record();
    },
  };
  // A slow machine gets more time for what was planned.
  const isLeft = (): boolean => climbed.struck.length < plan.strikes.length || unmade().length > 0;
  const climb = () => walk(walking, climbed, () => isPast(isLeft() ? patienceEndsMs : endMs));
  await Promise.all([wreck(), climb(), sleep(options.trafficMs)]);

  await allWell(system);
  const behind = (): readonly string[] => [
    ...CLIENT_KINDS.filter((kind) => (oks.get(kind) ?? 0) < options.okMin),
    ...CAUGHT.filter((what) => crowd.caught[what] < caughtWanted),
  ];
  const enoughMs = performance.now() + options.trafficMs / 2 + MORE_MS;
  if (behind().length > 0) progress.say(`a while without faults, for more of ${behind().join(', ')}`);
  while (behind().length > 0 && !isPast(enoughMs)) await sleep(100);
  // While somebody reads: the gates ask for comparisons.
  progress.say('to postgres-primary, with a complete copy');
  const lateMs = performance.now() + ARRIVE_MS;
  await arrive(walking, 'postgres-primary', climbed, () => isPast(lateMs));
  progress.say('nobody acts any more');
  await crowd.stop();
  const final = (contents: Contents): void => {
    const stored = storedAccounts(contents);
    for (const { email } of [...crowd.people, ...plan.legacy]) {
      const found = stored.get(email.toLowerCase());
      recorder.final(email, found?.answer ?? { exists: false }, found?.sessionIds);
    }
  };
  progress.say('at rest: everybody looks around, then the stores are compared');
  await crowd.lookAround(LOGINS_AT_REST);
  const rest = await judgeRest(system);
  progress.say('one byte is changed in MongoDB, for verify to find and repair to put right');
  const unverified = await verifyFindsAByte(system, rest.contents.postgres);
  const before = await readBoth(system);
  final(rest.contents.mongo);
  final(rest.contents.postgres);

  progress.say('the last rung: postgres-only');
  await moveTo(system, 'postgres-only', 'promote');
  await crowd.lookAround(LOGINS_AT_REST / 4);
  const last = await readBoth(system);
  final(last.postgres);
  const written = compare(before.mongo, last.mongo);
  http.close();

  const strikesLeft = [...plan.strikes];
  for (const { strike } of climbed.struck) strikesLeft.splice(strikesLeft.indexOf(strike), 1);
  const struck = climbed.struck.map(({ strike, seen }) => ({ what: describeStrike(strike), seen }));
  const verdict = judgeRun({
    operations: recorder.operations(),
    windows,
    leewayMs: LEEWAY_MS,
    okMin: options.okMin,
    caughtMin: options.caughtMin,
    bites: [...bites, ...struck],
    leftOver: [...left.map(describeFault), ...strikesLeft.map(describeStrike), ...unmade()],
    findings: [
      ...[...rest.findings, ...unverified, ...climbed.findings].map((what) => `invariant 7: ${what}`),
      ...written.map(
        ({ table, id, field }) => `MongoDB was written to in postgres-only: ${table} ${id} ${field}`,
      ),
      ...climbed.overruled,
      ...monitor.findings.map((what) => `invariant 6: ${what}`),
      ...reports.map((what) => `invariant 4: ${what}`),
      ...recorder.surprises,
    ],
  });
  if (!verdict.holds) recorder.save(join(system.folder, 'history.jsonl'));
  return {
    verdict,
    moves: climbed.moves,
    bulk: climbed.bulk,
    killed: climbed.killed,
    longestPauseMs: climbed.pausesMs.length === 0 ? null : Math.max(...climbed.pausesMs),
    refusals: climbed.refusals,
    bites: [...bites, ...struck],
    records: rest.records,
  };
}
