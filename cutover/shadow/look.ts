/** Looks at records in both stores, so that a write that passes in between shows. */
import { ENTITIES, type Entity } from '../../db/records.ts';
import type { Replica } from '../../db/replica.ts';
import { leftBehindAmong } from '../left-behind.ts';
import type { AnyRecord } from './reads.ts';
import { nameOf, type RecordName } from './records.ts';
import { isHeld, judgeRecord, type Seen, type Verdict } from './verdict.ts';

/** How to reach the two stores: bounded in time, behind a breaker where there is one. */
export interface Sides {
  authority<T>(read: (replica: Replica) => Promise<T>): Promise<T>;
  other<T>(read: (replica: Replica) => Promise<T>): Promise<T>;
}

export interface Finding extends RecordName {
  readonly verdict: Exclude<Verdict, { readonly kind: 'match' }>;
  readonly authority: Seen;
  readonly other: Seen;
  /** The authority's record was the same before and after the other was read. */
  readonly stable: boolean;
}

/**
 * Reads the authority, then the other, then the authority again, and gives back what differs. A difference is `stable`
 * when the authority's record stayed the same throughout: then no write passed while this looked.
 */
export async function look(
  sides: Sides,
  names: readonly RecordName[],
  expiredBefore: Date,
): Promise<readonly Finding[]> {
  const before = await sides.authority((replica) => readAll(replica, names));
  const other = await sides.other((replica) => readAll(replica, names));
  const found = names.flatMap((name) => {
    const pair = { authority: before(name), other: other(name) };
    const verdict = judgeRecord(pair.authority, pair.other, expiredBefore);
    return verdict.kind === 'match' ? [] : [{ entity: name.entity, id: name.id, verdict, ...pair }];
  });
  if (found.length === 0) return [];
  const after = await sides.authority((replica) => readAll(replica, found));
  return found.map((finding) => ({
    ...finding,
    stable: stateOf(finding.authority) === stateOf(after(finding)),
  }));
}

/**
 * Those that MongoDB alone has because an operator has left them behind, as `entity/id`. `postgres` reads there. What is
 * marked is on its way to it, or to being told apart.
 */
export async function leftBehind(
  postgres: Sides['authority'],
  findings: readonly Finding[],
): Promise<ReadonlySet<string>> {
  const lone = findings.flatMap(({ entity, authority, other }): AnyRecord[] => {
    const one = authority === null ? other : other === null ? authority : null;
    return isHeld(one) && one.pendingAt === null ? [{ entity, record: one.record } as AnyRecord] : [];
  });
  return lone.length === 0 ? new Set() : postgres((replica) => leftBehindAmong(replica, lone));
}

/** Which state of a record was seen: its stamp, and whether it is marked since when. */
export function stateOf(seen: Seen): string {
  if (!isHeld(seen)) return String(seen);
  const { record, pendingAt } = seen;
  return `${record.stamp.epoch}.${record.stamp.version} ${pendingAt?.getTime() ?? ''}`;
}

export async function readAll(
  replica: Replica,
  names: readonly RecordName[],
): Promise<(name: RecordName) => Seen> {
  const seen = new Map<string, Seen>();
  for (const entity of ENTITIES) {
    const ids = names.filter((name) => name.entity === entity).map(({ id }) => id);
    if (ids.length === 0) continue;
    const { found, unreadable } = await replica.read<Entity>(entity, ids);
    for (const [id, held] of found) seen.set(`${entity}/${id}`, held);
    for (const id of unreadable) seen.set(`${entity}/${id}`, 'unreadable');
  }
  return (name) => seen.get(nameOf(name)) ?? null;
}
