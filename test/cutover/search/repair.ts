/**
 * Verify and shadow reads find what differs without a mark, and repair it. They are an operator's doing, or a sample's, so
 * nothing that was ever acknowledged may need them: this step is there only for what nobody was told of.
 */
import { authorityOf, otherStore } from '../../../cutover/mode.ts';
import { compareStamps } from '../../../db/records.ts';
import type { Context } from './model.ts';
import { ackedBits, withRecord } from './operations.ts';
import { CONTROL, DATA, draftOf, type World } from './world.ts';

export function repairStep(world: World, context: Context): void {
  const { env, cm, cp } = world;
  // While anything is marked or on its way, whatever differs may yet come to be alike.
  if (!env.mongoUp || !env.postgresUp || cm.epoch !== cp.epoch || world.t0 !== null || world.t1 !== null)
    return;
  const authority = authorityOf(cm.mode);
  const { transition, epoch } = world[CONTROL[authority]];
  if (transition !== null) return;
  if ([...world.dm, ...world.dp].some((stored) => stored?.pending === true)) return;
  const key = DATA[authority];
  const copyKey = DATA[otherStore(authority)];
  const acked = ackedBits(world);
  for (const [r, own] of world[key].entries()) {
    const copy = world[copyKey][r] ?? null;
    const differing = (own?.bits ?? 0) ^ (copy?.bits ?? 0);
    const isLost = (own === null || copy === null) && (context.scenario.records[r] ?? null) !== null;
    if (differing === 0 || isLost || (differing & (acked | (acked << 3))) !== 0) continue;
    const draft = draftOf(world);
    if (own === null) {
      draft[copyKey] = withRecord(world[copyKey], r, null);
    } else {
      const above = copy !== null && compareStamps(copy.stamp, own.stamp) > 0 ? copy.stamp : own.stamp;
      const stamp = { epoch, version: above.version + 1 };
      draft[key] = withRecord(world[key], r, { ...own, stamp, pending: true });
    }
    context.emit('repair a difference', 'verify', draft, 'recovery');
  }
}
