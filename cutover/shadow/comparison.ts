/**
 * Comparisons, a batch at a time, from answers to outcomes. A difference is looked at again and again before it counts,
 * for the mirror follows a moment after the authority; what no race explains counts at once.
 */
import type { Member } from '../instance/member.ts';
import { MODE_FACTS } from '../mode.ts';
import { NO_TRAFFIC, type Traffic } from '../traffic.ts';
import { askOther, LULL_MAX_MS } from './ask.ts';
import { createEnding, type EndingOptions } from './ending.ts';
import type { Earlier, Item } from './item.ts';
import { type Finding, leftBehind, look, readAll, stateOf } from './look.ts';
import { createPairs, KeptAway, OtherFailed, type Pair, type PairOptions } from './pair.ts';
import type { Parts } from './reads.ts';
import { nameOf, namesOf, type RecordName, union } from './records.ts';
import {
  fingerprint,
  holdsExpired,
  isHeld,
  isSameAnswer,
  isSameButAhead,
  isSameButStates,
} from './verdict.ts';

export interface ComparisonOptions extends PairOptions, EndingOptions {
  readonly retentionMs: number;
  /** How often a difference is put off. */
  readonly stages: () => number;
  /** The clients whose way it keeps out of. */
  readonly traffic?: Pick<Traffic, 'lull'>;
}

export interface Comparison {
  /** Goes one step with each; gives back what is to go on later. Never throws but for a defect. */
  run(items: readonly Item[]): Promise<readonly Item[]>;
}

/** What differs among the records of one. */
interface Found {
  readonly findings: readonly Finding[];
  /** Whether others that differ were left behind by an operator: they are not to be alike. */
  readonly isLeft: boolean;
}

/** One whose records are to be looked at. */
interface Open {
  readonly item: Item;
  readonly names: readonly RecordName[];
  /** What the other store has just answered; null when it was not asked. */
  readonly answered: Parts | null;
}

export function createComparison(options: ComparisonOptions): Comparison {
  const { environment, telemetry, member, stages, barred, traffic = NO_TRAFFIC } = options;
  const pairOf = createPairs(options);
  const ending = createEnding(options);
  const { end, matched } = ending;
  const expiredBefore = (): Date => new Date(environment.date().getTime() - options.retentionMs);
  const isBaseline = (item: Item): boolean =>
    item.counted && item.stage === 0 && member.settings()['shadow-baseline'];

  function fail(item: Item, error: unknown): readonly Item[] {
    if (error instanceof OtherFailed) ending.noteFailure(item, error.cause);
    else if (!(error instanceof KeptAway)) {
      telemetry.debug({ err: error, operation: item.operation }, 'a comparison could not be made');
    }
    return end(item, error instanceof KeptAway ? 'shed' : 'error');
  }

  /** The failure of one is nothing to the others. */
  async function each<T>(
    all: readonly T[],
    itemOf: (one: T) => Item,
    work: (one: T) => Promise<readonly Item[]>,
  ): Promise<readonly Item[]> {
    const next: Item[] = [];
    for (const one of all) {
      next.push(...(await work(one).catch((error: unknown) => fail(itemOf(one), error))));
    }
    return next;
  }

  async function compareBaseline(item: Item, pair: Pair): Promise<readonly Item[]> {
    await traffic.lull(LULL_MAX_MS);
    const again = await pair.askAuthority(item.read);
    return end(item, isSameAnswer(item.offered(), again) ? 'baseline-match' : 'baseline-difference');
  }

  /** What the other store does not answer alike, and what comes back for another look. */
  async function openOnes(pair: Pair, items: readonly Item[]): Promise<readonly Open[]> {
    const fresh = items.filter(({ stage, counted }) => stage === 0 && counted);
    const open: Open[] = items
      .filter((item) => !fresh.includes(item))
      .map((item) => ({ item, names: item.names, answered: null }));
    for (const asked of await askOther(pair, fresh, traffic)) {
      const { item } = asked;
      if ('error' in asked) {
        fail(item, asked.error);
        continue;
      }
      const { answered } = asked;
      const offered = item.offered();
      const names = union(namesOf(offered), namesOf(answered));
      if (isSameAnswer(offered, answered)) matched(item, names);
      else open.push({ item, names, answered });
    }
    return open;
  }

  /** What differs among the records of all of them. What counts at once is looked at twice. */
  async function findingsOf(pair: Pair, open: readonly Open[]): Promise<(one: Open) => Found> {
    await traffic.lull(LULL_MAX_MS);
    const found = new Map<string, Finding>();
    const lookAt = async (ones: readonly Open[]): Promise<void> => {
      const names = union(...ones.map((one) => one.names));
      const findings = await look(pair.sides, names, expiredBefore());
      for (const name of names) found.delete(nameOf(name));
      for (const finding of findings) found.set(nameOf(finding), finding);
    };
    const of = ({ names }: Open): readonly Finding[] =>
      names.map((name) => found.get(nameOf(name))).filter((finding) => finding !== undefined);
    await lookAt(open);
    const plain = open.filter((one) => of(one).some(isPlain));
    if (plain.length > 0) await lookAt(plain);
    const left = await leftBehind(pair.postgres, [...found.values()]);
    return (one) => {
      const all = of(one);
      const findings = all.filter((finding) => !left.has(nameOf(finding)));
      return { findings, isLeft: findings.length < all.length };
    };
  }

  async function judge(pair: Pair, one: Open, { findings: found, isLeft }: Found): Promise<readonly Item[]> {
    const { item, names, answered } = one;
    if (!holds(member, item)) return end(item, 'shed');
    const plain = found.filter(isPlain);
    if (plain.length > 0) return ending.differing(item, plain, pair, expiredBefore());
    if (found.length > 0) {
      const waits = item.earlier?.waits ?? new Map(found.map((each) => [nameOf(each), waitOf(each)]));
      if (item.stage < stages()) return putOff(item, names, { waits, answers: null });
      const settled = found.filter((each) => isSettled(each, waits));
      return ending.differing(item, settled, pair, expiredBefore());
    }
    // The answers cannot be alike, either: nobody else was asked for.
    if (isLeft) return ending.leaving(item, names);
    // The same records in other states, which are the same by now: a write came between the two answers.
    if (!item.counted || (answered !== null && isSameButStates(item.offered(), answered))) {
      return matched(item, names);
    }
    return compareAnswers(one, pair);
  }

  /** No record differs, but the answers did: a race, or the stores do not look records up alike. */
  async function compareAnswers({ item, names }: Open, pair: Pair): Promise<readonly Item[]> {
    await traffic.lull(LULL_MAX_MS);
    const ours = await pair.askAuthority(item.read);
    const theirs = await pair.askOther(item.read);
    const past = expiredBefore();
    if (isSameAnswer(ours, theirs) || holdsExpired(ours, past) || holdsExpired(theirs, past)) {
      return matched(item, names);
    }
    const all = union(names, namesOf(ours), namesOf(theirs));
    const here = await pair.sides.authority((replica) => readAll(replica, all));
    const there = await pair.sides.other((replica) => readAll(replica, all));
    if (isSameButAhead([ours, here], [theirs, there])) return matched(item, all);
    const answers = `${fingerprint(ours)} / ${fingerprint(theirs)}`;
    if (item.stage < stages()) {
      return putOff(item, all, { waits: item.earlier?.waits ?? new Map(), answers });
    }
    // Any write in between would have moved a stamp: these are the answers of the look before.
    return item.earlier?.answers === answers ? ending.answering(item, ours, theirs) : [];
  }

  /**
   * At the last look: whether the mirror had its time. An unmarked record has been mirrored, as far as its writer knows.
   * A marked one has waited since the first look, unless the mirror has brought other states of it meanwhile (somebody
   * keeps writing it), or is paused.
   */
  function isSettled(finding: Finding, waits: ReadonlyMap<string, string>): boolean {
    if (!finding.stable) return false;
    if (markOf(finding) === null) return true;
    return !member.settings()['mirror-paused'] && waits.get(nameOf(finding)) === waitOf(finding);
  }

  function putOff(item: Item, names: readonly RecordName[], earlier: Earlier): readonly Item[] {
    if (item.stage === 0) end(item, 'lagging');
    return [{ ...item, stage: item.stage + 1, names, earlier }];
  }

  return {
    async run(items) {
      const live = items.filter((item) => holds(member, item));
      for (const item of items) if (!live.includes(item)) end(item, 'shed');
      const [first] = live;
      if (first === undefined) return [];
      // They hold under one permit, so one store has authority for all of them.
      const pair = pairOf(first.ticket);
      // What such a store holds says nothing about the copy, and even a read may mend what it finds.
      if (pair === null || barred.reason() !== null) return live.flatMap((item) => end(item, 'shed'));
      const next = await each(
        live.filter(isBaseline),
        (item) => item,
        (item) => compareBaseline(item, pair),
      );
      const open = await openOnes(
        pair,
        live.filter((item) => !isBaseline(item)),
      );
      if (open.length === 0) return next;
      try {
        const found = await findingsOf(pair, open);
        return [
          ...next,
          ...(await each(
            open,
            ({ item }) => item,
            (one) => judge(pair, one, found(one)),
          )),
        ];
      } catch (error) {
        return [...next, ...open.flatMap(({ item }) => fail(item, error))];
      }
    },
  };
}

/** Whether both stores still play the parts they had: otherwise an answer says nothing about the copy. */
function holds(member: Member, { ticket }: Item): boolean {
  const permit = member.permitWork();
  return (
    permit !== null &&
    permit.ticket.epoch === ticket.epoch &&
    MODE_FACTS[permit.ticket.mode].compare === MODE_FACTS[ticket.mode].compare
  );
}

/** One stamp with two contents, seen while no write passed: no race explains it. */
function isPlain({ verdict, stable }: Finding): boolean {
  return verdict.sameStamp && stable;
}

/** Since when a record waits, and for what state to be replaced. */
function waitOf(finding: Finding): string {
  return `${markOf(finding)} ${stateOf(finding.other)}`;
}

function markOf({ authority }: Finding): number | null {
  return isHeld(authority) ? (authority.pendingAt?.getTime() ?? null) : null;
}
