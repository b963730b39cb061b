/** What an operator has left behind in MongoDB: PostgreSQL need not take it, and nothing takes it out of MongoDB. */
import type { Entity } from '../../db/records.ts';
import type { Held, Mark } from '../../db/replica.ts';
import { leftBehindAmong } from '../left-behind.ts';
import type { AnyRecord } from '../shadow/reads.ts';
import { unmark } from './apply.ts';
import type { Pass } from './pass.ts';
import { keyOf } from './queue.ts';

/** Of what PostgreSQL does not take, takes the marks off those that need not come there; which they are. */
export async function leave<E extends Entity>(
  pass: Pass,
  entity: E,
  refused: readonly Held<E>[],
): Promise<readonly string[]> {
  if (refused.length === 0 || pass.mirror.name !== 'postgres') return [];
  const records = refused.map(({ record }) => named(entity, record));
  const behind = await pass.callMirror((replica) => leftBehindAmong(replica, records));
  const left = refused.filter(({ record: { id } }) => behind.has(keyOf(entity, id)));
  await unmark(pass, entity, left);
  return left.map(({ record: { id } }) => id);
}

/**
 * Whether the holder of a key in the mirror is to give it up because an operator has left the holder behind, and not the
 * other. MongoDB keeps such a holder without the key; out of PostgreSQL, where it came before that was said, it is moved.
 */
export async function givesWay(pass: Pass, holderId: string, otherId: string): Promise<boolean> {
  const [holder, other] = [holderId, otherId].map((id) => ({ entity: 'user', id }) as const);
  if (holder === undefined || other === undefined) return false;
  if (pass.mirror.name === 'mongo') return (await pass.authority.replica.leftBehind([holder])).size > 0;
  const behind = await pass.callMirror((replica) => replica.toLeaveBehind([holder, other]));
  return behind.has(keyOf('user', holderId)) && !behind.has(keyOf('user', otherId));
}

/** Takes the mark of such a record off: a write that landed late, of which nobody was told. False: it is none. */
export async function leaveOrphan(pass: Pass, { entity, id, stamp }: Mark): Promise<boolean> {
  if (pass.mirror.name !== 'mongo') return false;
  const held = (await pass.callMirror((replica) => replica.read(entity, [id]))).found.get(id);
  if (held === undefined) return false;
  const behind = await leftBehindAmong(pass.authority.replica, [named(entity, held.record)]);
  if (behind.size === 0) return false;
  await pass.repair(() => pass.callMirror((replica) => replica.clearMarks([{ entity, id, stamp }])));
  return true;
}

const named = <E extends Entity>(entity: E, record: Held<E>['record']): AnyRecord =>
  ({ entity, record }) as AnyRecord;
