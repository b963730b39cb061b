/**
 * The rules that carry the proof, each a line or two so that the search can take exactly one out and show what then
 * goes wrong. Nothing but the search ever passes other rules than these; every decision takes them as its last,
 * defaulted argument.
 */
import { compareStamps, type Stamp } from '../../db/records.ts';
import { type CopyState, isSameUnlessVerified } from '../mode.ts';
import type { ControlRecord, Instant, Judged, Transition } from './types.ts';

export interface Rules {
  /** A move, an announcement or a failover is made over the very record whose gates were judged, or not at all. */
  readonly isJudged: (record: ControlRecord, judged: Judged) => boolean;
  /** What is said of a copy counts only while nothing has happened to it since it was looked at. */
  readonly isExpected: (copy: CopyState, expected: CopyState) => boolean;
  /** A heartbeat first commits, then reads the control record: read first, and a fence in between goes unseen. */
  readonly heartbeatSteps: readonly ['commit', 'read'] | readonly ['read', 'commit'];
  /** A lease counts from before its heartbeat was sent: counted from the reply, a slow reply would stretch it. */
  readonly leaseStartsAt: (sentAt: Instant, renewedAt: Instant) => Instant;
  /** Whichever clock says more: either may have stood still. */
  readonly elapsedMs: (from: Instant, to: Instant) => number;
  /** A lapsed lease is never revived: what was admitted before the gap is not acknowledged after it. */
  readonly heldWithoutGap: (admittedUnder: number, current: number) => boolean;
  /** Nothing is acknowledged on the word of a store alone: its answer may have crossed the fence. */
  readonly checksAfterAnswer: boolean;
  /** Before each write of an operation too: the second must not build on a first that nobody counts. */
  readonly checksBetweenWrites: boolean;
  /** Behind a fence nothing is admitted. */
  readonly fenceStops: (transition: Transition) => boolean;
  /** No clock ends a stop: only a flip or an abort that was read. */
  readonly stopRunsOut: (transition: Transition, seenForMs: number) => boolean;
  /** A stop is acknowledged only when nothing admitted can still be told to a client. */
  readonly stopsWithNothingInFlight: boolean;
  /** An acknowledgement, an abort or a write of one attempt never counts for another. */
  readonly sameTransition: (wanted: string, found: string) => boolean;
  /** Only a drained pair may change authority. */
  readonly marksBlock: boolean;
  /** Nor may it while a mark in the mirror says that a write nobody was told of is waiting there to surface. */
  readonly orphansBlock: boolean;
  readonly resolvesOrphans: boolean;
  /** Orphans and clashes are left alone behind a fence: who has acknowledged it no longer knows whose marks these are. */
  readonly resolvingStops: boolean;
  /** Recorded first where authority is lost: at no time do both records claim it. */
  readonly loserFirst: boolean;
  /** Once the loser has given it up, nothing gives it back. */
  readonly abortable: (record: ControlRecord, id: string) => boolean;
  /** Of two records the one with the higher epoch counts, and none lower than already seen. */
  readonly isLower: (
    read: Pick<ControlRecord, 'epoch' | 'revision'>,
    seen: Pick<ControlRecord, 'epoch' | 'revision'>,
  ) => boolean;
  /** A write under an old epoch never goes over one under a newer. */
  readonly isStale: (storedEpoch: number, writerEpoch: number) => boolean;
  /** An apply under an old epoch never reaches a store that has seen a newer. */
  readonly applyIsStale: (targetEpoch: number, actingEpoch: number) => boolean;
  /** An older state never goes over a newer one, however late its retry. */
  readonly isNewer: (incoming: Stamp, stored: Stamp) => boolean;
  /** A mark goes only with the very state that was mirrored: a write in between keeps it. */
  readonly clearsMark: (stored: Stamp, mirrored: Stamp) => boolean;
  /** A clash over a unique key asks the authority who is right; without, the batch fails as one statement does. */
  readonly resolvesClashes: boolean;
}

export const RULES: Rules = {
  isJudged: ({ epoch, revision }, judged) => epoch === judged.epoch && revision === judged.revision,
  isExpected: isSameUnlessVerified,
  heartbeatSteps: ['commit', 'read'],
  leaseStartsAt: (sentAt) => sentAt,
  elapsedMs: (from, to) => Math.max(to.monotonicMs - from.monotonicMs, to.wallMs - from.wallMs),
  heldWithoutGap: (admittedUnder, current) => admittedUnder === current,
  checksAfterAnswer: true,
  checksBetweenWrites: true,
  fenceStops: (transition) => transition.phase === 'fenced',
  stopRunsOut: () => false,
  stopsWithNothingInFlight: true,
  sameTransition: (wanted, found) => wanted === found,
  marksBlock: true,
  orphansBlock: true,
  resolvesOrphans: true,
  resolvingStops: true,
  loserFirst: true,
  abortable: (record, id) => record.transition?.id === id,
  isLower: (read, seen) =>
    read.epoch < seen.epoch || (read.epoch === seen.epoch && read.revision < seen.revision),
  isStale: (storedEpoch, writerEpoch) => storedEpoch > writerEpoch,
  applyIsStale: (targetEpoch, actingEpoch) => targetEpoch > actingEpoch,
  isNewer: (incoming, stored) => compareStamps(incoming, stored) > 0,
  clearsMark: (stored, mirrored) => compareStamps(stored, mirrored) === 0,
  resolvesClashes: true,
};
