/** What two stores' answers, and two stores' copies of a record, say about each other. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { isExpired, isSame, isSameContent } from '../../db/apply.ts';
import { compareStamps, type Entity, type RecordOf } from '../../db/records.ts';
import type { Held } from '../../db/replica.ts';
import type { KnownDifference } from '../known-differences.ts';
import type { AnyRecord, Parts } from './reads.ts';
import type { RecordName } from './records.ts';

/** A document that is there but means no record is never taken for absent. */
export type Seen = Held<Entity> | 'unreadable' | null;

export type Verdict =
  | { readonly kind: 'match' }
  | {
      readonly kind: 'mismatch' | 'missing-in-mirror' | 'missing-in-authority';
      /** Names of fields; `stamp`, `record` (one side has none) and `document` (one side cannot be read) among them. */
      readonly fields: readonly string[];
      /** One stamp names one content: no race explains two. */
      readonly sameStamp: boolean;
    };

const MATCH: Verdict = { kind: 'match' };

/** What expires before `expiredBefore` is past retention: either store may have deleted it, so it is left out. */
export function judgeRecord(authority: Seen, other: Seen, expiredBefore: Date): Verdict {
  const past = (seen: Seen) => isHeld(seen) && isExpired(seen.record, expiredBefore);
  if (past(authority) || past(other)) return MATCH;
  if (authority === null) {
    return isHeld(other) ? differs('missing-in-authority', ['record']) : MATCH;
  }
  // To every reader of the authority that document is not there, and no copy of it can be: the copy's report names it.
  if (authority === 'unreadable') return isHeld(other) ? differs('mismatch', ['document']) : MATCH;
  if (other === null) return differs('missing-in-mirror', ['record']);
  if (other === 'unreadable') return differs('mismatch', ['document']);
  const fields = differingFields(authority.record, other.record);
  const sameStamp = compareStamps(authority.record.stamp, other.record.stamp) === 0;
  if (fields.length === 0 && sameStamp) return MATCH;
  return differs('mismatch', sameStamp ? fields : [...fields, 'stamp'], sameStamp);
}

/** Names of the fields that differ, the stamp left out. */
function differingFields(a: RecordOf[Entity], b: RecordOf[Entity]): readonly string[] {
  const other = new Map<string, unknown>(Object.entries(b));
  return Object.entries(a).flatMap(([field, value]) =>
    field === 'stamp' || isSame(value, other.get(field)) ? [] : [field],
  );
}

/** Whether two answers are the same, in whatever order: stores may order equal times as they like. */
export function isSameAnswer(a: Parts, b: Parts): boolean {
  if (a.said !== b.said || a.records.length !== b.records.length) return false;
  const others = new Map(b.records.map((part) => [keyOf(part), part.record]));
  return a.records.every((part) => {
    const other = others.get(keyOf(part));
    return (
      other !== undefined &&
      compareStamps(part.record.stamp, other.stamp) === 0 &&
      isSameContent<Entity>(part.record, other)
    );
  });
}

/** Whether two answers hold the same records and differ only where the stamps do, as they must across a write. */
export function isSameButStates(a: Parts, b: Parts): boolean {
  if (a.said !== b.said || a.records.length !== b.records.length) return false;
  const others = new Map(b.records.map((part) => [keyOf(part), part.record]));
  return a.records.every((part) => {
    const other = others.get(keyOf(part));
    return (
      other !== undefined &&
      (compareStamps(part.record.stamp, other.stamp) !== 0 || isSameContent<Entity>(part.record, other))
    );
  });
}

/** An answer, and what the store that gave it holds. */
export type Given = readonly [answer: Parts, stored: (name: RecordName) => Seen];

/**
 * Whether two answers are the same but for sessions that one of them holds at a later generation than is stored under the same
 * stamp: MongoDB takes the one that a change of the password is to keep for what it is going to be.
 */
export function isSameButAhead(a: Given, b: Given): boolean {
  const ahead = new Set([a, b].flatMap(([answer, stored]) => aheadOf(answer, stored)));
  const rest = ([{ records, said }]: Given): Parts => ({
    said,
    records: records.filter((part) => !ahead.has(keyOf(part))),
  });
  return ahead.size > 0 && isSameAnswer(rest(a), rest(b));
}

function aheadOf({ records }: Parts, stored: (name: RecordName) => Seen): readonly string[] {
  return records.flatMap((part) => {
    const { entity, record } = part;
    const held = stored({ entity, id: record.id });
    if (entity !== 'session' || !isHeld(held)) return [];
    const isSameState = compareStamps(record.stamp, held.record.stamp) === 0;
    const isAhead = isSameState && isDeepStrictEqual(differingFields(record, held.record), ['generation']);
    return isAhead ? [keyOf(part)] : [];
  });
}

/** Whether an answer holds what a store may have deleted by now. */
export function holdsExpired({ records }: Parts, expiredBefore: Date): boolean {
  return records.some(({ record }) => isExpired<Entity>(record, expiredBefore));
}

/** Which records an answer holds in which states: the same text, the same answer. */
export function fingerprint({ records, said }: Parts): string {
  const states = records.map(
    (part) => `${keyOf(part)}@${part.record.stamp.epoch}.${part.record.stamp.version}`,
  );
  return [said, ...states.sort()].join(' ');
}

/** Whether every one of these fields is on the list, today. */
export function isKnown(
  list: readonly KnownDifference[],
  entity: Entity,
  fields: readonly string[],
  today: Date,
): boolean {
  const day = today.toISOString().slice(0, 10);
  return fields.every((field) =>
    list.some((known) => known.entity === entity && known.field === field && known.until >= day),
  );
}

function keyOf({ entity, record }: AnyRecord): string {
  return `${entity}/${record.id}`;
}

export function isHeld(seen: Seen): seen is Held<Entity> {
  return seen !== null && seen !== 'unreadable';
}

function differs(
  kind: Exclude<Verdict['kind'], 'match'>,
  fields: readonly string[],
  sameStamp = false,
): Verdict {
  return { kind, fields, sameStamp };
}
