/**
 * What an operator has left behind in MongoDB: put aside by a copy, accepted, dropped or passed over by a policy, and never
 * taken by PostgreSQL. It is no part of the move: not mirrored where PostgreSQL does not take it, not compared, not
 * repaired, not taken out of MongoDB, and no answer while PostgreSQL has authority. Asked for only where something would
 * otherwise be amiss, so what is looked up is little.
 */
import type { Replica } from '../db/replica.ts';
import type { AnyRecord } from './shadow/reads.ts';

const nameOf = ({ entity, record }: AnyRecord): string => `${entity}/${record.id}`;
const ownerOf = ({ entity, record }: AnyRecord): string | null =>
  entity === 'session' ? record.userId : null;

/** Which of these are, as `entity/id`. Sessions go with their users: PostgreSQL can take none of them. */
export async function leftBehindAmong(
  postgres: Pick<Replica, 'leftBehind'>,
  records: readonly AnyRecord[],
): Promise<ReadonlySet<string>> {
  if (records.length === 0) return new Set();
  const owners = records.map(ownerOf).filter((id) => id !== null);
  const behind = await postgres.leftBehind([
    ...records.map(({ entity, record: { id } }) => ({ entity, id })),
    ...[...new Set(owners)].map((id) => ({ entity: 'user', id }) as const),
  ]);
  const goes = (one: AnyRecord) => behind.has(nameOf(one)) || behind.has(`user/${ownerOf(one)}`);
  return new Set(records.filter(goes).map(nameOf));
}
