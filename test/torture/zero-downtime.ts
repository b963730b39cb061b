/**
 * The whole ladder under steady traffic, with everything that an operator does on it, while every instance is replaced as
 * well. The fence is what production has; leases and store time-outs outlast a machine that stands still for some seconds,
 * since what production rightly answers then is no downtime of the move's.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Mode } from '../../cutover/mode.ts';
import type { SettingKey } from '../../cutover/settings.ts';
import { NoMove, openOperator } from '../demo/operator.ts';
import { DELAY_ENDS_AT_SIGNAL } from '../support/preload.ts';
import { eventually } from '../support/wait.ts';
import { check } from './checker/checker.ts';
import { createHttpClient } from './clients/http.ts';
import { type LegacyAccount, recordLegacy, seedLegacy } from './clients/legacy.ts';
import { startTraffic } from './clients/open-loop.ts';
import { createPerson } from './clients/person.ts';
import { createTurns } from './clients/turns.ts';
import { storedAccounts } from './final/answers.ts';
import { readPostgres } from './final/records.ts';
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
  /** Records that the backfill brought over. */
  readonly copied: number;
  /** Modes that a verify was made in, each clean. */
  readonly verified: readonly Mode[];
  /** Bytes of the snapshot. */
  readonly snapshotBytes: number;
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
  /** As many more, whose accounts the old service has left in MongoDB. */
  readonly legacy: number;
  /** Accounts of the old service besides, whom nobody logs in to: only the backfill brings them over. */
  readonly quiet: number;
  readonly onStep?: (what: string) => void;
}

/** Of all moves together. Each comes after all the attempts that a move makes by itself. */
const RETRIES_MAX = 2;

const STORE_TIMEOUT = '10s';
/** Gates made for days. */
const SETTINGS: Readonly<Partial<Record<SettingKey, string>>> = {
  'lease-ms': '20000',
  // How fast clients are answered while other tests share the cores is no reason to stop a copy here.
  'backfill-slow-p99-ms': '0',
  'backfill-stop-p99-ms': '0',
  'gate-primary-comparisons': '50',
  'gate-only-soak-ms': '0',
};
/** Answers that must have come in a mode before the next move. */
const ANSWERS = 25;
const PATIENCE_MS = 120_000;

export async function runZeroDowntime(options: DowntimeOptions): Promise<Downtime> {
  const { onStep = () => {} } = options;
  const random = createRandom(options.seed);
  let legacy: readonly LegacyAccount[] = [];
  const system = await openSystem({
    instances: 3,
    firstMode: 'mongo-only',
    env: { ...DELAY_ENDS_AT_SIGNAL, STORE_TIMEOUT },
    async before({ mongo }) {
      legacy = await seedLegacy(mongo.url, options.legacy + options.quiet);
    },
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
    await recordLegacy(recorder, legacy);
    const addresses = Array.from({ length: options.people }, (_, index) => `person-${index}@example.test`);
    const [active, quiet] = [legacy.slice(0, options.legacy), legacy.slice(options.legacy)];
    const newcomers = addresses.map((email) => ({ email, known: null }));
    const all = [...active.map((known) => ({ email: known.email, known })), ...newcomers];
    const people = all.map(({ email, known }, index) =>
      createPerson({ ...world, random: random.fork(index) }, email, known),
    );
    let answers = 0;
    recorder.onEnd(() => {
      answers += 1;
    });
    const more = (count: number): Promise<boolean> => {
      const wanted = answers + count;
      return eventually(() => answers >= wanted, { timeoutMs: PATIENCE_MS });
    };
    const moves: string[] = [];
    const retried: string[] = [];
    const verified: Mode[] = [];
    const climb = async (from: Mode, to: Mode): Promise<void> => {
      onStep(`${from} → ${to}`);
      for (;;) {
        try {
          await operator.promote(to, () => {});
          break;
        } catch (error) {
          if (error instanceof NoMove && error.kind === 'refused') throw error;
          retried.push(`${from} → ${to}: ${error instanceof Error ? error.message : error}`);
          if (retried.length > RETRIES_MAX) throw error;
        }
      }
      moves.push(`${from} → ${to}`);
    };
    const look = async (mode: Mode): Promise<void> => {
      onStep(`verify in ${mode}`);
      const { clean, differences } = await operator.verify();
      if (clean) verified.push(mode);
      else reports.push(`verify in ${mode}: ${JSON.stringify(differences)}`);
    };
    const replaced: Replaced[] = [];
    const roll = async (place: Place | undefined): Promise<void> => {
      if (place === undefined) throw new Error('fewer instances than rungs');
      onStep(`replacing ${place.name}`);
      replaced.push(await replace(place, () => balancer.isInUse(place.name)));
      await eventually(() => balancer.serving().includes(place.name), { timeoutMs: PATIENCE_MS });
    };

    // What is done in each mode, while an instance is replaced.
    const copy = async () => {
      onStep('backfill');
      const result = await operator.backfill();
      await look('dual-write');
      return result;
    };
    const compareAndKeep = async () => {
      await climb('dual-write', 'shadow-read');
      await more(ANSWERS);
      onStep('snapshot');
      const created = await operator.snapshot();
      await look('shadow-read');
      return created;
    };
    const crossOver = async () => {
      await climb('shadow-read', 'postgres-primary');
      await more(ANSWERS);
      await look('postgres-primary');
    };

    for (const [key, value] of Object.entries(SETTINGS)) await operator.set(key as SettingKey, value);
    await Promise.all(
      people.map(({ acts }, index) =>
        index < active.length ? Promise.all([acts.login(), acts.exchange()]) : acts.signup(),
      ),
    );
    const traffic = startTraffic(people, random.fork('traffic'), options.perSecond);
    await more(ANSWERS);
    const [a, b, c] = system.places;
    await climb('mongo-only', 'dual-write');
    await more(ANSWERS);
    const [{ counts }] = await Promise.all([copy(), roll(a)]);
    const [{ manifest }] = await Promise.all([compareAndKeep(), roll(b)]);
    await Promise.all([crossOver(), roll(c)]);
    await climb('postgres-primary', 'postgres-only');
    await more(ANSWERS);
    await traffic.stop();

    const stored = storedAccounts(await readPostgres(system.stores.postgres.url));
    for (const { email } of [...people, ...quiet]) {
      const found = stored.get(email.toLowerCase());
      recorder.final(email, found?.answer ?? { exists: false }, found?.sessionIds);
    }
    const operations = recorder.operations();
    const { findings, undecided } = check(operations, { leewayMs: LEEWAY_MS, configsMax: 50_000 });
    const bad = operations.filter(({ outcome }) => outcome.kind === 'unknown' || outcome.kind === 'failed');
    const seen = {
      requests: operations.length - people.length - legacy.length,
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
      copied: counts.inserted + counts.updated,
      verified,
      snapshotBytes: manifest.files.reduce((sum, { bytes }) => sum + bytes, 0),
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

/** SIGTERM, then a new process in its place. The delay in which it serves lasts until the balancer has dropped it. */
async function replace(place: Place, isInUse: () => boolean): Promise<Replaced> {
  const instance = place.current();
  if (instance === null) throw new Error(`nothing runs at ${place.name}`);
  instance.kill('SIGTERM');
  let saidNotReady = false;
  let servedMeanwhile = false;
  while (instance.exit() === null && !(saidNotReady && servedMeanwhile && !isInUse())) {
    saidNotReady ||= (await probe(place.url, '/readyz', 5_000)) === 503;
    // Nobody is signed in on this request: an answer is all that is asked for.
    if (saidNotReady) servedMeanwhile ||= (await probe(place.url, '/auth/me', 5_000)) === 401;
    await sleep(20);
  }
  instance.kill('SIGUSR2');
  const { code } = await instance.exited;
  await place.start();
  return { place: place.name, exitCode: code, saidNotReady, servedMeanwhile };
}
