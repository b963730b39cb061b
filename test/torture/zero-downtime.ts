/** The whole ladder under steady traffic, while every instance is replaced as well. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MODES, type Mode } from '../../cutover/mode.ts';
import { check } from './checker/checker.ts';
import { createHttpClient } from './clients/http.ts';
import { startTraffic } from './clients/open-loop.ts';
import { createPerson } from './clients/person.ts';
import { createTurns } from './clients/turns.ts';
import { storedAccounts } from './final/answers.ts';
import { readPostgres } from './final/records.ts';
import { openOperator } from './flips/inline.ts';
import { createRecorder } from './history/recorder.ts';
import { createRandom } from './random.ts';
import { startBalancer } from './system/balancer.ts';
import { LEEWAY_MS } from './system/environment.ts';
import { type Place, probe } from './system/instances.ts';
import { openSystem } from './system/system.ts';

export interface Downtime {
  readonly requests: number;
  /** Requests that were answered 5xx or not at all, in words. */
  readonly failed: readonly string[];
  /** What the checker finds, in the histories and in the store that is left. */
  readonly findings: readonly string[];
  readonly moves: readonly string[];
  /** Attempts at a move that were taken back; the next one was made. */
  readonly retried: readonly string[];
  readonly replaced: readonly Replaced[];
  /** Of requests, the slowest, ms. */
  readonly slowestMs: number;
  /** Logs and history, when something failed. */
  readonly folder: string | null;
}

export interface Replaced {
  readonly place: string;
  readonly exitCode: number | null;
  /** Said so at /readyz, while it still answered requests. */
  readonly saidNotReady: boolean;
  readonly servedMeanwhile: boolean;
}

export interface DowntimeOptions {
  readonly seed: number;
  readonly perSecond: number;
  readonly people: number;
  readonly onStep?: (what: string) => void;
}

/** How long a process that was told to stop goes on serving: longer than the balancer needs to notice. */
const SHUTDOWN_DELAY_MS = 3_000;
const MOVE_TRIES = 5;

/** Nobody falls silent here, so leases may outlast the hiccups of a machine that does other things as well. */
const SETTINGS = {
  'lease-ms': '20000',
  'fence-max-ms': '8000',
  'deadline-ms': '20000',
  'gate-primary-comparisons': '50',
  'gate-primary-oldest-ms': '30000',
  'gate-only-soak-ms': '0',
};

export async function runZeroDowntime(options: DowntimeOptions): Promise<Downtime> {
  const { onStep = () => {} } = options;
  const random = createRandom(options.seed);
  const system = await openSystem({
    instances: 3,
    firstMode: 'mongo-only',
    env: { SHUTDOWN_DELAY: `${SHUTDOWN_DELAY_MS}ms`, STORE_TIMEOUT: '15s' },
  });
  const operator = await openOperator(system);
  const balancer = await startBalancer(system.places);
  const http = createHttpClient(60_000);
  const recorder = createRecorder();
  const reports: string[] = [];
  let keep = true;
  try {
    const world = {
      http,
      recorder,
      inbox: system.inbox,
      random: random.fork('people'),
      targets: [{ name: 'balancer', url: balancer.url }],
      leewayMs: LEEWAY_MS,
      hashing: createTurns(2),
      report: (what: string) => void reports.push(what),
    };
    const people = Array.from({ length: options.people }, (_, index) =>
      createPerson({ ...world, random: random.fork(index) }, `person-${index}@example.test`),
    );
    const moves: string[] = [];
    const retried: string[] = [];
    const climb = async (from: Mode, to: Mode): Promise<void> => {
      onStep(`${from} → ${to}`);
      for (let tries = 1; ; tries += 1) {
        const refused = await operator.move(from, to);
        if (refused === null) break;
        retried.push(`${from} → ${to}: ${refused}`);
        if (tries === MOVE_TRIES) throw new Error(`the ladder ends at ${from}: ${refused}`);
        await sleep(500);
      }
      moves.push(`${from} → ${to}`);
    };

    await operator.set(SETTINGS);
    // Before the mirror nothing may be written, or the copy would need a backfill; whoever is unknown may knock.
    const knocking = startTraffic([...people], random.fork('knock'), 5);
    const logins = people.slice(0, 2).map(({ acts }) => acts.login());
    await climb('mongo-only', 'dual-write');
    await Promise.all(logins);
    await knocking.stop();
    await Promise.all(people.map(({ acts }) => acts.signup()));
    const traffic = startTraffic(people, random.fork('traffic'), options.perSecond);
    const replaced: Replaced[] = [];
    const roll = async (place: Place): Promise<void> => {
      onStep(`replacing ${place.name}`);
      replaced.push(await replace(place, () => balancer.serving().includes(place.name)));
      while (!balancer.serving().includes(place.name)) await sleep(20);
    };
    // An instance is replaced during each of the moves.
    for (const [index, place] of system.places.entries()) {
      const [from, to] = MODES.slice(index + 1);
      if (from === undefined || to === undefined) throw new Error('more instances than rungs');
      await sleep(500);
      await Promise.all([roll(place), climb(from, to)]);
    }
    await sleep(1_000);
    await traffic.stop();

    const stored = storedAccounts(await readPostgres(system.stores.postgres.url));
    for (const { email } of people) {
      const found = stored.get(email);
      recorder.final(email, found?.answer ?? { exists: false }, found?.sessionIds);
    }
    const operations = recorder.operations();
    const { findings, undecided } = check(operations, { leewayMs: LEEWAY_MS, configsMax: 50_000 });
    const bad = operations.filter(({ outcome }) => outcome.kind === 'unknown' || outcome.kind === 'failed');
    const seen = {
      requests: operations.length - people.length,
      failed: [
        ...bad.map(({ call, outcome }) => `${call.kind}: ${'reason' in outcome ? outcome.reason : ''}`),
        ...recorder.surprises,
        ...balancer.problems,
      ],
      findings: [
        ...findings.map(({ invariant, what }) => `invariant ${invariant}: ${what}`),
        ...undecided.map((email) => `${email} cannot be decided`),
        ...reports,
      ],
      moves,
      retried,
      replaced,
      slowestMs: Math.max(
        ...operations.map(({ invokedMs, completedMs }) => (completedMs ?? invokedMs) - invokedMs),
      ),
    };
    keep = seen.failed.length > 0 || seen.findings.length > 0;
    if (keep) recorder.save(join(system.folder, 'history.jsonl'));
    return { ...seen, folder: keep ? system.folder : null };
  } finally {
    http.close();
    await balancer.close();
    await operator.close();
    await system.close(keep);
  }
}

/** SIGTERM, then a new process in its place. */
async function replace(place: Place, isSentTo: () => boolean): Promise<Replaced> {
  const instance = place.current();
  if (instance === null) throw new Error(`nothing runs at ${place.name}`);
  instance.kill('SIGTERM');
  let saidNotReady = false;
  let servedMeanwhile = false;
  while (instance.exit() === null && !(saidNotReady && servedMeanwhile && !isSentTo())) {
    saidNotReady ||= (await probe(place.url, '/readyz', 5_000)) === 503;
    // Nobody is signed in on this request: an answer is all that is asked for.
    if (saidNotReady) servedMeanwhile ||= (await probe(place.url, '/auth/me', 5_000)) === 401;
    await sleep(20);
  }
  const { code } = await instance.exited;
  await place.start();
  return { place: place.name, exitCode: code, saidNotReady, servedMeanwhile };
}
