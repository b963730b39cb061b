/**
 * Watches for writes that no instance made (the old service, a script, a shell), in whichever instance holds the claim.
 * Claim and place are one entry in MongoDB's books: whoever takes the claim goes on from there, so nothing is missed
 * between two holders, and what a holder had not written down is told twice rather than never. Where the server cannot go
 * on from that place, the entry says since when nothing was seen, and a gate asks for a verify.
 */
import {
  type ChangeCursor,
  type ChangeFeed,
  FeedEnded,
  type ForeignChange,
  type WatchEntry,
} from '../../db/changes.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Environment } from '../environment.ts';
import type { Member } from '../instance/member.ts';
import { mirrorOf } from '../mode.ts';
import type { ControlRecord, PerStore } from '../protocol/types.ts';
import type { Telemetry } from '../telemetry.ts';
import { judgeChanges } from './judge.ts';
import { noteForeign } from './note.ts';
import {
  freshWatch,
  lostSight,
  parseWatch,
  sightRegained,
  toWatchBody,
  type WatchState,
} from './watch-state.ts';

export interface WatcherOptions {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly member: Pick<Member, 'id' | 'record'>;
  readonly retentionMs: number;
}

export interface Watcher {
  /** Does nothing where there is no feed. */
  start(): void;
  /** Gives the claim back, so that another takes it up at once. */
  stop(): Promise<void>;
  /** Whether it is this instance that watches. */
  isWatching(): boolean;
}

/** The place is written down this often while nothing happens; it is the sign of life too. */
const BEAT_MS = 5_000;
/** A claim whose beat has stood still for so long is anybody's. */
const ABANDONED_MS = 20_000;
/** Between two looks at whether there is something to watch, or a claim to take. */
const LOOK_MS = 2_000;
/** Between two attempts after a store has failed. */
const RETRY_MS = 1_000;
/** Before a server that has no feed is asked again: it may have become a replica set. */
const UNSUPPORTED_MS = 60_000;
const IMPATIENT_MS = 100;
/** How often the place is sought in vain: a server reads all that was written after it, and what is too much only grows. */
const SEEK_TRIES = 5;
const WIPED = 'a collection was dropped or renamed';

export function createWatcher({
  stores,
  environment,
  telemetry,
  member,
  retentionMs,
}: WatcherOptions): Watcher {
  const ended = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let cursor: ChangeCursor | null = null;
  let watching = false;
  let seen: { readonly beat: number; readonly sinceMs: number } | null = null;
  let complained = false;
  /** First answers that did not come in time. */
  let sought = 0;
  /** The revision without a mirror for which the place was given up, or that was tried. */
  let forgottenAt: number | null = null;

  const nowMs = (): number => environment.date().getTime();

  /** The entry as ours, or null when another holds it. */
  async function claim(feed: ChangeFeed): Promise<WatchEntry | null> {
    const entry = await feed.readWatch();
    const monotonicMs = environment.now().monotonicMs;
    if (entry?.beat !== seen?.beat) seen = entry && { beat: entry.beat, sinceMs: monotonicMs };
    const isFree = entry === null || entry.owner === null || entry.owner === member.id;
    if (!isFree && seen !== null && monotonicMs - seen.sinceMs < ABANDONED_MS) return null;
    const known = parseWatch(entry);
    const state =
      known ?? (entry === null ? freshWatch(nowMs()) : lostSight(freshWatch(nowMs()), nowMs(), 'unreadable'));
    const mine = { owner: member.id, beat: (entry?.beat ?? 0) + 1, body: toWatchBody(state) };
    return (await feed.replaceWatch(entry?.beat ?? null, mine)) ? mine : null;
  }

  /** Writes the state down; null when another has taken the claim. */
  async function keep(feed: ChangeFeed, entry: WatchEntry, state: WatchState): Promise<WatchEntry | null> {
    const next = { owner: member.id, beat: entry.beat + 1, body: toWatchBody(state) };
    return (await feed.replaceWatch(entry.beat, next)) ? next : null;
  }

  /** Nothing is marked without a mirror, so anybody may write then: the next mirror begins to watch anew. */
  async function forget(feed: ChangeFeed, { revision }: ControlRecord): Promise<void> {
    // Once only: in the last mode MongoDB may be gone for good.
    if (forgottenAt === revision) return;
    forgottenAt = revision;
    const entry = await feed.readWatch();
    if (entry === null || parseWatch(entry)?.token === null) return;
    await feed.replaceWatch(entry.beat, {
      owner: null,
      beat: entry.beat + 1,
      body: toWatchBody(freshWatch(nowMs())),
    });
  }

  /** The record, while there is a mirror. */
  function mirroring(): ControlRecord | null {
    const record = member.record();
    return record === null || mirrorOf(record.mode) === null ? null : record;
  }

  /** Until the claim is lost, the mirror goes off, or a store fails. */
  async function watch(feed: ChangeFeed, claimed: WatchEntry): Promise<void> {
    let entry: WatchEntry | null = claimed;
    let state = parseWatch(claimed) ?? freshWatch(nowMs());
    let keptMs = environment.now().monotonicMs;
    while (entry !== null && !ended.signal.aborted) {
      if (mirroring() === null) return;
      try {
        cursor ??= await feed.open(state.token);
        const askedMs = nowMs();
        const askedAtMs = environment.now().monotonicMs;
        const batch = await cursor.next();
        watching = true;
        complained = false;
        sought = 0;
        // As of after the wait: what was read is judged by the record that it may have come after.
        const record = mirroring();
        if (record === null) return;
        await tell(record, batch.changes);
        const passed = {
          ...state,
          token: batch.token ?? state.token,
          unsupported: null,
          // A batch that is not the last says nothing of the time after it.
          seenMs: batch.drained ? Math.max(askedMs, state.seenMs) : state.seenMs,
        };
        const isFirst = state.token === null;
        state = isFirst ? sightRegained(passed, nowMs()) : passed;
        if (batch.wiped) {
          state = { ...lostSight(state, nowMs(), WIPED), token: state.token };
          // What comes after may be told by a new stream only.
          await closeCursor();
        }
        const tookMs = environment.now().monotonicMs - askedAtMs;
        const isDue = isFirst || batch.wiped || batch.changes.length > 0;
        if (isDue || environment.now().monotonicMs - keptMs >= BEAT_MS) {
          entry = await keep(feed, entry, state);
          keptMs = environment.now().monotonicMs;
        }
        // A server that does not wait for changes is not to be asked without a pause.
        if (batch.drained && tookMs < IMPATIENT_MS) await environment.sleep(IMPATIENT_MS, ended.signal);
      } catch (thrown) {
        const error = asLost(thrown, state);
        if (!(error instanceof FeedEnded)) throw error;
        await closeCursor();
        state = troubled(state, error);
        const kept: WatchEntry | null = entry === null ? null : await keep(feed, entry, state);
        entry = kept;
        keptMs = environment.now().monotonicMs;
        if (error.problem === 'unsupported') {
          await environment.sleep(UNSUPPORTED_MS, ended.signal);
          return;
        }
      }
    }
  }

  /** A place that the server never finds in time is lost; else nobody would see anything until it is too old. */
  function asLost(error: unknown, { token }: WatchState): unknown {
    const isTooSlow = error instanceof StoreUnavailable && error.reason === 'timeout';
    if (!isTooSlow || token === null || watching) return error;
    sought += 1;
    if (sought < SEEK_TRIES) return error;
    sought = 0;
    const message = 'the server does not find the place to go on from in time';
    return new FeedEnded('lost', message, { cause: error });
  }

  /** Names and counts what is foreign of it. */
  async function tell(record: ControlRecord, changes: readonly ForeignChange[]): Promise<void> {
    const { mongo, postgres } = stores;
    if (changes.length === 0 || mongo === null || postgres === null) return;
    const now = environment.date();
    const foreign = await judgeChanges(changes, { stores: { mongo, postgres }, record, now, retentionMs });
    await noteForeign(foreign, { stores: { mongo, postgres }, record, now, telemetry });
  }

  function troubled(state: WatchState, { problem, message }: FeedEnded): WatchState {
    if (problem === 'unsupported') {
      if (state.unsupported === null) {
        telemetry.warn(
          { store: 'mongo', reason: message },
          'foreign writes: not watched, only verify finds them',
        );
      }
      return { ...state, unsupported: message };
    }
    const lost = lostSight(state, nowMs(), message);
    telemetry.error(
      { store: 'mongo', reason: message, sinceMs: lost.gap?.fromMs },
      'foreign writes: not watched for a time, run a verify',
    );
    return lost;
  }

  async function closeCursor(): Promise<void> {
    const open = cursor;
    cursor = null;
    watching = false;
    await open?.close().catch(() => {});
  }

  async function run(feed: ChangeFeed): Promise<void> {
    while (!ended.signal.aborted) {
      let pauseMs = LOOK_MS;
      try {
        const record = member.record();
        if (record !== null && mirrorOf(record.mode) === null) await forget(feed, record);
        else if (record !== null) {
          const entry = await claim(feed);
          if (entry !== null) await watch(feed, entry);
        }
      } catch (error) {
        pauseMs = RETRY_MS;
        if (!ended.signal.aborted) complain(error);
      } finally {
        await closeCursor();
      }
      await environment.sleep(pauseMs, ended.signal);
    }
  }

  function complain(error: unknown): void {
    // A store that is away is told by whoever needs it.
    if (error instanceof StoreUnavailable || complained)
      telemetry.debug({ err: error }, 'foreign writes: tried again');
    else telemetry.error({ err: error }, 'foreign writes: the watch failed, tried again');
    complained = true;
  }

  async function giveBack(feed: ChangeFeed): Promise<void> {
    const entry = await feed.readWatch();
    if (entry?.owner !== member.id) return;
    await feed.replaceWatch(entry.beat, { ...entry, owner: null, beat: entry.beat + 1 });
  }

  return {
    start() {
      const feed = stores.mongo?.changes ?? null;
      if (feed !== null && stores.postgres !== null) running = run(feed);
    },
    async stop() {
      const feed = stores.mongo?.changes ?? null;
      const held = watching;
      ended.abort();
      await closeCursor();
      await running;
      if (feed !== null && held) await giveBack(feed).catch(() => {});
    },
    isWatching: () => watching,
  };
}
