/** What a difference that no race explains comes to: counted, told of, and repaired as far as the pace allows. */
import type { Entity } from '../../db/records.ts';
import type { Environment } from '../environment.ts';
import type { Member } from '../instance/member.ts';
import { allowListOf } from '../known-differences.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Differences } from './differences.ts';
import type { Digest } from './digest.ts';
import type { Item } from './item.ts';
import type { Finding } from './look.ts';
import type { Outcome } from './outcomes.ts';
import { type Pair, reasonOf } from './pair.ts';
import { createRate } from './rate.ts';
import type { Parts } from './reads.ts';
import { nameOf, namesOf, type RecordName } from './records.ts';
import { repair } from './repair.ts';
import { createReport } from './report.ts';
import { fingerprint, isKnown } from './verdict.ts';

export interface EndingOptions {
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly member: Member;
  readonly timeoutMs: number;
  readonly digest: Digest;
  readonly differences: Differences;
  readonly count: (outcome: Outcome, entity: Entity, ticket: Item['ticket']) => void;
}

export interface Ending {
  /** Counts, unless the item counts for nothing. Nothing goes on. */
  end(item: Item, outcome: Outcome, entity?: Entity): readonly Item[];
  matched(item: Item, names: readonly RecordName[]): readonly Item[];
  /** These records differ; gives back what follows their repair up. */
  differing(item: Item, found: readonly Finding[], pair: Pair, expiredBefore: Date): Promise<readonly Item[]>;
  /** What differs was left behind by an operator: it counts as a known difference, and nothing is repaired. */
  leaving(item: Item, names: readonly RecordName[]): readonly Item[];
  /** The records are the same, the answers are not. */
  answering(item: Item, ours: Parts, theirs: Parts): readonly Item[];
  /** A failure that a client would have met, had it asked that store. */
  noteFailure(item: Item, cause: unknown): void;
}

/** Log lines, and repairs, each second at most: where everything fails, or differs, one cause is behind it. */
const LINES_PER_S = 1 / 30;
const REPAIRS_PER_S = 20;

export function createEnding(options: EndingOptions): Ending {
  const { environment, telemetry, member, differences, timeoutMs } = options;
  const report = createReport(options);
  const lines = createRate(environment);
  const repairs = createRate(environment);

  function isIgnored(entity: Entity, fields: readonly string[]): boolean {
    return isKnown(allowListOf(member.settings()['shadow-ignore']), entity, fields, environment.date());
  }

  function end(item: Item, outcome: Outcome, entity = item.entity): readonly Item[] {
    if (item.counted) options.count(outcome, entity, item.ticket);
    return [];
  }

  async function tryRepair(name: RecordName, item: Item, pair: Pair, expiredBefore: Date): Promise<boolean> {
    if (!repairs.take(REPAIRS_PER_S)) return false;
    const { epoch } = item.ticket;
    const { sides, authority, other, isOtherFenced } = pair;
    const parts = { environment, member, sides, authority, other, isOtherFenced };
    try {
      return await repair(name, { ...parts, epoch, expiredBefore, timeoutMs });
    } catch (error) {
      telemetry.debug({ err: error, entity: name.entity }, 'a difference could not be repaired for now');
      return false;
    }
  }

  function heal(item: Item, names: readonly RecordName[]): void {
    for (const name of names) {
      differences.healed(nameOf(name));
      if (item.counted) differences.healed(`${nameOf(name)}/${item.operation}`);
    }
  }

  return {
    end,

    matched(item, names) {
      heal(item, names);
      return end(item, 'match');
    },

    leaving(item, names) {
      heal(item, names);
      return end(item, 'ignored');
    },

    async differing(item, found, pair, expiredBefore) {
      // Still moving at the last look: it was counted as lagging, and that is all that can be said.
      if (found.length === 0 || !item.counted) return [];
      const real = found.filter(({ entity, verdict }) => !isIgnored(entity, verdict.fields));
      const [worst] = real.toSorted((a, b) => rank(a) - rank(b));
      if (worst === undefined) return end(item, 'ignored', found[0]?.entity);
      for (const finding of real) report.records(finding);
      end(item, worst.verdict.kind, worst.entity);
      const repaired: RecordName[] = [];
      for (const name of real) if (await tryRepair(name, item, pair, expiredBefore)) repaired.push(name);
      if (repaired.length === 0) return [];
      return [{ ...item, stage: 1, counted: false, names: repaired, earlier: null }];
    },

    answering(item, ours, theirs) {
      const { entity, operation } = item;
      if (isIgnored(entity, ['answer'])) return end(item, 'ignored');
      const subject = namesOf(ours)[0] ?? namesOf(theirs)[0];
      if (subject !== undefined) report.answers(subject, operation, fingerprint(ours), fingerprint(theirs));
      return end(item, 'mismatch');
    },

    noteFailure({ operation, ticket, counted }, cause) {
      if (!counted || ticket.store !== 'mongo') return;
      const labels = { operation, store: 'postgres', outcome: 'invisible' };
      telemetry.count('cutover_fallbacks_total', labels);
      if (!lines.take(LINES_PER_S)) return;
      telemetry.warn(
        { operation, store: 'postgres', reason: reasonOf(cause) },
        'a comparison failed; the client was answered by MongoDB as if nothing had happened',
      );
    },
  };
}

const RANKS = ['mismatch', 'missing-in-authority', 'missing-in-mirror'];
const rank = ({ verdict }: Finding): number => RANKS.indexOf(verdict.kind);
