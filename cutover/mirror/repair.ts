/** Repair is a touch: the authority's record unchanged under a new stamp, which then goes over whatever the mirror holds. */
import type { Entity, RecordOf, Stamp } from '../../db/records.ts';
import { compareStamps } from '../../db/records.ts';
import { decideOrphan, nextStamp } from '../protocol/stamps.ts';
import type { Pass } from './pass.ts';
import { AGAIN, AUTHORITY_BEHIND, DONE, LATER, type Verdict } from './verdict.ts';

/** The mirror holds another content under the same stamp. */
export async function repairDiffering<E extends Entity>(
  pass: Pass,
  entity: E,
  { id, stamp }: RecordOf[E],
): Promise<Verdict> {
  if (!(await pass.mayPutAway())) return { kind: 'poison', reason: AUTHORITY_BEHIND, stamp };
  const to = nextStamp(stamp, pass.epoch);
  const touched = await pass.repair(() => pass.authority.replica.touch(entity, id, { expected: stamp, to }));
  if (touched === null) return LATER;
  pass.telemetry.warn(
    { entity, id, store: pass.mirror.name },
    'mirror: another content, repaired by a touch',
  );
  return AGAIN;
}

/**
 * The mirror holds a newer state than the one that was read here. Read once more: most often the record has been
 * written, and mirrored by another instance, in between. If not, the mirror has what nobody was told of.
 */
export async function repairAhead(pass: Pass, entity: Entity, id: string, stored: Stamp): Promise<Verdict> {
  const { telemetry, authority, mirror } = pass;
  const { found, unreadable } = await authority.replica.read(entity, [id]);
  if (unreadable.includes(id)) return { kind: 'poison', reason: 'unreadable', stamp: null };
  const held = found.get(id);
  if (held === undefined) return DONE;
  const { stamp } = held.record;
  if (compareStamps(stamp, stored) >= 0) return held.pendingAt === null ? DONE : AGAIN;

  telemetry.count('cutover_mirror_ahead_total', { store: mirror.name });
  telemetry.error({ entity, id, store: mirror.name }, 'mirror: newer than the authority');
  // No touch of this epoch would go over it.
  if (stored.epoch > pass.epoch) return { kind: 'poison', reason: 'ahead-in-epoch', stamp };
  const decision = decideOrphan(stored, { stamp, pending: held.pendingAt !== null }, pass.epoch);
  if (decision.kind !== 'touch') return AGAIN;
  if (!(await pass.mayPutAway())) return { kind: 'poison', reason: AUTHORITY_BEHIND, stamp };
  const { expected, stamp: to } = decision;
  const touched = await pass.repair(() => authority.replica.touch(entity, id, { expected, to }));
  return touched === null ? LATER : AGAIN;
}
