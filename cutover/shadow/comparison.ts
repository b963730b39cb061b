/**
 * One comparison, from an answer to its outcome. A difference is looked at again and again before it counts, for the
 * mirror follows a moment after the authority; what no race explains counts at once.
 */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Repository, Store } from '../../db/port.ts';
import type { Entity } from '../../db/records.ts';
import { createBreaker } from '../breaker.ts';
import type { Environment } from '../environment.ts';
import type { Member } from '../instance/member.ts';
import { MODE_FACTS, otherStore } from '../mode.ts';
import type { Ticket } from '../protocol/admission.ts';
import type { PerStore } from '../protocol/types.ts';
import type { ReadOperation } from '../router.ts';
import { allowListOf } from '../settings.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Differences } from './differences.ts';
import type { Digest } from './digest.ts';
import { type Finding, look, type RecordName, type Sides } from './look.ts';
import type { Outcome } from './outcomes.ts';
import { createRate } from './rate.ts';
import type { Parts } from './reads.ts';
import { repair } from './repair.ts';
import { createReport } from './report.ts';
import { fingerprint, holdsExpired, isHeld, isKnown, isSameAnswer } from './verdict.ts';
import { TooSlow, within } from './within.ts';

/** A comparison on its way. */
export interface Item {
  readonly operation: ReadOperation;
  readonly entity: Entity;
  readonly ticket: Ticket;
  /** How often it was put off. */
  readonly stage: number;
  /** False: it only follows a repair up, and counts for nothing. */
  readonly counted: boolean;
  readonly offered: () => Parts;
  readonly read: (repository: Repository) => Promise<Parts>;
  /** The records it has come across. */
  readonly names: readonly RecordName[];
  /** What the first look found; null before it. */
  readonly earlier: Earlier | null;
}

interface Earlier {
  /** When each record that differed had been marked, ms, by `entity/id`. */
  readonly marks: ReadonlyMap<string, number | null>;
  /** Which answers the last look saw when no record differed. */
  readonly answers: string | null;
}

export interface ComparisonOptions {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly member: Member;
  readonly retentionMs: number;
  readonly timeoutMs: number;
  /** How often a difference is put off. */
  readonly stages: number;
  readonly digest: Digest;
  readonly differences: Differences;
  readonly count: (outcome: Outcome, entity: Entity, ticket: Ticket) => void;
}

export interface Comparison {
  /** Goes one step; gives back what is to go on later. Never throws but for a defect. */
  run(item: Item): Promise<readonly Item[]>;
}

/** Log lines, and repairs, each second at most: where everything differs, one cause is behind it. */
const LINES_PER_S = 0.2;
const REPAIRS_PER_S = 20;

/** The breaker is open: not an error, since nothing was asked. */
class KeptAway extends Error {}
/** The store that is not the authority did not answer; `cause` says how. */
class OtherFailed extends Error {}

export function createComparison(options: ComparisonOptions): Comparison {
  const { stores, environment, telemetry, member, differences, stages, timeoutMs } = options;
  const report = createReport(options);
  const breakers = { mongo: breakerFor('mongo'), postgres: breakerFor('postgres') };
  const lines = createRate(environment);
  const repairs = createRate(environment);

  function breakerFor(store: 'mongo' | 'postgres') {
    return createBreaker({
      environment,
      settings: () => member.settings(),
      onChange: (to) => {
        if (to === 'open') telemetry.count('cutover_breaker_opened_total', { store, purpose: 'shadow' });
      },
    });
  }

  const bounded = <T>(work: () => Promise<T>): Promise<T> => within(environment, timeoutMs, work);

  async function guarded<T>(name: 'mongo' | 'postgres', work: () => Promise<T>): Promise<T> {
    const breaker = breakers[name];
    if (!breaker.allow()) throw new KeptAway();
    try {
      const result = await bounded(work);
      breaker.succeed();
      return result;
    } catch (error) {
      breaker.fail();
      throw new OtherFailed('the compared store failed', { cause: error });
    }
  }

  /** Whether both stores still play the parts they had: otherwise an answer says nothing about the copy. */
  function holds(ticket: Ticket): boolean {
    const permit = member.permitWork();
    return (
      permit !== null &&
      permit.ticket.epoch === ticket.epoch &&
      MODE_FACTS[permit.ticket.mode].compare === MODE_FACTS[ticket.mode].compare
    );
  }

  const expiredBefore = (): Date => new Date(environment.date().getTime() - options.retentionMs);
  const lookingAt = ({ epoch }: Ticket) => ({ epoch, pending: false });

  function pairOf(
    ticket: Ticket,
  ): { readonly authority: Store; readonly other: Store; readonly sides: Sides } | null {
    const authority = stores[ticket.store];
    const other = stores[otherStore(ticket.store)];
    if (authority === null || other === null) return null;
    const sides: Sides = {
      authority: (read) => bounded(() => read(authority.replica)),
      other: (read) => guarded(other.name, () => read(other.replica)),
    };
    return { authority, other, sides };
  }

  async function compare(item: Item): Promise<readonly Item[]> {
    const { ticket, counted } = item;
    const end = (outcome: Outcome, entity = item.entity): readonly Item[] => {
      if (counted) options.count(outcome, entity, ticket);
      return [];
    };
    const pair = pairOf(ticket);
    if (pair === null || !holds(ticket)) return end('shed');
    if (counted && item.stage === 0 && member.settings()['shadow-baseline']) {
      const again = await bounded(() => item.read(pair.authority.at(lookingAt(ticket))));
      return end(isSameAnswer(item.offered(), again) ? 'baseline-match' : 'baseline-difference');
    }

    let names = item.names;
    if (item.stage === 0 && counted) {
      const offered = item.offered();
      const answered = await guarded(pair.other.name, () => item.read(pair.other.at(lookingAt(ticket))));
      names = union(namesOf(offered), namesOf(answered));
      if (isSameAnswer(offered, answered)) return matched(item, names, end);
    }

    let found = await look(pair.sides, names, expiredBefore());
    if (found.some(isPlain)) found = await look(pair.sides, names, expiredBefore());
    if (!holds(ticket)) return end('shed');
    const plain = found.filter(isPlain);
    if (plain.length > 0) return finish(item, plain, pair, end);
    if (found.length > 0) {
      const marks = item.earlier?.marks ?? new Map(found.map((each) => [nameOf(each), markOf(each)]));
      if (item.stage < stages) return putOff(item, names, { marks, answers: null });
      return finish(
        item,
        found.filter((each) => isSettled(each, marks)),
        pair,
        end,
      );
    }
    if (!counted) return matched(item, names, end);
    return compareAnswers(item, names, pair, end);
  }

  type End = (outcome: Outcome, entity?: Entity) => readonly Item[];
  type Pair = NonNullable<ReturnType<typeof pairOf>>;

  /** No record differs, but the answers did: a race, or the stores do not look records up alike. */
  async function compareAnswers(
    item: Item,
    names: readonly RecordName[],
    { authority, other }: Pair,
    end: End,
  ): Promise<readonly Item[]> {
    const { ticket } = item;
    const ours = await bounded(() => item.read(authority.at(lookingAt(ticket))));
    const theirs = await guarded(other.name, () => item.read(other.at(lookingAt(ticket))));
    const past = expiredBefore();
    if (isSameAnswer(ours, theirs) || holdsExpired(ours, past) || holdsExpired(theirs, past)) {
      return matched(item, names, end);
    }
    const answers = `${fingerprint(ours)} / ${fingerprint(theirs)}`;
    const all = union(names, namesOf(ours), namesOf(theirs));
    if (item.stage < stages) {
      return putOff(item, all, { marks: item.earlier?.marks ?? new Map(), answers });
    }
    // Any write in between would have moved a stamp: these are the answers of the look before.
    if (item.earlier?.answers !== answers) return [];
    const entity = item.entity;
    if (isIgnored(entity, ['answer'])) return end('ignored');
    const subject = namesOf(ours)[0] ?? namesOf(theirs)[0];
    if (subject !== undefined)
      report.answers(subject, item.operation, fingerprint(ours), fingerprint(theirs));
    return end('mismatch');
  }

  /** One stamp with two contents, seen while no write passed: no race explains it. */
  function isPlain({ verdict, stable }: Finding): boolean {
    return verdict.sameStamp && stable;
  }

  /**
   * At the last look: whether the mirror had its time. An unmarked record has been mirrored, as far as its writer knows.
   * A marked one has waited since before the first look, unless somebody keeps writing it, or has paused the mirror.
   */
  function isSettled(finding: Finding, marks: ReadonlyMap<string, number | null>): boolean {
    if (!finding.stable) return false;
    const mark = markOf(finding);
    if (mark === null) return true;
    return !member.settings()['mirror-paused'] && marks.get(nameOf(finding)) === mark;
  }

  function isIgnored(entity: Entity, fields: readonly string[]): boolean {
    return isKnown(allowListOf(member.settings()['shadow-ignore']), entity, fields, environment.date());
  }

  function putOff(item: Item, names: readonly RecordName[], earlier: Earlier): readonly Item[] {
    if (item.counted && item.stage === 0) options.count('lagging', item.entity, item.ticket);
    return [{ ...item, stage: item.stage + 1, names, earlier }];
  }

  function matched(item: Item, names: readonly RecordName[], end: End): readonly Item[] {
    for (const name of names) {
      differences.healed(nameOf(name));
      if (item.counted) differences.healed(`${nameOf(name)}/${item.operation}`);
    }
    return end('match');
  }

  async function finish(
    item: Item,
    found: readonly Finding[],
    pair: Pair,
    end: End,
  ): Promise<readonly Item[]> {
    // Still moving at the last look: it was counted as lagging, and that is all that can be said.
    if (found.length === 0 || !item.counted) return [];
    const real = found.filter(({ entity, verdict }) => !isIgnored(entity, verdict.fields));
    const [worst] = real.toSorted((a, b) => rank(a) - rank(b));
    if (worst === undefined) return end('ignored', found[0]?.entity);
    for (const finding of real) report.records(finding);
    end(worst.verdict.kind, worst.entity);
    const repaired: RecordName[] = [];
    for (const name of real) if (await tryRepair(name, item.ticket, pair)) repaired.push(name);
    if (repaired.length === 0) return [];
    return [{ ...item, stage: 1, counted: false, names: repaired, earlier: null }];
  }

  async function tryRepair(
    name: RecordName,
    ticket: Ticket,
    { authority, other, sides }: Pair,
  ): Promise<boolean> {
    if (!repairs.take(REPAIRS_PER_S)) return false;
    const { epoch } = ticket;
    try {
      return await repair(name, {
        environment,
        member,
        sides,
        authority,
        other,
        epoch,
        expiredBefore: expiredBefore(),
        timeoutMs,
      });
    } catch (error) {
      telemetry.debug({ err: error, entity: name.entity }, 'a difference could not be repaired for now');
      return false;
    }
  }

  /** A failure that a client would have met, had it asked that store. */
  function noteFailure({ operation, ticket, counted }: Item, cause: unknown): void {
    if (!counted || ticket.store !== 'mongo') return;
    const labels = { operation, store: 'postgres', outcome: 'invisible' };
    telemetry.count('cutover_fallbacks_total', labels);
    if (!lines.take(LINES_PER_S)) return;
    const reason =
      cause instanceof StoreUnavailable ? cause.reason : cause instanceof TooSlow ? 'timeout' : 'error';
    telemetry.warn(
      { operation, store: 'postgres', reason },
      'a comparison failed; the client was answered by MongoDB as if nothing had happened',
    );
  }

  return {
    async run(item) {
      try {
        return await compare(item);
      } catch (error) {
        if (error instanceof OtherFailed) noteFailure(item, error.cause);
        else if (!(error instanceof KeptAway)) {
          telemetry.debug({ err: error, operation: item.operation }, 'a comparison could not be made');
        }
        if (item.counted)
          options.count(error instanceof KeptAway ? 'shed' : 'error', item.entity, item.ticket);
        return [];
      }
    },
  };
}

const RANKS = ['mismatch', 'missing-in-authority', 'missing-in-mirror'];
const rank = ({ verdict }: Finding): number => RANKS.indexOf(verdict.kind);
const nameOf = ({ entity, id }: RecordName): string => `${entity}/${id}`;
const markOf = ({ authority }: Finding): number | null =>
  isHeld(authority) ? (authority.pendingAt?.getTime() ?? null) : null;

function namesOf(parts: Parts | null): readonly RecordName[] {
  return parts?.records.map(({ entity, record }) => ({ entity, id: record.id })) ?? [];
}

function union(...lists: readonly (readonly RecordName[])[]): readonly RecordName[] {
  return [...new Map(lists.flat().map((name) => [nameOf(name), name])).values()];
}
