/**
 * Shadow reads: after a reply, the same read is made of the store that is not the authority, and the two answers are
 * compared. Nothing here is ever waited for by a client: reads are sampled, the queue is bounded and sheds, every read
 * is bounded in time, and a breaker keeps away from a store that fails.
 */
import type { Repository, Store } from '../../db/port.ts';
import type { Books } from '../../db/replica.ts';
import { type Barred, createBarred } from '../barred.ts';
import type { Environment } from '../environment.ts';
import type { Member } from '../instance/member.ts';
import { authorityOf, MODE_FACTS } from '../mode.ts';
import type { Ticket } from '../protocol/admission.ts';
import type { ControlRecord, PerStore } from '../protocol/types.ts';
import type { ReadOperation } from '../router.ts';
import { recheckDelaysOf } from '../settings.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Traffic } from '../traffic.ts';
import { createComparison } from './comparison.ts';
import { createDifferences } from './differences.ts';
import { createDigest } from './digest.ts';
import { createEvidence } from './evidence.ts';
import type { Item } from './item.ts';
import { noOutcomes, type Outcome, type OutcomeCounts } from './outcomes.ts';
import { createRate } from './rate.ts';
import { type AnswerOf, type ArgsOf, ENTITY_OF, isCompared, namesById, partsOf, runRead } from './reads.ts';
import { within } from './within.ts';

export interface ShadowOptions {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly member: Member;
  /** Keys the digests under which differing values are named; the same in every instance. */
  readonly digestKey: Uint8Array;
  /** How long expired tokens and sessions are kept, ms. */
  readonly retentionMs: number;
  /** Bound of each read and write made here, ms. */
  readonly timeoutMs?: number;
  /** In place of the setting `shadow-recheck-ms`. */
  readonly recheckMs?: readonly number[];
  /** The clients whose way it keeps out of. */
  readonly traffic?: Pick<Traffic, 'lull'>;
  /** Shared with whoever else would write to the compared store. */
  readonly barred?: Barred;
}

export interface Shadow {
  /** Takes a read that was answered; synchronous, cheap, never throws. */
  offer<K extends ReadOperation>(operation: K, args: ArgsOf<K>, answer: AnswerOf<K>, ticket: Ticket): void;
  start(): void;
  /** Drops what waits, lets what is under way end, and puts the counts into the books once more. */
  stop(): Promise<void>;
  /** Resolves once everything that was offered has come to its end, re-checks included, and the books know. */
  idle(): Promise<void>;
  stats(): { readonly queued: number; readonly outcomes: OutcomeCounts };
}

/** Comparisons that are made together: what they read of the same kind, they read at once. */
const BATCH_MAX = 50;
const GATHER_MS = 50;
/** Between looks whether a change of authority is over: nothing is compared meanwhile, for it would stand in its way. */
const HOLD_MS = 100;
const TIMEOUT_MS = 2_000;
const FLUSH_MS = 2_000;
/** Between two looks at the notes that others have put. */
const REFRESH_MS = 10_000;

export function createShadow(options: ShadowOptions): Shadow {
  const { stores, environment, telemetry, member } = options;
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const recheckMs = () => options.recheckMs ?? recheckDelaysOf(member.settings());
  const evidence = createEvidence(environment, member.id);
  const differences = createDifferences(environment);
  const rate = createRate(environment);
  const outcomes = noOutcomes();
  const queue: Item[] = [];
  const atRest: (() => void)[] = [];
  let ended: AbortController | null = null;
  let flushing: Promise<void> = Promise.resolve();
  let writing: Promise<void> | null = null;
  let active = 0;
  let delayed = 0;
  let working = false;
  let booksEpoch: number | null = null;
  let refreshedMs = Number.NEGATIVE_INFINITY;

  const comparison = createComparison({
    ...options,
    barred: options.barred ?? createBarred({ telemetry, followed: member.record }),
    digest: createDigest(options.digestKey),
    differences,
    timeoutMs,
    stages: () => recheckMs().length,
    count,
  });

  function count(outcome: Outcome, entity: string, { epoch, mode }: Ticket): void {
    const copy = member.record()?.copy;
    outcomes[outcome] += 1;
    evidence.count(outcome, { epoch, mode, run: copy?.kind === 'complete' ? copy.run : null });
    telemetry.count('cutover_shadow_comparisons_total', { entity, outcome });
  }

  /** On the reply's way nothing is compared, only noted. */
  function wake(gatherMs: number): void {
    if (working || ended === null) return;
    working = true;
    void work(gatherMs, ended.signal);
  }

  async function work(firstMs: number, signal: AbortSignal): Promise<void> {
    for (let gatherMs = firstMs; ; gatherMs = GATHER_MS) {
      if (queue.length < BATCH_MAX) await environment.sleep(gatherMs, signal);
      while (isMoving() && !signal.aborted) await environment.sleep(HOLD_MS, signal);
      const batch = queue.splice(0, BATCH_MAX);
      // At once, or what is offered just now would wake nobody.
      if (batch.length === 0) working = false;
      if (batch.length === 0) return tellRest();
      active = batch.length;
      await compare(batch);
      active = 0;
      tellRest();
    }
  }

  const isMoving = (): boolean => (member.record()?.transition ?? null) !== null;

  async function compare(batch: readonly Item[]): Promise<void> {
    try {
      for (const next of await comparison.run(batch)) void later(next);
    } catch (error) {
      telemetry.error({ err: error }, 'comparisons failed by a defect of their own');
      for (const { counted, entity, ticket } of batch) if (counted) count('error', entity, ticket);
    }
  }

  function tellRest(): void {
    if (active + delayed + queue.length === 0) for (const rest of atRest.splice(0)) rest();
  }

  async function later(item: Item): Promise<void> {
    if (delayed + queue.length >= member.settings()['shadow-queue']) {
      if (item.counted) count('shed', item.entity, item.ticket);
      return;
    }
    delayed += 1;
    await environment.sleep(recheckMs()[item.stage - 1] ?? 0, ended?.signal);
    delayed -= 1;
    if (ended !== null && !ended.signal.aborted) {
      queue.push(item);
      // It has waited; what was put off with it comes back in this moment, too.
      wake(0);
    }
    tellRest();
  }

  async function flush(): Promise<void> {
    const record = member.record();
    const store = record === null ? null : stores[authorityOf(record.mode)];
    if (record === null || store === null) return;
    const { books } = store;
    if (booksEpoch !== record.epoch) {
      if (booksEpoch !== null) differences.reset();
      booksEpoch = record.epoch;
      refreshedMs = Number.NEGATIVE_INFINITY;
    }
    // What took longer than its bound goes on: beside a second one, older totals could land last.
    writing ??= write(books, record).finally(() => {
      writing = null;
    });
    const written = writing;
    try {
      await within(environment, timeoutMs, () => written);
    } catch (error) {
      telemetry.debug({ err: error, store: store.name }, 'counts of comparisons are kept back for now');
    }
  }

  async function write(books: Books, record: ControlRecord): Promise<void> {
    await evidence.flush(books, record.epoch);
    await differences.flush(books);
    const nowMs = environment.now().monotonicMs;
    if (MODE_FACTS[record.mode].compare === null || nowMs - refreshedMs < REFRESH_MS) return;
    await differences.refresh(books);
    await evidence.cleanUp(books, member.settings()['gate-primary-window-ms']);
    refreshedMs = nowMs;
  }

  /** One flush at a time, whoever asks. */
  function flushOnce(): Promise<void> {
    flushing = flushing.then(flush);
    return flushing;
  }

  async function loop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await environment.sleep(FLUSH_MS, signal);
      if (!signal.aborted) await flushOnce();
    }
  }

  function isSampled(): boolean {
    const sample = member.settings()['shadow-sample'];
    return sample >= 1 || environment.random() < sample;
  }

  function take<K extends ReadOperation>(
    operation: K,
    args: ArgsOf<K>,
    answer: AnswerOf<K>,
    ticket: Ticket,
  ): void {
    if (ended === null || ended.signal.aborted) return;
    if (MODE_FACTS[ticket.mode].compare === null || !isCompared(operation)) return;
    if (!isSampled()) return;
    const settings = member.settings();
    const entity = ENTITY_OF[operation];
    if (queue.length + delayed >= settings['shadow-queue'] || !rate.take(settings['shadow-rate'])) {
      count('shed', entity, ticket);
      return;
    }
    const offered = () => partsOf(operation, answer);
    queue.push({
      operation,
      entity,
      ticket,
      stage: 0,
      counted: true,
      offered,
      read: (repository: Repository) =>
        runRead(repository, operation, args).then((other) => partsOf(operation, other)),
      byId: () => namesById(operation, args, offered()),
      names: [],
      earlier: null,
    });
    wake(GATHER_MS);
  }

  return {
    offer(operation, args, answer, ticket) {
      try {
        take(operation, args, answer, ticket);
      } catch (error) {
        telemetry.error({ err: error, operation }, 'an answer could not be taken for comparison');
      }
    },
    start() {
      if (ended !== null) return;
      ended = new AbortController();
      void loop(ended.signal);
    },
    async stop() {
      if (ended === null) return;
      ended.abort();
      for (const { counted, entity, ticket } of queue.splice(0)) if (counted) count('shed', entity, ticket);
      if (active + delayed > 0) await new Promise<void>((resolve) => atRest.push(resolve));
      await flushOnce();
      ended = null;
    },
    async idle() {
      if (active + delayed + queue.length > 0) {
        await new Promise<void>((resolve) => atRest.push(resolve));
      }
      await flushOnce();
    },
    stats: () => ({ queued: queue.length + delayed, outcomes: { ...outcomes } }),
  };
}
