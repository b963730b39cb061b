/**
 * Reads that PostgreSQL failed while it is the authority, answered by MongoDB where that cannot undo anything.
 *
 * Why no revocation is missed that was acknowledged before the read began: it was committed in PostgreSQL, with its mark
 * in the same statement, provided that its writer had the mirror on. After the failure, so after the read began,
 * PostgreSQL is asked for its control record and for its marks. The record, unmoved and with a complete copy, says that
 * nobody wrote without a mirror: turning it off makes the copy stale, and only a copy of everything makes it complete
 * again. No marks, and nothing poisoned, in conflict or quarantined, says that each of those writes has lost its mark,
 * which happens only once MongoDB holds that very state. MongoDB is read after both answers. Asked before the failure, or
 * after MongoDB's answer, PostgreSQL would speak of another moment. And MongoDB answers nothing that PostgreSQL did not
 * commit: it names this very system and epoch, and holds no mark, which is what a write of an epoch that is over would have left;
 * asked again after its answer, since such a write may land at any time. What an operator has left behind is the exception:
 * only MongoDB has it, so its answer is looked through for that, on the same connection of PostgreSQL's. Whether this instance's lease still holds is
 * asked by the router, last.
 */
import type { StoreUnavailable } from '../db/errors.ts';
import type { Assurance, Store } from '../db/port.ts';
import { readControl } from './control.ts';
import type { Environment } from './environment.ts';
import type { Member } from './instance/member.ts';
import { leftBehindAmong } from './left-behind.ts';
import { MODE_FACTS } from './mode.ts';
import { NOTES } from './notes.ts';
import type { Ticket } from './protocol/admission.ts';
import { isOneSystem } from './protocol/changes.ts';
import type { ControlRecord, PerStore } from './protocol/types.ts';
import type { ReadOperation } from './router.ts';
import { createFallbackEvidence } from './shadow/fallback-evidence.ts';
import { createRate } from './shadow/rate.ts';
import { type AnswerOf, type ArgsOf, isCompared, partsOf, runRead } from './shadow/reads.ts';
import { within } from './shadow/within.ts';
import type { Telemetry } from './telemetry.ts';

export interface FallbackOptions {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly member: Member;
  /** Bound of the questions to both stores, ms. */
  readonly assuranceMs?: number;
  /** Bound of MongoDB's answer, ms. */
  readonly timeoutMs?: number;
}

export interface Fallback {
  /** The answer of MongoDB; null when it may not stand in: the client then gets 503. Never throws. */
  tryRead<K extends ReadOperation>(
    operation: K,
    args: ArgsOf<K>,
    ticket: Ticket,
    error: StoreUnavailable,
  ): Promise<{ readonly answer: AnswerOf<K> } | null>;
  /** Resolves once the books know of every fallback, or are given up on. */
  idle(): Promise<void>;
  /** Gives up on what the books do not know yet. */
  stop(): void;
}

/** How a store fails to answer; the other reasons are this instance's own. */
const FAILURES: readonly StoreUnavailable['reason'][] = [
  'timeout',
  // A lock that was not had in time.
  'contention',
  'connect',
  'connection-lost',
  'overloaded',
  'disk-full',
];
/** Records that are known not to be in MongoDB as PostgreSQL has them. */
const BLOCKING_NOTES = [NOTES.poison, NOTES.conflict, NOTES.quarantine] as const;
const ASSURANCE_MS = 250;
const TIMEOUT_MS = 2_000;
const LINES_PER_S = 1;

type Outcome = 'answered' | 'refused' | 'failed';

export function createFallback(options: FallbackOptions): Fallback {
  const { stores, environment, telemetry, member } = options;
  const { assuranceMs = ASSURANCE_MS, timeoutMs = TIMEOUT_MS } = options;
  const evidence = createFallbackEvidence({ stores, environment, member });
  const lines = createRate(environment);
  const ask = <T>(question: () => Promise<T>) => within(environment, assuranceMs, question);

  /** Null: MongoDB may stand in; otherwise why not. Asked after the failure. */
  async function obstacle(postgres: Store, mongo: Store, ticket: Ticket): Promise<string | null> {
    const [control, own, inMongo] = await Promise.all([
      ask(() => readControl(postgres)),
      ask(() => postgres.assurance()),
      obstacleInMongo(mongo, ticket),
    ]);
    return obstacleInControl(control, ticket) ?? obstacleInPostgres(own) ?? inMongo;
  }

  async function obstacleInMongo(mongo: Store, { epoch }: Ticket): Promise<string | null> {
    const [control, { marks }] = await Promise.all([
      ask(() => readControl(mongo)),
      ask(() => mongo.assurance()),
    ]);
    const own = member.record();
    // None, or an earlier one: it was emptied, or put back as it was once.
    if (control === null || control.epoch !== epoch) return 'another-authority';
    if (own === null || !isOneSystem(control, own)) return 'another-system';
    return marks > 0 ? 'orphans' : null;
  }

  function tell(
    operation: ReadOperation,
    outcome: Outcome,
    error: StoreUnavailable,
    why: string | null,
  ): void {
    telemetry.count('cutover_fallbacks_total', { operation, store: 'postgres', outcome });
    evidence.note(outcome);
    if (!lines.take(LINES_PER_S)) return;
    telemetry.warn(
      { operation, store: 'postgres', reason: error.reason, outcome, ...(why === null ? {} : { why }) },
      outcome === 'answered' ? 'PostgreSQL failed a read; MongoDB answered it' : 'PostgreSQL failed a read',
    );
  }

  /** MongoDB's answer, bounded, and by the clock. */
  async function timed<T>(operation: ReadOperation, { mode }: Ticket, read: () => Promise<T>): Promise<T> {
    const startedMs = environment.now().monotonicMs;
    let outcome = 'unavailable';
    try {
      const answer = await within(environment, timeoutMs, read);
      outcome = 'ok';
      return answer;
    } finally {
      const seconds = (environment.now().monotonicMs - startedMs) / 1_000;
      const labels = { operation, store: 'mongo', mode, outcome };
      telemetry.observe('cutover_operation_duration_seconds', labels, seconds);
    }
  }

  return {
    async tryRead(operation, args, ticket, error) {
      const { authority, mirror } = MODE_FACTS[ticket.mode];
      if (authority !== 'postgres' || mirror !== 'mongo' || !isCompared(operation)) return null;
      if (error.store !== 'postgres' || !FAILURES.includes(error.reason)) return null;
      const { postgres, mongo } = stores;
      let outcome: Outcome = 'refused';
      let why: string | null = 'not-asked';
      try {
        if (postgres === null || mongo === null || !isCopied(member.record(), ticket)) return null;
        why = 'no-assurance';
        why = await obstacle(postgres, mongo, ticket);
        if (why !== null) return null;
        outcome = 'failed';
        const repository = mongo.at({ epoch: ticket.epoch, pending: false });
        const answer = await timed(operation, ticket, () => runRead(repository, operation, args));
        const [inMongo, behind] = await Promise.all([
          obstacleInMongo(mongo, ticket),
          ask(() => leftBehindAmong(postgres, partsOf(operation, answer).records)),
        ]);
        why = inMongo ?? (behind.size > 0 ? 'left-behind' : null);
        if (why !== null) {
          outcome = 'refused';
          return null;
        }
        outcome = 'answered';
        return { answer };
      } catch (failure) {
        telemetry.debug({ err: failure, operation }, 'a read could not fall back');
        return null;
      } finally {
        tell(operation, outcome, error, why);
      }
    },
    idle: evidence.idle,
    stop: evidence.stop,
  };
}

function isCopied(record: ControlRecord | null, ticket: Ticket): boolean {
  return record !== null && record.epoch === ticket.epoch && record.copy.kind === 'complete';
}

/** The mirror was on for everybody who wrote before the read began, or what they wrote was copied since. */
function obstacleInControl(control: ControlRecord | null, ticket: Ticket): string | null {
  if (control === null || control.epoch !== ticket.epoch) return 'another-authority';
  if (MODE_FACTS[control.mode].mirror !== 'mongo' || control.copy.kind !== 'complete') return 'no-copy';
  return null;
}

function obstacleInPostgres({ marks, notes }: Assurance): string | null {
  if (marks > 0) return 'pending';
  return BLOCKING_NOTES.find((kind) => (notes[kind] ?? 0) > 0) ?? null;
}
