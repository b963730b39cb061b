/** Marks in the mirror: writes that landed in a store after, or while, it lost authority, and that nobody was told of. */
import { UnfaithfulWrite } from '../../db/errors.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import type { Mark } from '../../db/replica.ts';
import { decideOrphan } from '../protocol/stamps.ts';
import { leaveOrphan } from './left-behind.ts';
import type { Pass } from './pass.ts';

export type OrphanResolution = ReturnType<typeof decideOrphan>['kind'];

/** Resolves these orphans as far as it may; tells of each that was touched, since it is to be mirrored now. */
export async function resolveOrphans(
  pass: Pass,
  orphans: readonly Mark[],
  onTouch: (entity: Entity, id: string) => void,
): Promise<void> {
  for (const entity of ENTITIES) {
    const marks = orphans.filter((mark) => mark.entity === entity);
    if (marks.length === 0) continue;
    const { found, unreadable } = await pass.authority.replica.read(
      entity,
      marks.map(({ id }) => id),
    );
    for (const mark of marks) {
      // There, though it means nothing: not to be taken for absent.
      if (unreadable.includes(mark.id)) continue;
      const held = found.get(mark.id);
      const resolution = await resolveOrphan(
        pass,
        mark,
        held === undefined ? null : { stamp: held.record.stamp, pending: held.pendingAt !== null },
      );
      if (resolution === null) return;
      if (resolution === 'touch') onTouch(entity, mark.id);
    }
  }
}

/** Null: no repair may begin now. */
async function resolveOrphan(
  pass: Pass,
  mark: Mark,
  inAuthority: Parameters<typeof decideOrphan>[1],
): Promise<OrphanResolution | null> {
  const { authority, mirror, telemetry, environment } = pass;
  const { entity, id, stamp } = mark;
  // Whoever wrote it knows of a later authority than this instance does.
  if (stamp.epoch > pass.epoch) return 'wait';
  const decision = decideOrphan(stamp, inAuthority, pass.epoch);
  if (decision.kind === 'wait' || !(await pass.mayPutAway())) return 'wait';
  if (decision.kind === 'move-aside' && (await leaveOrphan(pass, mark))) return 'wait';
  const { expected } = decision;
  const done = await pass
    .repair(() =>
      decision.kind === 'touch'
        ? authority.replica.touch(entity, id, { expected, to: decision.stamp })
        : pass.callMirror((replica) =>
            replica.moveAside(entity, id, { expected, reason: 'orphan', now: environment.date() }),
          ),
    )
    .catch((error: unknown) => {
      if (!(error instanceof UnfaithfulWrite)) throw error;
      telemetry.error({ entity, id, reason: error.told }, 'mirror: an orphan cannot be gone over');
      return false;
    });
  if (done === null) return null;
  // Somebody else was first, or it has changed: the next sweep sees.
  if (!done) return 'wait';
  telemetry.count('cutover_mirror_orphans_total', { store: mirror.name, resolution: decision.kind });
  telemetry.warn({ entity, id, resolution: decision.kind }, 'mirror: a write that nobody was told of');
  return decision.kind;
}
