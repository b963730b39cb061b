/**
 * One process as a member: it follows the control record, keeps its lease, admits operations under it, stops at a
 * fence, and finishes or aborts changes of authority that their coordinator left. Every decision is asked of
 * `../protocol`; this file only does what they say, and keeps the time.
 */
import { isDeepStrictEqual } from 'node:util';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { changeControl, fromLease, isSilence, OtherSystem, readControl } from '../control.ts';
import type { Environment } from '../environment.ts';
import { authorityOf, otherStore } from '../mode.ts';
import {
  type Admission,
  acknowledgement,
  decideAdmission,
  type InFlight,
  mayAcknowledge,
  mayContinue,
  mayResolve,
  settledRevision,
  type Ticket,
} from '../protocol/admission.ts';
import { isOneSystem, mayAbort } from '../protocol/changes.ts';
import { transitionOf, unfinishedChange } from '../protocol/follow.ts';
import {
  beginHeartbeat,
  type Heartbeat,
  type InstanceState,
  newInstance,
  onControlRead,
  onHeartbeatCommitted,
} from '../protocol/lease.ts';
import { RULES, type Rules } from '../protocol/rules.ts';
import type { ControlRecord, LeaseRow, PerStore } from '../protocol/types.ts';
import { settingsOf, timingOf } from '../settings.ts';
import type { Telemetry } from '../telemetry.ts';
import { createComplaints } from './complaints.ts';
import type { Admitted, Member, WorkPermit } from './member.ts';
import { createPulse } from './pulse.ts';
import { createFenceQueue } from './queue.ts';
import { createSight } from './sight.ts';
import { createTidying } from './tidying.ts';

export interface InstanceOptions {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  /** The stores' own limit on a statement, ms: after that and a margin, what had no answer will not act any more. */
  readonly storeTimeoutMs: number;
  /** Digest of the mapping documents are read and written by. Default: of the default mapping. */
  readonly mapping?: string;
  /** Name of the machine that this process runs on, for people. Default: not told. */
  readonly host?: string | null;
  /** How many operations may wait at a fence. */
  readonly queueMax?: number;
  /** Only proofs take rules out. */
  readonly rules?: Rules;
  /** What it is to say of the authority's latency; nothing without it. */
  readonly p99Ms?: () => number | null;
  /** Told of each lease that lapsed. */
  readonly onLapse?: () => void;
  /** Told what the store that is not the authority holds, at each look at it. */
  readonly onGlance?: (own: ControlRecord | null) => void;
}

export interface Instance extends Member {
  /** Takes in a record that was read before the loops run. */
  learn(store: Store, record: ControlRecord): void;
  /** Resolves after the first heartbeat, whatever became of it. */
  start(): Promise<void>;
  /** Admits nothing any more; takes its row out once nothing is in flight. */
  stop(): Promise<void>;
  /** Whether an operation would be admitted now, and if not, why. */
  standing(): Admission;
  /**
   * Whether authority has moved and no lease is held yet under the new epoch, for no longer than what came at that moment
   * waits for one. Who asks where to send requests would else find no instance for a moment, each of which would answer.
   */
  isBetweenEpochs(): boolean;
  waiting(): number;
  /** Why the store that has authority does not tell its record although it answers; null: it does, or is silent. */
  problem(): string | null;
  /** Since the lease was last counted from, ms; null without one. */
  leaseAgeMs(): number | null;
}

const QUEUE_MAX = 1_000;
/** No client waits much longer, whatever deadline is set. */
const WAIT_MAX_MS = 30_000;
/** What a statement may take beyond the store's own limit before its answer, or its death, is certain. */
const SETTLE_MARGIN_MS = 500;
/** How often the store that is not followed is looked at. */
const GLANCE_EVERY_MS = 2_000;
/** How often rows that have long been silent are looked for. */
const TIDY_EVERY_MS = 30_000;
/** For so long after a change of authority an instance without a lease looks and beats fast. */
const HURRY_MS = 5_000;

export function createInstance(options: InstanceOptions): Instance {
  const { stores, environment, telemetry, storeTimeoutMs, queueMax = QUEUE_MAX, rules = RULES } = options;
  const {
    onLapse = () => {},
    onGlance = () => {},
    p99Ms = () => null,
    mapping = DEFAULT_CODEC.digest,
    host = null,
  } = options;
  const queue = createFenceQueue(environment, queueMax);
  const complain = createComplaints(environment, telemetry);
  const sight = createSight();
  const polling = createPulse(environment);
  const beating = createPulse(environment);
  const inFlight = new Set<InFlight>();
  const listeners = new Set<(record: ControlRecord, before: ControlRecord | null) => void>();
  const loops: Promise<void>[] = [];

  let state = newInstance(environment.newId());
  let revision = 0;
  let told: LeaseRow | null = null;
  /** Where it may have a row: one in each store that had authority while it was here. */
  const rowsIn = new Set<StoreName>();
  let watched: { readonly id: string; readonly sinceMs: number } | null = null;
  let changedAtMs = Number.NEGATIVE_INFINITY;
  /** As the same, but not for the first epoch that it has followed. */
  let movedAtMs = Number.NEGATIVE_INFINITY;
  let stopping = false;

  const monotonicMs = () => environment.now().monotonicMs;
  const settings = () => settingsOf(state.following.record);
  const timing = () => timingOf(settings());
  const stoppedForMs = () => (watched === null ? 0 : monotonicMs() - watched.sinceMs);

  /** Every new state comes through here: who waits for it is told; `speaks`: so is a coordinator, by the next row. */
  function commit(next: InstanceState, speaks = true): void {
    const before = state;
    const [followed, was] = [next.following.record, before.following.record];
    // Read again, it is another object: who listens for changes would be woken by every poll.
    const isSame = followed !== was && isDeepStrictEqual(followed, was);
    state = isSame ? { ...next, following: { ...next.following, record: was } } : next;
    if (followed !== null && followed !== was && !isSame) noteFollowed(followed, was);
    const gap = next.incarnation > before.incarnation && before.lease !== null;
    if (gap && followed?.epoch === was?.epoch) {
      telemetry.count('cutover_lease_lapses_total', {});
      telemetry.warn({ epoch: followed?.epoch }, 'the lease lapsed: what was in flight is not acknowledged');
      onLapse();
    }
    // Should that one lapse, nobody is on the way from one epoch to the next any more.
    if (state.lease !== null) movedAtMs = Number.NEGATIVE_INFINITY;
    if (queue.length > 0) queue.release(admitNow);
    if (speaks) speakUp();
  }

  function noteFollowed(record: ControlRecord, before: ControlRecord | null): void {
    const { transition, mode, epoch } = record;
    if (transition?.id !== watched?.id) {
      watched = transition === null ? null : { id: transition.id, sinceMs: monotonicMs() };
      polling.wake();
    }
    if (epoch !== before?.epoch) {
      changedAtMs = monotonicMs();
      if (before !== null) movedAtMs = changedAtMs;
    }
    if (mode !== before?.mode || epoch !== before.epoch) {
      if (before !== null) telemetry.count('cutover_flips_total', { from: before.mode, to: mode });
      telemetry.info({ mode, epoch, revision: record.revision, was: before?.mode }, `following ${mode}`);
      beating.wake();
    }
    for (const listener of listeners) listener(record, before);
  }

  /** What the row in the store should say now. */
  function toSay() {
    const flight = [...inFlight];
    revision = settledRevision(state, flight, revision);
    return { ack: acknowledgement(state, flight, rules), revision };
  }

  /** A row that says something else than the last one is written at once: a coordinator waits for it. */
  function speakUp(): void {
    if (
      told === null ||
      (transitionOf(state.following) === null &&
        told.ack === null &&
        told.revision === state.following.record?.revision)
    )
      return;
    const { ack, revision: settled } = toSay();
    const same = ack?.id === told.ack?.id && ack?.phase === told.ack?.phase && settled === told.revision;
    if (!same) beating.wake();
  }

  function admitted(ticket: Ticket): Admitted {
    const flight: InFlight = { ticket, settled: false };
    inFlight.add(flight);
    const settle = (): void => {
      if (inFlight.delete(flight) && told !== null) speakUp();
    };
    return {
      ticket,
      mayContinue: () => mayContinue(ticket, state, environment.now(), rules),
      mayAcknowledge: () => mayAcknowledge(ticket, state, environment.now(), rules),
      settle,
      settleLater: () => void environment.sleep(storeTimeoutMs + SETTLE_MARGIN_MS).then(settle),
    };
  }

  const standing = () => decideAdmission(state, environment.now(), rules, stoppedForMs());

  function admitNow(): Admitted | null {
    if (stopping) return null;
    const admission = standing();
    return admission.kind === 'admit' ? admitted(admission.ticket) : null;
  }

  const ordinaryPatienceMs = () => Math.max(storeTimeoutMs, timing().fenceMaxMs) + 1_000;

  /**
   * How long an operation that has waited since then may wait on, ms. At a fence past what is left of its deadline: should
   * its coordinator have died, the instances then end it, which takes one more answer of a store, and nobody who waits has failed.
   */
  function patienceMs(sinceMs: number): number {
    const ordinary = ordinaryPatienceMs();
    const waitedMs = monotonicMs() - sinceMs;
    if (standing().kind !== 'wait') return ordinary - waitedMs;
    const deadlineMs = transitionOf(state.following)?.deadlineMs ?? 0;
    const leftMs = ordinary + deadlineMs - stoppedForMs();
    return Math.max(ordinary - waitedMs, Math.min(leftMs, WAIT_MAX_MS - waitedMs));
  }

  async function admit(): Promise<Admitted> {
    const now = admitNow();
    if (now !== null) return now;
    const admission = standing();
    if (stopping || (admission.kind === 'refuse' && admission.reason === 'no-record')) {
      telemetry.count('cutover_refused_total', { reason: 'no-record' });
      throw new StoreUnavailable(null, 'none', 'no-record');
    }
    // Without a lease, too: between two epochs, and after a pause, the next heartbeat is only milliseconds away.
    if (admission.kind === 'refuse') beating.wake();
    const since = monotonicMs();
    let hasWaited = true;
    try {
      return await queue.wait('no-lease', () => patienceMs(since));
    } catch (error) {
      if (error instanceof StoreUnavailable) {
        telemetry.count('cutover_refused_total', { reason: error.reason });
        hasWaited = error.reason !== 'queue-full';
      }
      throw error;
    } finally {
      // In vain too: those waits are the longest.
      if (hasWaited) {
        telemetry.observe('cutover_pause_duration_seconds', {}, (monotonicMs() - since) / 1_000);
      }
    }
  }

  function permitWork(): WorkPermit | null {
    const { lease, following, incarnation } = state;
    const { record } = following;
    if (stopping || record === null || lease === null || lease.epoch !== record.epoch) return null;
    const { epoch, revision: followed, mode } = record;
    const ticket: Ticket = { incarnation, epoch, revision: followed, mode, store: lease.store };
    if (!mayContinue(ticket, state, environment.now(), rules)) return null;
    return {
      ticket,
      mayContinue: () => mayContinue(ticket, state, environment.now(), rules),
      beginRepair: () => (mayResolve(ticket, state, environment.now(), rules) ? admitted(ticket) : null),
    };
  }

  /** Throws `OtherSystem`: its modes and epochs mean nothing here. */
  function assertOurs(store: Store, read: ControlRecord): void {
    const { record } = state.following;
    if (record === null || isOneSystem(record, read)) return;
    const error = new OtherSystem(store.name);
    sight.refused(store.name, error);
    throw error;
  }

  function learn(store: Store, record: ControlRecord): void {
    assertOurs(store, record);
    sight.saw(store.name);
    commit(onControlRead(state, store.name, record, rules));
  }

  async function look(store: Store): Promise<ControlRecord | null> {
    const record = await sight.look(store);
    if (record !== null) learn(store, record);
    return record;
  }

  /** Reads what it follows, and what the other store says when that one is silent or knows nothing yet. */
  async function poll(): Promise<void> {
    const { record } = state.following;
    const first = record === null ? null : stores[authorityOf(record.mode)];
    const second = record === null ? null : stores[otherStore(authorityOf(record.mode))];
    const all = [stores.mongo, stores.postgres].filter((store) => store !== null);
    let answered = false;
    if (first !== null) {
      answered = await look(first).then(
        (read) => read !== null,
        (error: unknown) => complain(error, 'the control record cannot be read'),
      );
    }
    if (!answered) {
      const others = first === null ? all : second === null ? [] : [second];
      for (const store of others) {
        await look(store).catch((error: unknown) => complain(error, 'the control record cannot be read'));
      }
    }
    await carryOn();
  }

  /** Finishes a change that was left half-way, or ends an attempt that was left standing. */
  async function carryOn(): Promise<void> {
    const unfinished = unfinishedChange(state.following);
    if (unfinished !== null) {
      const store = stores[unfinished.store];
      if (store === null) return;
      const gained = await changeControl(store, { kind: 'gain', record: unfinished.record });
      if (gained.kind === 'write') {
        telemetry.info({ store: store.name, epoch: gained.record.epoch }, 'finished a change of authority');
      }
      // What it answers is what that store's record says, whoever wrote it.
      learn(store, gained.record);
      return;
    }
    const transition = transitionOf(state.following);
    const { record } = state.following;
    if (transition === null || record === null || !mayAbort(transition, stoppedForMs())) return;
    const store = stores[authorityOf(record.mode)];
    if (store === null) return;
    const decision = await changeControl(store, { kind: 'abort', id: transition.id });
    telemetry.warn(
      { transition: transition.id, decision: decision.kind },
      'ended an attempt past its deadline',
    );
    await look(store);
  }

  async function beat(): Promise<void> {
    const { ack, revision: settled } = toSay();
    const begun = beginHeartbeat(state, ack, settled, environment.now(), timing(), rules);
    if (begun === null) return;
    // Its row is about to say so: were it refused at once, a heartbeat that wakes the next would never rest.
    commit(begun.state, false);
    const { heartbeat } = begun;
    const store = stores[heartbeat.store];
    if (store === null) return;
    const read = await exchange(store, heartbeat);
    if (read !== null) commit(onHeartbeatCommitted(state, heartbeat, read, environment.now(), rules));
  }

  /** Writes the row and reads the record behind it: in this order, or a fence in between would go unseen. */
  async function exchange(store: Store, { row }: Heartbeat): Promise<ControlRecord | null> {
    let read: ControlRecord | null = null;
    rowsIn.add(store.name);
    for (const step of rules.heartbeatSteps) {
      if (step === 'read') {
        read = await readControl(store);
        if (read !== null) assertOurs(store, read);
      } else if (
        await store.books.writeLease(
          fromLease(row, { reaches: sight.reached(), p99Ms: p99Ms(), mapping, host }),
        )
      ) {
        told = row;
      } else {
        return null;
      }
    }
    return read;
  }

  /** While authority is on its way, or has just arrived, milliseconds count. */
  function inHurry(): boolean {
    if (transitionOf(state.following) !== null) return true;
    return state.lease === null && monotonicMs() - changedAtMs < HURRY_MS;
  }

  async function repeat(
    everyMs: () => number,
    pulse: { wait(ms: number): Promise<void> },
    work: () => Promise<void>,
    what: string,
  ) {
    while (!stopping) {
      await work().catch((error: unknown) => complain(error, what));
      if (!stopping) await pulse.wait(everyMs());
    }
  }

  /** The other store may know of a later authority while this one still answers: it was given up as lost, and came back. */
  async function glance(): Promise<void> {
    const { record } = state.following;
    const other = record === null ? null : stores[otherStore(authorityOf(record.mode))];
    if (other === null) return;
    await look(other).then(onGlance, (error: unknown) => {
      if (!isSilence(error)) complain(error, 'the other store does not tell its record');
    });
  }
  const glancePulse = createPulse(environment);

  const tidyRows = createTidying(environment, state.id);
  async function tidy(): Promise<void> {
    const { record } = state.following;
    const store = record === null || state.lease === null ? null : stores[authorityOf(record.mode)];
    if (store !== null) await tidyRows(store, timing());
  }
  const tidyPulse = createPulse(environment);

  return {
    id: state.id,
    state: () => state,
    record: () => state.following.record,
    mode: () => state.following.record?.mode ?? null,
    settings,
    admit,
    admitNow,
    permitWork,
    standing,
    isBetweenEpochs: () => state.lease === null && monotonicMs() - movedAtMs < ordinaryPatienceMs(),
    waiting: () => queue.length,
    problem() {
      const { record } = state.following;
      return record === null ? null : sight.problem(authorityOf(record.mode));
    },
    leaseAgeMs: () => (state.lease === null ? null : monotonicMs() - state.lease.startedAt.monotonicMs),
    onFollow(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    learn,
    async start() {
      await beat().catch((error: unknown) => complain(error, 'a heartbeat failed'));
      const pollMs = () => (inHurry() ? timing().fastPollMs : timing().pollMs);
      const beatMs = () => (inHurry() && state.lease === null ? timing().fastPollMs : timing().heartbeatMs);
      loops.push(
        repeat(pollMs, polling, poll, 'following the control record failed'),
        repeat(beatMs, beating, beat, 'a heartbeat failed'),
        repeat(() => TIDY_EVERY_MS, tidyPulse, tidy, 'tidying the rows failed'),
      );
      // Never waited for, not even at the end: that store may be gone.
      void repeat(() => GLANCE_EVERY_MS, glancePulse, glance, 'the other store cannot be read');
    },
    async stop() {
      stopping = true;
      queue.close();
      for (const pulse of [polling, beating, glancePulse, tidyPulse]) pulse.wake();
      await Promise.all(loops);
      if (inFlight.size > 0) return;
      // A row that stayed would be waited for by the next change of authority, until it counts as silent.
      const { record } = state.following;
      const asked = new Set(sight.reached());
      if (record !== null) asked.add(authorityOf(record.mode));
      const removed = [...rowsIn].map((name) => asked.has(name) && stores[name]?.books.removeLease(state.id));
      await Promise.allSettled(removed);
    },
  };
}
