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

/** Whether this record, which only the mirror has, is to stay there. */
export async function staysInMirror<E extends Entity>(
  pass: Pass,
  entity: E,
  record: Held<E>['record'],
): Promise<boolean> {
  if (pass.mirror.name !== 'mongo') return false;
  return (await leftBehindAmong(pass.authority.replica, [named(entity, record)])).size > 0;
}

/** Takes the mark of such a record off: a write that landed late, of which nobody was told. False: it is none. */
export async function leaveOrphan(pass: Pass, { entity, id, stamp }: Mark): Promise<boolean> {
  if (pass.mirror.name !== 'mongo') return false;
  const held = (await pass.callMirror((replica) => replica.read(entity, [id]))).found.get(id);
  if (held === undefined || !(await staysInMirror(pass, entity, held.record))) return false;
  await pass.repair(() => pass.callMirror((replica) => replica.clearMarks([{ entity, id, stamp }])));
  return true;
}

const named = <E extends Entity>(entity: E, record: Held<E>['record']): AnyRecord =>
  ({ entity, record }) as AnyRecord;
