/**
 * The cutover as one process has it: a member of the system, the port over the store that has authority, the mirror
 * and the comparisons behind it. Built from parts that only meet here.
 */
import { StoreUnavailable } from '../db/errors.ts';
import type { LimitStore, Repository, Store } from '../db/port.ts';
import { createBarred } from './barred.ts';
import {
  assertOneSystem,
  asUnreadable,
  fromControl,
  isSilence,
  readControl,
  UnreadableControl,
} from './control.ts';
import type { Environment } from './environment.ts';
import { createFallback } from './fallback.ts';
import { createWatcher } from './foreign/watcher.ts';
import { createInstance, type Instance } from './instance/instance.ts';
import { createLateWrites } from './late-writes.ts';
import { createLatency } from './latency.ts';
import { createMirror, type Mirror } from './mirror/mirror.ts';
import { authorityOf, countingOn, type Mode, mirrorOf, otherStore } from './mode.ts';
import { NOTES } from './notes.ts';
import { isOneSystem } from './protocol/changes.ts';
import type { Rules } from './protocol/rules.ts';
import type { ControlRecord, PerStore } from './protocol/types.ts';
import { createRouter } from './router.ts';
import { createShadow, type Shadow } from './shadow/shadow.ts';
import { decideStart, type Reading, recordIn } from './startup.ts';
import type { Telemetry } from './telemetry.ts';
import { createTelling } from './telling.ts';
import { createTraffic } from './traffic.ts';
import { troubleIn } from './words.ts';

export interface EngineOptions {
  /** Null: no URL was given. */
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  /** The mode of a new system; where a record exists it is ignored. */
  readonly firstMode: Mode;
  /** How long expired tokens and sessions are kept, ms: the mirror takes nothing that is past it. */
  readonly retentionMs: number;
  /** The stores' own limit on a statement, ms. */
  readonly storeTimeoutMs: number;
  /** Keys the digests under which differing values are named. */
  readonly digestKey: Uint8Array;
  /** Made ready before it is used: schema, durability. Throws `StoreUnavailable` when it is to be tried again, but for `forbidden`. */
  readonly prepare?: (store: Store) => Promise<void>;
  readonly rules?: Rules;
  readonly queueMax?: number;
  /** Digest of the mapping that MongoDB's store reads and writes by. Default: of the default mapping. */
  readonly mapping?: string;
  /** Name of the machine that this process runs on, for `status`. */
  readonly host?: string;
}

/** What this process knows of itself. */
export interface EngineStatus {
  readonly instance: string;
  readonly configured: Mode;
  /** Null: it cannot know its mode, and serves nothing. */
  readonly effective: Mode | null;
  readonly epoch: number | null;
  readonly revision: number | null;
  readonly transition: string | null;
  /** `serving`, `fenced` (requests wait), or why nothing is served, in words. */
  readonly standing: 'serving' | 'fenced' | 'no-record' | 'no-lease';
  /** What an operator should know about that; null when all is well. */
  readonly problem: string | null;
  readonly leaseAgeMs: number | null;
  readonly waiting: number;
  readonly mirror: ReturnType<Mirror['stats']>;
  readonly shadow: ReturnType<Shadow['stats']>;
  /** Whether it is this instance that watches for foreign writes. */
  readonly watchesForeign: boolean;
}

export interface Engine {
  readonly repository: Repository;
  readonly limits: LimitStore;
  /** The same member that the router asks. */
  readonly member: Instance;
  readonly mirror: Mirror;
  readonly shadow: Shadow;
  /** Finds out the mode, or begins a new system; goes on trying in the background. Throws `StartRefused`. */
  start(): Promise<void>;
  /** Ends the loops, finishes what the mirror has in hand as far as the grace allows, and signs off. */
  stop(graceMs: number): Promise<void>;
  status(): EngineStatus;
}

/** The configuration contradicts what the stores hold: another one is needed. */
export class StartRefused extends Error {
  override readonly name = 'StartRefused';
}

/** Between two attempts to find out the mode, ms. */
const START_RETRY_MS = 500;

export function createEngine(options: EngineOptions): Engine {
  const { stores, environment, telemetry, firstMode, retentionMs, storeTimeoutMs } = options;
  const { prepare = async () => {}, rules, queueMax, digestKey, mapping, host = null } = options;
  const latency = createLatency(environment);
  const member = createInstance({
    stores,
    environment,
    telemetry,
    storeTimeoutMs,
    host,
    onLapse: () => void noteLapse(),
    onGlance: (own) => telling.heed(own),
    p99Ms: latency.p99Ms,
    ...(rules && { rules }),
    ...(queueMax === undefined ? {} : { queueMax }),
    ...(mapping === undefined ? {} : { mapping }),
  });
  const traffic = createTraffic(environment);
  const barred = createBarred({ telemetry, followed: member.record });
  const parts = { stores, environment, telemetry, member, traffic, barred };
  const mirror = createMirror({ ...parts, retentionMs });
  const shadow = createShadow({ ...parts, retentionMs, digestKey });
  const fallback = createFallback(parts);
  const lateWrites = createLateWrites({ ...parts, onMarked: mirror.notice });
  const watcher = createWatcher({ ...parts, retentionMs });
  const { repository, limits } = createRouter({
    ...parts,
    onMarked: mirror.notice,
    onUntold: lateWrites.note,
    onRead: shadow.offer,
    tryElsewhere: fallback.tryRead,
    onOperation: latency.note,
    isFenced: barred.look,
  });
  const ready = new Set<Store>();
  const ended = new AbortController();
  const telling = createTelling({ ...parts, ready, makeReady, ended: ended.signal });
  let starting: Promise<void> = Promise.resolve();
  let problem: string | null = 'not started';
  let warned: string | null = null;

  async function readingOf(store: Store | null): Promise<Reading> {
    if (store === null) return { kind: 'not-configured' };
    try {
      const record = await readControl(store);
      const holdsUsers = record === null && (await store.replica.holdsUsers());
      return { kind: 'read', record, holdsUsers };
    } catch (error) {
      if (isSilence(error)) return { kind: 'unreachable' };
      const { message, epoch } = asUnreadable(error, store.name);
      telemetry.debug({ err: error, store: store.name }, message);
      return { kind: 'unreadable', reason: message, epoch };
    }
  }

  /** Throws `StartRefused` when they are of two systems: nothing of either is followed then. */
  function learn(readings: PerStore<Reading>): void {
    const [mongo, postgres] = [recordIn(readings.mongo), recordIn(readings.postgres)];
    try {
      assertOneSystem(mongo, postgres);
    } catch (error) {
      throw new StartRefused(error instanceof Error ? error.message : String(error), { cause: error });
    }
    if (stores.mongo !== null && mongo !== null) member.learn(stores.mongo, mongo);
    if (stores.postgres !== null && postgres !== null) member.learn(stores.postgres, postgres);
  }

  async function makeReady(store: Store | null): Promise<void> {
    if (store === null || ready.has(store)) return;
    try {
      await prepare(store);
    } catch (error) {
      // What waits for a privilege waits for a person, who has to be told.
      if (!(error instanceof StoreUnavailable) || error.reason !== 'forbidden') throw error;
      const remedy = 'run `npm run migrate` as one who may';
      throw new Error(`${troubleIn(error)}, to prepare it: ${remedy}`, { cause: error });
    }
    ready.add(store);
  }

  /** One attempt; null once the mode is known, otherwise why it is not. Throws `StartRefused`. */
  async function attempt(): Promise<string | null> {
    const [mongo, postgres] = await Promise.all([readingOf(stores.mongo), readingOf(stores.postgres)]);
    learn({ mongo, postgres });
    const nowMs = environment.date().getTime();
    const decision = decideStart(firstMode, { mongo, postgres }, nowMs, environment.newId());
    if (decision.kind === 'refuse') throw new StartRefused(decision.reason);
    if (decision.kind === 'wait') return decision.reason;
    if (decision.kind === 'create') {
      await begin(decision.record);
      return attempt();
    }
    const record = member.record();
    const authority = record === null ? null : stores[authorityOf(record.mode)];
    if (record !== null && authority === null) {
      return `the effective mode ${record.mode} needs a store that is not configured here`;
    }
    const own = record === null ? null : { mongo, postgres }[authorityOf(record.mode)];
    const other = record === null ? null : { mongo, postgres }[otherStore(authorityOf(record.mode))];
    if (own?.kind === 'unreadable') return own.reason;
    // Of no matter to whoever serves, unless it has overruled the record that is followed.
    if (other?.kind === 'unreadable') {
      if ((other.epoch ?? 0) > (record?.epoch ?? 0)) return other.reason;
      if (other.reason !== warned)
        telemetry.warn({ mode: record?.mode }, `${other.reason}; it decides nothing`);
      warned = other.reason;
    }
    await makeReady(authority);
    // Whoever began this system got no further than its first record.
    if (record !== null && own?.kind === 'read' && own.record === null && record.revision === 1) {
      await begin(record);
    }
    return null;
  }

  /** MongoDB's record first, where there is a MongoDB: of two that begin at once, only one comes first. */
  async function begin(first: ControlRecord): Promise<void> {
    const isCounted = first.copy.kind === 'complete' && stores.postgres !== null;
    const history = isCounted ? await stores.postgres.history() : null;
    let record: ControlRecord = { ...first, copy: countingOn(first.copy, history) };
    for (const store of [stores.mongo, stores.postgres]) {
      if (store === null || !(await isReadyToBegin(store, record.mode))) continue;
      const created = await store.books.createControl(fromControl(record));
      // Another came first: its record counts, unless it is this very one, left without its copy.
      const there = created ? record : await readControl(store);
      if (there?.mode !== record.mode || there.revision !== record.revision) return;
      // Whoever has no MongoDB came first in PostgreSQL: MongoDB had only been told.
      if (!isOneSystem(there, record) && store.name === authorityOf(record.mode))
        await stores.mongo?.books.replaceControl(record, fromControl(there));
      record = there;
      if (created && store.name === authorityOf(record.mode)) await noteBeginning(store, record);
    }
  }

  /** False: it cannot be prepared by whoever starts, and the mode does without it. */
  async function isReadyToBegin(store: Store, mode: Mode): Promise<boolean> {
    try {
      await makeReady(store);
    } catch (error) {
      const isUsed = store.name === authorityOf(mode) || store.name === mirrorOf(mode);
      if (isUsed || error instanceof StoreUnavailable) throw error;
      telemetry.warn(
        { err: error, store: store.name, mode },
        `a store that ${mode} does not use is not ready`,
      );
      return false;
    }
    return true;
  }

  async function noteBeginning(store: Store, { mode, epoch, revision, copy }: ControlRecord): Promise<void> {
    telemetry.info({ mode, epoch }, `a new system begins in ${mode}`);
    const details = { copy: copy.kind };
    const body = { kind: 'created', mode, epoch, revision, details };
    await store.books.log({ at: environment.date(), id: environment.newId(), body });
  }

  async function tryToStart(): Promise<boolean> {
    try {
      problem = await attempt();
    } catch (error) {
      if (error instanceof UnreadableControl) problem = error.message;
      else if (error instanceof StoreUnavailable) problem = troubleIn(error);
      else throw error;
    }
    if (problem === null) await goOn();
    return problem === null;
  }

  async function keepTrying(): Promise<void> {
    while (!ended.signal.aborted) {
      await environment.sleep(START_RETRY_MS, ended.signal);
      if (ended.signal.aborted) return;
      const before = problem;
      try {
        if (await tryToStart()) return;
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error);
        if (problem !== before) telemetry.error({ err: error }, 'cannot start serving');
      }
    }
  }

  async function goOn(): Promise<void> {
    const effective = member.mode();
    if (effective !== firstMode) {
      telemetry.warn(
        { configured: firstMode, effective },
        `BACKEND_MODE=${firstMode} is ignored: the system is in ${effective}`,
      );
    }
    const other = effective === null ? null : mirrorOf(effective);
    if (other !== null && stores[other] === null) {
      const message = `${effective} mirrors to a store that is not configured here: others have to do it`;
      telemetry.warn({ effective, mirror: other }, message);
    }
    member.onFollow(heed);
    const record = member.record();
    if (record !== null) heed(record);
    await member.start();
    mirror.start();
    shadow.start();
    watcher.start();
  }

  /** Evidence for whoever asks whether the last day was calm. Kept by the authority once it answers again. */
  async function noteLapse(): Promise<void> {
    const date = environment.date();
    const key = `${date.toISOString().slice(0, 13)}/${member.id}`;
    // However long that takes: a store that was away for minutes is what the evidence is of.
    while (!ended.signal.aborted) {
      await environment.sleep(START_RETRY_MS, ended.signal);
      const record = member.record();
      const store = record === null ? null : stores[authorityOf(record.mode)];
      if (store === null || ended.signal.aborted) return;
      try {
        return await store.books.putNote(NOTES.lapse, key, {}, date);
      } catch {
        // Whatever it was: no instance ends for want of a note.
      }
    }
  }

  function heed(record: ControlRecord): void {
    telling.tell(record);
    // The connection that is kept for this question is opened before it is needed.
    if (record.mode === 'postgres-primary') void stores.postgres?.assurance().catch(() => {});
  }

  return {
    repository,
    limits,
    member,
    mirror,
    shadow,
    async start() {
      if (await tryToStart()) return;
      telemetry.warn({ problem }, 'the mode is not known yet: nothing is served');
      starting = keepTrying();
    },
    async stop(graceMs) {
      ended.abort();
      await starting;
      await Promise.all([shadow.stop(), fallback.stop(), watcher.stop(), lateWrites.stop()]);
      await mirror.stop(graceMs);
      await member.stop();
    },
    status() {
      const record = member.record();
      const standing = member.standing();
      return {
        instance: member.id,
        configured: firstMode,
        effective: record?.mode ?? null,
        epoch: record?.epoch ?? null,
        revision: record?.revision ?? null,
        transition: record?.transition?.id ?? null,
        standing:
          standing.kind === 'admit'
            ? 'serving'
            : standing.kind === 'wait' || (standing.reason === 'no-lease' && member.isBetweenEpochs())
              ? 'fenced'
              : standing.reason,
        problem: problem ?? member.problem(),
        leaseAgeMs: member.leaseAgeMs(),
        waiting: member.waiting(),
        mirror: mirror.stats(),
        shadow: shadow.stats(),
        watchesForeign: watcher.isWatching(),
      };
    },
  };
}
