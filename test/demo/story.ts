/** What happens, in its order: the ladder from end to end under traffic, every instance replaced, then the judgement. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MODES, type Mode } from '../../cutover/mode.ts';
import { SETTINGS, type SettingKey } from '../../cutover/settings.ts';
import { configVariables } from '../../plugins/config/variables.ts';
import { storedAccounts } from '../torture/final/answers.ts';
import { readPostgres } from '../torture/final/records.ts';
import { type Monitor, startMonitor } from '../torture/monitor.ts';
import { createRandom } from '../torture/random.ts';
import { LEEWAY_MS } from '../torture/system/environment.ts';
import type { Place } from '../torture/system/instances.ts';
import type { System } from '../torture/system/system.ts';
import { judgeRun, type Verdict } from '../torture/verdict.ts';
import { type Balancer, startBalancer } from './balancer.ts';
import { NoMove, type Operator, openOperator } from './operator.ts';
import type { DemoOptions } from './options.ts';
import type { Screen } from './screen.ts';
import { type Counts, startTraffic, type Traffic } from './traffic.ts';

export interface Result {
  readonly holds: boolean;
  /** What did not hold, in words. */
  readonly problems: readonly string[];
  readonly traffic: Counts;
  readonly moves: readonly {
    readonly from: Mode;
    readonly to: Mode;
    /** Of all attempts, the longest. */
    readonly pauseMs: number | null;
    /** Attempts that were taken back, in words. */
    readonly takenBack: readonly string[];
  }[];
  readonly replaced: readonly { readonly name: string; readonly was: number; readonly is: number }[];
  /** Records that the backfill brought over. */
  readonly copied: number;
  readonly verified: readonly { readonly mode: Mode; readonly clean: boolean; readonly compared: number }[];
  /** Settings other than their defaults. */
  readonly settings: Readonly<Partial<Record<SettingKey, string>>>;
  /** Variables of the instances other than their defaults; without secrets, and what only this installation has. */
  readonly environment: Readonly<Record<string, string>>;
  readonly tallies: Verdict['tallies'];
}

/** What the scene is made of, for the screen. */
export interface Scene {
  readonly system: System;
  readonly balancer: Balancer;
  readonly monitor: Monitor;
  readonly operator: Operator;
  readonly traffic: Traffic;
}

const PROBE_EVERY_MS = 100;
/** Of the instances: between saying not ready and closing. */
export const SHUTDOWN_DELAY_MS = 3_000;

const PROMOTE_TRIES = 3;

/** Whose place is taken by a new process in which mode. */
const REPLACED: Readonly<Partial<Record<Mode, number>>> = {
  'dual-write': 0,
  'shadow-read': 1,
  'postgres-primary': 2,
};

/**
 * Gates made for days, for a run of a minute. Comparisons: about what the traffic's reads come to in a rung. A longer
 * lease, since here the instances share their cores with both servers, the clients and whatever else runs.
 */
function settingsFor({ seconds, rate }: DemoOptions): Result['settings'] {
  return {
    'lease-ms': '20000',
    'backfill-slow-p99-ms': '0',
    'backfill-stop-p99-ms': '0',
    'gate-primary-comparisons': String(Math.ceil((seconds / MODES.length) * rate * 0.5)),
    'gate-only-soak-ms': String(Math.round((seconds * 1_000) / MODES.length / 2)),
  };
}

/** What has a default, and another value here. */
function changedIn(env: System['env']) {
  return configVariables.flatMap(({ name, secret, required, default: usual }) => {
    const value = env[name];
    const isOurs = value !== undefined && usual !== null && !secret && required === null;
    return isOurs && value !== usual ? [{ name, value, usual: usual || 'nothing' }] : [];
  });
}

/** Tells it all. `onClose` is handed what has to be closed, in the order it was opened. */
export async function tell(
  system: System,
  options: DemoOptions,
  screen: Screen,
  onClose: (closer: () => Promise<void> | void) => void,
): Promise<Result> {
  const operator = await openOperator(system);
  onClose(operator.close);
  const balancer = await startBalancer({ backends: system.places, everyMs: PROBE_EVERY_MS });
  onClose(balancer.close);
  const monitor = await startMonitor(system);
  onClose(monitor.close);
  const settings = settingsFor(options);
  screen.say('three instances serve in mongo-only behind a proxy that never tries twice');
  const environment = changedIn(system.env);
  for (const { name, value, usual } of environment)
    screen.say(`for this run: ${name} ${value} instead of ${usual}`);
  for (const [key, value] of Object.entries(settings) as [SettingKey, string][]) {
    await operator.set(key, value);
    screen.say(
      `for this run: ${key} ${value} instead of ${SETTINGS[key].fallback} (${SETTINGS[key].description})`,
    );
  }

  const moves: Result['moves'][number][] = [];
  const replaced: Result['replaced'][number][] = [];
  const verified: Result['verified'][number][] = [];
  let copied = 0;

  async function climb(to: Mode): Promise<void> {
    const from = MODES[MODES.indexOf(to) - 1] ?? 'mongo-only';
    screen.say(`promote: ${from} → ${to}`);
    const { pauseMs, takenBack } = await promote(to);
    moves.push({ from, to, pauseMs, takenBack });
    const pause = pauseMs === null ? 'nobody waited' : `requests waited up to ${Math.round(pauseMs)} ms`;
    screen.say(`${to} now; ${pause}`);
  }

  /** What a busy machine was too slow for has been taken back, and is tried again. */
  async function promote(to: Mode): Promise<Pick<Result['moves'][number], 'pauseMs' | 'takenBack'>> {
    const takenBack: string[] = [];
    const pauses: number[] = [];
    const longest = (ms: number | null): number | null => {
      if (ms !== null) pauses.push(ms);
      return pauses.length === 0 ? null : Math.max(...pauses);
    };
    for (;;) {
      try {
        const { longestPauseMs } = await operator.promote(to, ({ message }) => screen.hint(message));
        return { pauseMs: longest(longestPauseMs), takenBack };
      } catch (error) {
        if (!(error instanceof NoMove) || error.kind !== 'aborted') throw error;
        takenBack.push(error.message);
        if (takenBack.length === PROMOTE_TRIES) throw error;
        longest(error.pauseMs);
        screen.say(`taken back, once more: ${error.message}`);
      }
    }
  }

  async function look(mode: Mode): Promise<void> {
    const { clean, compared, differing } = await operator.verify();
    verified.push({ mode, clean, compared });
    screen.say(`verify in ${mode}: ${compared} records compared, ${clean ? 'clean' : `${differing} DIFFER`}`);
  }

  async function replace(place: Place): Promise<void> {
    const { name } = place;
    const before = place.current();
    screen.say(`instance ${name}: SIGTERM to process ${before?.pid}; the others serve`);
    before?.kill('SIGTERM');
    const exit = await before?.exited;
    if (exit?.code !== 0) throw new Error(`instance ${name} ended with ${exit?.signal ?? exit?.code}`);
    const after = await place.start();
    replaced.push({ name, was: before?.pid ?? 0, is: after.pid });
    screen.say(`instance ${name}: process ${after.pid} is ready`);
  }

  /** What the next step's gates ask for, besides time and traffic. */
  const preparations: Readonly<Partial<Record<Mode, () => Promise<void>>>> = {
    async 'dual-write'() {
      const { counts } = await operator.backfill();
      copied = counts.inserted + counts.updated;
      screen.say(`backfill: ${counts.read} documents read, ${copied} records copied, ${counts.bad} bad`);
      await look('dual-write');
    },
    async 'shadow-read'() {
      const { manifest } = await operator.snapshot();
      const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
      screen.say(`snapshot of both stores: ${Math.ceil(bytes / 1_024)} KiB`);
      await look('shadow-read');
    },
    'postgres-primary': () => look('postgres-primary'),
  };

  const random = createRandom(Date.now());
  const { inbox } = system;
  const traffic = await startTraffic({ url: balancer.url, inbox, random, rate: options.rate });
  onClose(traffic.close);
  traffic.onProblem((problem) => screen.say(`FAILED: ${problem}`));
  screen.show({ system, balancer, monitor, operator, traffic });
  screen.say(`people come, ${options.rate} requests each second, whatever the answers do`);

  const restMs = (options.seconds * 1_000) / MODES.length;
  for (const mode of MODES) {
    if (mode !== 'mongo-only') await climb(mode);
    const place = system.places[REPLACED[mode] ?? Number.NaN];
    await Promise.all([sleep(restMs), place && replace(place), preparations[mode]?.()]);
  }
  await traffic.stop();
  screen.say('nobody comes any more; everybody presents once more what they hold');
  await traffic.lookAround();
  const contents = await readPostgres(system.stores.postgres.url);
  const stored = storedAccounts(contents);
  const { recorder } = traffic;
  for (const { email } of traffic.people) {
    const found = stored.get(email.toLowerCase());
    recorder.final(email, found?.answer ?? { exists: false }, found?.sessionIds);
  }
  await monitor.look();
  screen.say('the checker looks for an order of events that explains every answer');
  const unclean = verified.filter(({ clean }) => !clean).map(({ mode }) => `verify in ${mode} was not clean`);
  const verdict = judgeRun({
    operations: recorder.operations(),
    windows: { covers: () => false },
    leewayMs: LEEWAY_MS,
    okMin: 0,
    caughtMin: 0,
    bites: [],
    leftOver: [],
    findings: [...traffic.problems, ...recorder.surprises, ...monitor.findings, ...unclean],
  });
  return {
    holds: verdict.holds,
    problems: verdict.problems,
    traffic: traffic.counts(),
    moves,
    replaced,
    copied,
    verified,
    settings,
    environment: Object.fromEntries(environment.map(({ name, value }) => [name, value])),
    tallies: verdict.tallies,
  };
}
