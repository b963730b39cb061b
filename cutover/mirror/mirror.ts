/**
 * The mirror's worker in one instance. What was written marked is copied to the other store at once, off the reply
 * path; what this instance, or a dead one, did not get done is found again by its mark. So the queue may be lost, a
 * batch may be cut short anywhere, and everything may be done twice: the marks and the stamps carry the promise.
 */
import { StaleEpoch, type StoreName, StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Entity } from '../../db/records.ts';
import { type Barred, createBarred } from '../barred.ts';
import { type BreakerState, createBreaker } from '../breaker.ts';
import { FENCED_EPOCH } from '../control.ts';
import type { Environment } from '../environment.ts';
import type { Member } from '../instance/member.ts';
import { authorityOf, mirrorOf } from '../mode.ts';
import type { ControlRecord, PerStore } from '../protocol/types.ts';
import type { Telemetry } from '../telemetry.ts';
import { NO_TRAFFIC, type Traffic } from '../traffic.ts';
import { createAsides } from './aside.ts';
import { backoffMs } from './backoff.ts';
import { mirrorBatch, type Verdicts } from './batch.ts';
import { type Counted, createCounting } from './counting.ts';
import { createNap } from './nap.ts';
import { notePoison } from './notes.ts';
import { createOutages } from './outages.ts';
import { createPass, type Pass, PermitEnded } from './pass.ts';
import { createQueue, type Item } from './queue.ts';
import { createSweeper } from './sweeper.ts';

export interface MirrorStats extends Counted {
  /** Ids waiting in this instance. */
  readonly queued: number;
  /** Records this instance has set aside because the mirror refuses them. */
  readonly poisoned: number;
  /** Unresolved clashes known to this instance. */
  readonly conflicts: number;
  readonly breaker: BreakerState;
  /** Marks in the mirror at the last count. */
  readonly orphans: number | null;
  /** Why nothing is written to the mirror, which answers; null: it is. */
  readonly standsBecause: string | null;
}

export interface Mirror {
  /** This record was written, marked, in the authority. Synchronous and cheap: called on the reply path. */
  notice(entity: Entity, id: string): void;
  start(): void;
  /** Ends the work: what is queued is finished as far as `graceMs` allows, and the marks keep the rest. */
  stop(graceMs: number): Promise<void>;
  /** Resolves when nothing is queued in this instance and nothing is being applied. */
  idle(): Promise<void>;
  stats(): MirrorStats;
}

export interface MirrorOptions {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly member: Member;
  /** Records that expired longer ago are not mirrored. */
  readonly retentionMs: number;
  /** The clients whose way it keeps out of. */
  readonly traffic?: Pick<Traffic, 'lull'>;
  /** Shared with whoever else would write to the mirror. */
  readonly barred?: Barred;
}

const QUEUED_MAX = 10_000;
const ASIDES_MAX = 50_000;
/** MongoDB works through a batch record by record, and one of both stores always is MongoDB. */
const BATCH_MAX = 100;
/** Tries at once for what has changed under the worker's hands; then it waits as after a failure. */
const AT_ONCE_MAX = 3;
const SWEEP_MS = 1_000;
/**
 * Between sweeps behind a fence, where requests wait for the drain. What an instance has written itself is queued already:
 * a sweep is for what others have left, and costs the stores as much as many requests.
 */
const DRAIN_MS = 100;
/** How long a batch, and the end of it, wait for a moment without clients. */
const LULL_MAX_MS = 20;
/** Between looks for a lease, or for leave to go on. */
const REST_MS = 100;
const FOREVER_MS = 60_000;

export function createMirror(options: MirrorOptions): Mirror {
  const { stores, environment, telemetry, member, retentionMs, traffic = NO_TRAFFIC } = options;
  const { settings } = member;
  const queue = createQueue(QUEUED_MAX);
  const asides = createAsides(ASIDES_MAX);
  const workNap = createNap(environment);
  const sweepNap = createNap(environment);
  const counting = createCounting(environment);
  const noteOutage = createOutages({ environment, telemetry });
  const barred = options.barred ?? createBarred({ telemetry, followed: member.record });
  barred.onGone(() => workNap.wake());
  const sweeper = createSweeper({
    environment,
    queue,
    asides,
    counting,
    barred,
    isInFlight: (entity, id) => inFlight.some((item) => item.id === id && item.entity === entity),
    onQueued: () => workNap.wake(),
  });
  const breaker = createBreaker({
    environment,
    settings,
    onChange(to, from) {
      const store = mirrorName() ?? 'none';
      // What goes on being open has been told of.
      const level = from === 'closed' || to === 'closed' ? 'warn' : 'debug';
      telemetry[level]({ store, from, to }, `mirror: the breaker is ${to}`);
      if (to === 'open') telemetry.count('cutover_breaker_opened_total', { store, purpose: 'mirror' });
    },
  });

  /** Whether the mirror was looked at since it was last out of reach: its URL may lead elsewhere since. */
  let isLookedAt = false;
  let phase: 'new' | 'running' | 'stopping' | 'stopped' = 'new';
  let inFlight: readonly Item[] = [];
  let gatherNap = createNap(environment);
  let failures = 0;
  /** No batch before then: the last one failed as a whole. */
  let pausedUntilMs = Number.NEGATIVE_INFINITY;
  /** Halved by each failure of a whole batch, to find out what it is that fails; doubled by each success. */
  let batchMax = BATCH_MAX;
  /** The record under which the mirror turned out to know of a later authority: nothing is tried before another. */
  let staleUnder: ControlRecord | null = null;
  /** The epoch of the last such case that was logged. */
  let staleLogged = -1;
  /** While stopping: when to leave the rest to the marks. */
  let stopAtMs = Number.POSITIVE_INFINITY;
  let idlers: (() => void)[] = [];
  let unfollow = (): void => {};
  let worker: Promise<void> = Promise.resolve();

  const nowMs = (): number => environment.now().monotonicMs;
  const mirrorName = (): StoreName | null => {
    const mode = member.mode();
    return mode === null ? null : mirrorOf(mode);
  };
  const isFenced = (): boolean => member.record()?.transition?.phase === 'fenced';
  const batchSize = (): number => Math.min(settings()['mirror-batch'], batchMax);
  /** Somebody waits for what is queued. */
  const isUrgent = (): boolean =>
    phase !== 'running' || idlers.length > 0 || (member.record()?.transition ?? null) !== null;

  /** A batch costs both stores the same few statements, however much is in it: what is written within a moment shares them. */
  async function gather(): Promise<void> {
    if (!queue.isRoundOver() || isUrgent() || queue.size() >= batchSize()) return;
    // A new one: whatever would have woken the last has just been looked at.
    gatherNap = createNap(environment);
    await gatherNap.sleep(settings()['mirror-gather-ms']);
    await lull();
  }

  async function lull(): Promise<void> {
    if (!isUrgent()) await traffic.lull(LULL_MAX_MS);
  }

  /** Leave to work now; or how long to rest, ms. */
  function permit(): Pass | number {
    const record = member.record();
    if (record === null) return REST_MS;
    const name = mirrorOf(record.mode);
    const mirror = name === null ? null : stores[name];
    const authority = stores[authorityOf(record.mode)];
    if (mirror === null || authority === null) {
      // What is marked stays so; this mode has nowhere to put it.
      queue.clear();
      asides.clear();
      return FOREVER_MS;
    }
    if (settings()['mirror-paused'] || staleUnder === record) return FOREVER_MS;
    const given = member.permitWork();
    // A permit under another record than the one just looked at says so at the next look.
    if (given === null || given.ticket.epoch !== record.epoch || given.ticket.mode !== record.mode)
      return REST_MS;
    if (!breaker.allow()) return Math.max(breaker.retryInMs(), 1);
    return createPass({
      environment,
      telemetry,
      authority,
      mirror,
      record,
      permit: given,
      breaker,
      noteOutage,
      retentionMs,
      lull,
      onTouch: queue.add,
    });
  }

  /** One batch, if there is one; how long to rest afterwards, ms. */
  async function turn(): Promise<number> {
    const dueAtMs = queue.dueAtMs();
    if (dueAtMs === null) return FOREVER_MS;
    const untilMs = Math.max(dueAtMs, pausedUntilMs);
    if (untilMs > nowMs()) return untilMs - nowMs();
    if (barred.reason() !== null) return FOREVER_MS;
    await gather();
    const pass = permit();
    if (typeof pass === 'number') return pass;
    if (!isLookedAt) {
      try {
        if (await pass.callMirror(() => barred.look(pass.mirror))) return FOREVER_MS;
        isLookedAt = true;
      } catch (error) {
        return onFailure(error, [], pass);
      }
    }
    const items = queue.take(nowMs(), batchSize());
    const [first] = items;
    if (first === undefined) return 0;
    inFlight = items;
    try {
      const ids = items.map(({ id }) => id);
      await settle(pass, items, await mirrorBatch(pass, first.entity, ids));
      failures = 0;
      batchMax = Math.min(BATCH_MAX, batchMax * 2);
      return 0;
    } catch (error) {
      return onFailure(error, items, pass);
    } finally {
      inFlight = [];
    }
  }

  async function settle(pass: Pass, items: readonly Item[], verdicts: Verdicts): Promise<void> {
    for (const item of items) {
      const { entity, id } = item;
      const verdict = verdicts.get(id) ?? { kind: 'later' };
      const known = verdict.kind === 'again' || verdict.kind === 'later' ? null : asides.take(entity, id);
      const attempts = item.attempts + 1;
      switch (verdict.kind) {
        case 'done':
        case 'left':
          if (known !== null) await pass.authority.books.deleteNote(known.kind, `${entity}/${id}`);
          break;
        case 'again':
        case 'later': {
          const atOnce = verdict.kind === 'again' && attempts <= AT_ONCE_MAX;
          const waitMs = atOnce ? 0 : backoffMs(attempts, settings(), environment);
          queue.retry({ ...item, attempts }, nowMs() + waitMs);
          break;
        }
        case 'poison':
        case 'conflict': {
          const tries = (known?.attempts ?? 0) + 1;
          const dueAtMs = nowMs() + backoffMs(tries, settings(), environment);
          if (verdict.kind === 'poison') await notePoison(pass, entity, id, verdict);
          asides.put(entity, id, { kind: verdict.kind, stamp: verdict.stamp, attempts: tries, dueAtMs });
          if (verdict.kind === 'conflict' || known !== null) break;
          telemetry.count('cutover_mirror_poisoned_total', { store: pass.mirror.name, entity });
          telemetry.error(
            { entity, id, reason: verdict.reason },
            'mirror: a record is refused, and set aside',
          );
        }
      }
    }
  }

  /** The whole batch is to be tried again; how long to rest, ms. */
  function onFailure(error: unknown, items: readonly Item[], pass: Pass): number {
    const store = pass.mirror.name;
    if (error instanceof PermitEnded || error instanceof StaleEpoch) {
      for (const { entity, id } of items) queue.add(entity, id);
      if (error instanceof PermitEnded) return REST_MS;
      if (error.stored === FENCED_EPOCH) {
        barred.note(store);
        return FOREVER_MS;
      }
      if (staleLogged !== pass.epoch) {
        telemetry.warn({ store, epoch: pass.epoch }, 'mirror: the store knows of a later authority');
      }
      staleLogged = pass.epoch;
      staleUnder = pass.record;
      return FOREVER_MS;
    }
    failures += 1;
    batchMax = Math.max(1, Math.floor(batchMax / 2));
    const waitMs = backoffMs(failures, settings(), environment);
    pausedUntilMs = nowMs() + waitMs;
    for (const item of items) {
      const attempts = item.attempts + 1;
      if (items.length > 1) queue.add(item.entity, item.id);
      // Alone, it may be what is in the way: the others go first.
      else
        queue.retry(
          { ...item, attempts, alone: true },
          nowMs() + backoffMs(attempts, settings(), environment),
        );
    }
    const isOutage = error instanceof StoreUnavailable;
    if (isOutage) isLookedAt = false;
    const reason = isOutage ? error.reason : 'error';
    telemetry.count('cutover_mirror_retried_total', { store, reason });
    if (!isOutage) telemetry.error({ store, error: nameOf(error) }, 'mirror: a batch failed unexpectedly');
    else telemetry.debug({ store, reason, waitMs: Math.round(waitMs) }, 'mirror: a batch is tried again');
    return waitMs;
  }

  function tellIdlers(): void {
    if (phase !== 'stopped' && (inFlight.length > 0 || queue.size() > 0)) return;
    const told = idlers;
    idlers = [];
    for (const resolve of told) resolve();
  }

  async function work(): Promise<void> {
    while (phase === 'running' || phase === 'stopping') {
      const restMs = await turn();
      tellIdlers();
      if (restMs <= 0) continue;
      if (phase === 'stopping' && (queue.size() === 0 || nowMs() + restMs >= stopAtMs)) return;
      await workNap.sleep(restMs);
    }
  }

  async function sweepAll(): Promise<void> {
    while (phase === 'running') {
      const wasFenced = isFenced();
      const paceMs = wasFenced ? DRAIN_MS : SWEEP_MS;
      // Before the sweep, so that instances that were started together do not sweep together.
      await sweepNap.sleep(paceMs * (0.5 + environment.random()));
      if (phase !== 'running') return;
      // The fence has just closed: what is queued goes first.
      if (isFenced() && !wasFenced) continue;
      await sweepOnce();
    }
  }

  async function sweepOnce(): Promise<void> {
    await attempt(async () => {
      const pass = permit();
      if (typeof pass === 'number') tellIdlers();
      else await sweeper.sweep(pass, { behindFence: isFenced() });
    });
    // Nobody reads it there, and requests wait.
    if (isFenced()) return;
    // Whatever came of the sweep: a mirror that is down is when the count matters most.
    const mode = member.mode();
    const name = mirrorName();
    const authority = mode === null || name === null ? null : stores[authorityOf(mode)];
    const mirror = name === null || breaker.state() !== 'closed' ? null : stores[name];
    await attempt(() => counting.count(authority, mirror));
  }

  async function attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (error instanceof PermitEnded || error instanceof StaleEpoch) return;
      if (error instanceof StoreUnavailable) {
        telemetry.debug({ reason: error.reason }, 'mirror: a sweep was cut short');
      } else telemetry.error({ error: nameOf(error) }, 'mirror: a sweep failed unexpectedly');
    }
  }

  function onFollow(record: ControlRecord, before: ControlRecord | null): void {
    staleUnder = null;
    if (before === null || mirrorOf(before.mode) !== mirrorOf(record.mode)) {
      sweeper.reset();
      counting.reset();
      asides.clear();
      barred.reset();
      isLookedAt = false;
    }
    if (record.transition !== null) {
      pausedUntilMs = Number.NEGATIVE_INFINITY;
      queue.hasten();
      gatherNap.wake();
    }
    workNap.wake();
    sweepNap.wake();
  }

  return {
    notice(entity, id) {
      queue.add(entity, id);
      workNap.wake();
      if (queue.size() >= batchSize()) gatherNap.wake();
    },

    start() {
      if (phase !== 'new') return;
      phase = 'running';
      unfollow = member.onFollow(onFollow);
      worker = work();
      void sweepAll();
    },

    async stop(graceMs) {
      if (phase === 'running') {
        phase = 'stopping';
        stopAtMs = nowMs() + graceMs;
        gatherNap.wake();
        workNap.wake();
        sweepNap.wake();
        const graceOver = new AbortController();
        await Promise.race([worker, environment.sleep(graceMs, graceOver.signal)]);
        graceOver.abort();
      }
      phase = 'stopped';
      workNap.wake();
      unfollow();
      tellIdlers();
    },

    idle: () =>
      new Promise((resolve) => {
        idlers.push(resolve);
        gatherNap.wake();
        tellIdlers();
      }),

    stats: () => ({
      queued: queue.size(),
      poisoned: asides.count('poison'),
      conflicts: asides.count('conflict'),
      breaker: breaker.state(),
      ...counting.last(),
      orphans: sweeper.orphans(),
      standsBecause: barred.reason(),
    }),
  };
}

/** For a log: what kind of error it was, never its message. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown';
}
