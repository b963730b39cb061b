/** What an operator has left behind in MongoDB: PostgreSQL need not take it, and nothing takes it out of MongoDB. */
import { StaleEpoch, UnfaithfulWrite } from '../../db/errors.ts';
import type { Entity, SessionRecord } from '../../db/records.ts';
import type { Held, Mark } from '../../db/replica.ts';
import { leftBehindAmong } from '../left-behind.ts';
import { nextStamp } from '../protocol/stamps.ts';
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
 * Of users whom PostgreSQL now has, those that were to be left behind: nobody looks any more for sessions of theirs that were
 * let go of, so these are touched. Marked ones too: another instance, which asked while the user was away, may be about to
 * take that very mark off. To be done before the user's own mark goes; whose sessions are still to be touched.
 */
export async function bringSessions(pass: Pass, userIds: readonly string[]): Promise<ReadonlySet<string>> {
  const waiting = new Set<string>();
  if (userIds.length === 0 || pass.mirror.name !== 'postgres') return waiting;
  const names = userIds.map((id) => ({ entity: 'user', id }) as const);
  const behind = await pass.callMirror((replica) => replica.toLeaveBehind(names));
  for (const id of userIds) {
    if (behind.has(keyOf('user', id)) && !(await touchSessions(pass, id))) waiting.add(id);
  }
  return waiting;
}

/** Those of a user that PostgreSQL lacks. False: not all, for no repair may begin now. */
async function touchSessions(pass: Pass, userId: string): Promise<boolean> {
  const repository = pass.authority.at({ epoch: pass.epoch, pending: true });
  const sessions = await repository.listSessions({ userId, now: pass.environment.date() });
  const ids = sessions.map(({ id }) => id);
  const { found } = await pass.callMirror((replica) => replica.read('session', ids));
  for (const session of sessions) {
    if (!found.has(session.id) && !(await touchSession(pass, session))) return false;
  }
  return true;
}

async function touchSession(pass: Pass, { id, stamp }: SessionRecord): Promise<boolean> {
  if (stamp.epoch > pass.epoch) throw new StaleEpoch(stamp.epoch, pass.epoch);
  const to = nextStamp(stamp, pass.epoch);
  try {
    // Where it has been written meanwhile, it was marked by that.
    const touched = await pass.repair(() =>
      pass.authority.replica.touch('session', id, { expected: stamp, to }),
    );
    if (touched === true) pass.onTouch('session', id);
    return touched !== null;
  } catch (error) {
    if (!(error instanceof UnfaithfulWrite)) throw error;
    pass.telemetry.error(
      { entity: 'session', id, reason: error.told },
      'mirror: a session cannot be touched, and stays behind',
    );
    return true;
  }
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
