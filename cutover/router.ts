/**
 * The port over whichever store has authority: the one place where the mode decides what happens. An operation is
 * admitted, carried out by one store under its ticket, and answered only if the ticket still holds.
 */
import { EmailTaken, IdTaken, StaleWrite, type StoreName, StoreUnavailable } from '../db/errors.ts';
import type { LimitStore, PurgeCounts, Repository, Store, WriteContext } from '../db/port.ts';
import type { Environment } from './environment.ts';
import type { Admitted, Member } from './instance/member.ts';
import type { LateWrites, WriteOperation } from './late-writes.ts';
import { authorityOf, MODE_FACTS, mirrorOf } from './mode.ts';
import type { Ticket } from './protocol/admission.ts';
import type { PerStore } from './protocol/types.ts';
import type { Telemetry } from './telemetry.ts';
import type { Traffic } from './traffic.ts';

export type Operation = keyof Repository;

/** Operations that leave no trace. Only these are compared, and only these may be answered by another store. */
export const READS = [
  'findUser',
  'findUserByEmail',
  'findVerificationToken',
  'findResetToken',
  'findSession',
  'listSessions',
  'listDueMail',
] as const satisfies readonly Operation[];
export type ReadOperation = (typeof READS)[number];

const WRITES = [
  'createAccount',
  'upgradeHash',
  'changePassword',
  'eraseUser',
  'endSessions',
  'addVerificationToken',
  'verifyEmail',
  'requestReset',
  'consumeReset',
  'openSession',
  'rotateSession',
  'revokeSession',
  'moveMailDue',
] as const satisfies readonly WriteOperation[];

type Answer<K extends Operation> = Awaited<ReturnType<Repository[K]>>;

export interface RouterOptions {
  readonly stores: PerStore<Store | null>;
  readonly member: Member;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly traffic: Pick<Traffic, 'begin' | 'end'>;
  /** Told of each marked record after its write has committed. */
  readonly onMarked: NonNullable<WriteContext['onWrite']>;
  /** Told of each write whose outcome is unknown, in modes without a mirror. */
  readonly onUntold: LateWrites['note'];
  /** Told of each read after its answer, in modes that compare. */
  readonly onRead: <K extends ReadOperation>(
    operation: K,
    args: Parameters<Repository[K]>,
    answer: Answer<K>,
    ticket: Ticket,
  ) => void;
  /** Whether nothing may be written to this mirror. */
  readonly isFenced: (mirror: Store) => Promise<boolean>;
  /** Told of each operation's time in the store that answers, ms. */
  readonly onOperation: (ms: number) => void;
  /** Where else a read that its store failed may be answered; null: nowhere. */
  readonly tryElsewhere: <K extends ReadOperation>(
    operation: K,
    args: Parameters<Repository[K]>,
    ticket: Ticket,
    error: StoreUnavailable,
  ) => Promise<{ readonly answer: Answer<K> } | null>;
}

export interface Router {
  readonly repository: Repository;
  readonly limits: LimitStore;
}

export function createRouter(options: RouterOptions): Router {
  const { stores, member, environment, telemetry, traffic } = options;
  const { onMarked, onUntold, onRead, tryElsewhere, onOperation, isFenced } = options;
  let cached: { readonly ticket: Ticket; readonly repository: Repository } | null = null;

  function storeOf(name: StoreName): Store {
    const store = stores[name];
    if (store === null) throw new StoreUnavailable(name, 'none', 'connect');
    return store;
  }

  /** Operations admitted under the same authority, revision and incarnation share one repository. */
  function repositoryFor({ ticket, mayContinue }: Admitted): Repository {
    const known = cached?.ticket;
    if (
      cached !== null &&
      known?.revision === ticket.revision &&
      known.epoch === ticket.epoch &&
      known.incarnation === ticket.incarnation
    ) {
      return cached.repository;
    }
    const pending = mirrorOf(ticket.mode) !== null;
    const repository = storeOf(ticket.store).at({
      epoch: ticket.epoch,
      pending,
      mayContinue,
      ...(pending ? { onWrite: onMarked } : {}),
    });
    cached = { ticket, repository };
    return repository;
  }

  function acknowledge({ mayAcknowledge, ticket }: Admitted): void {
    if (mayAcknowledge()) return;
    refused('lease-lost');
    throw new StoreUnavailable(ticket.store, 'unknown', 'lease-lost');
  }

  const refused = (reason: string): void => telemetry.count('cutover_refused_total', { reason });

  /**
   * Carries one admitted operation out, counts it, and lets nothing out that the ticket does not cover. `elsewhere` is for
   * reads: what to do once the store has failed it, which is timed apart.
   */
  async function carryOut<T>(
    operation: Operation,
    admitted: Admitted,
    act: () => Promise<T>,
    elsewhere: ((error: StoreUnavailable) => Promise<T>) | null = null,
  ): Promise<T> {
    const { store, mode } = admitted.ticket;
    const startedMs = environment.now().monotonicMs;
    let outcome: Outcome = 'ok';
    const count = (): void => {
      const ms = environment.now().monotonicMs - startedMs;
      onOperation(ms);
      const labels = { operation, store, mode, outcome };
      telemetry.observe('cutover_operation_duration_seconds', labels, ms / 1_000);
    };
    traffic.begin();
    try {
      const answer = await act();
      count();
      return answer;
    } catch (thrown) {
      const error = elsewhere !== null && thrown instanceof StoreUnavailable ? asRead(thrown) : thrown;
      outcome = outcomeOf(error);
      count();
      if (error instanceof StaleWrite) refused('stale');
      if (error instanceof StoreUnavailable && error.reason === 'lease-lost') refused(error.reason);
      if (elsewhere === null || !(error instanceof StoreUnavailable)) throw error;
      const answer = await elsewhere(error);
      outcome = 'ok';
      return answer;
    } finally {
      traffic.end();
      if (outcome === 'unknown') admitted.settleLater();
      else admitted.settle();
      // Words such as `EmailTaken` are answers like any other: true only under the authority that gave them.
      if (outcome === 'ok' || outcome === 'refused') acknowledge(admitted);
    }
  }

  async function write<K extends WriteOperation>(
    operation: K,
    args: Parameters<Repository[K]>,
  ): Promise<Answer<K>> {
    const admitted = member.admitNow() ?? (await member.admit());
    try {
      return await carryOut(operation, admitted, () => call(repositoryFor(admitted), operation, args));
    } catch (error) {
      const isOpen = error instanceof StoreUnavailable && error.outcome === 'unknown';
      if (isOpen && mirrorOf(admitted.ticket.mode) === null) onUntold(operation, args);
      throw error;
    }
  }

  async function read<K extends ReadOperation>(
    operation: K,
    args: Parameters<Repository[K]>,
  ): Promise<Answer<K>> {
    const admitted = member.admitNow() ?? (await member.admit());
    const { ticket } = admitted;
    let isOwn = true;
    const act = () => call(repositoryFor(admitted), operation, args);
    const answer = await carryOut(operation, admitted, act, async (error) => {
      const found = await tryElsewhere(operation, args, ticket, error);
      if (found === null) throw error;
      isOwn = false;
      return found.answer;
    });
    if (isOwn && MODE_FACTS[ticket.mode].compare !== null) onRead(operation, args, answer, ticket);
    return answer;
  }

  /** Retention deletes by the same predicate in both stores; what the mirror misses, a later run deletes. */
  async function purge(query: Parameters<Repository['purge']>[0]): Promise<PurgeCounts> {
    const admitted = member.admitNow() ?? (await member.admit());
    const counts = await carryOut('purge', admitted, () => repositoryFor(admitted).purge(query));
    const mode = member.mode();
    const mirror = mode === null ? null : mirrorOf(mode);
    const other = mirror === null ? null : stores[mirror];
    if (other !== null) void purgeMirror(other, query);
    return counts;
  }

  async function purgeMirror(mirror: Store, query: Parameters<Repository['purge']>[0]): Promise<void> {
    try {
      if (!(await isFenced(mirror))) await mirror.replica.purge(query);
    } catch (error) {
      telemetry.warn({ err: error, store: mirror.name }, 'retention could not reach the mirror');
    }
  }

  const reading = <K extends ReadOperation>(operation: K) =>
    [operation, (...args: Parameters<Repository[K]>) => read(operation, args)] as const;
  const writing = <K extends WriteOperation>(operation: K) =>
    [operation, (...args: Parameters<Repository[K]>) => write(operation, args)] as const;

  const repository = {
    ...Object.fromEntries(READS.map(reading)),
    ...Object.fromEntries(WRITES.map(writing)),
    purge,
  } as Repository;

  /** Limits are the authority's, without a fence: a counter that is lost at a flip only lets an attempt through. */
  function limits(): LimitStore {
    const mode = member.mode();
    if (mode === null) throw new StoreUnavailable(null, 'none', 'no-record');
    return storeOf(authorityOf(mode)).limits;
  }

  return {
    repository,
    limits: {
      hit: async (hits, now) => limits().hit(hits, now),
      peek: async (hits, now) => limits().peek(hits, now),
      clear: async (keys) => limits().clear(keys),
      refund: async (keys) => limits().refund(keys),
      purge: async (untouchedSince) => limits().purge(untouchedSince),
    },
  };
}

type Outcome = 'ok' | 'refused' | 'unavailable' | 'unknown' | 'failed';

function outcomeOf(error: unknown): Outcome {
  if (error instanceof StoreUnavailable) return error.outcome === 'unknown' ? 'unknown' : 'unavailable';
  if (error instanceof StaleWrite) return 'unavailable';
  return error instanceof EmailTaken || error instanceof IdTaken ? 'refused' : 'failed';
}

/** A read leaves no trace, whatever became of it. */
function asRead(error: StoreUnavailable): StoreUnavailable {
  if (error.outcome === 'none') return error;
  return new StoreUnavailable(error.store, 'none', error.reason, { cause: error });
}

function call<K extends Operation>(
  repository: Repository,
  operation: K,
  args: Parameters<Repository[K]>,
): Promise<Answer<K>> {
  const act = repository[operation] as (...given: Parameters<Repository[K]>) => Promise<Answer<K>>;
  return act(...args);
}
