/** What must hold in every state, and what counts as having arrived. */
import { authorityOf, otherStore } from '../../../cutover/mode.ts';
import { decideAdmission } from '../../../cutover/protocol/admission.ts';
import type { ControlRecord } from '../../../cutover/protocol/types.ts';
import type { StoreName } from '../../../db/errors.ts';
import { NOW, type Terms } from './model.ts';
import { ackedBits, bitsOf } from './operations.ts';
import { CONTROL, DATA, INSTANCES, isUp, OPERATIONS, type World } from './world.ts';

/** The record of the highest epoch: what has been decided, whoever knows of it. */
function newest(world: World): ControlRecord {
  return world.cp.epoch > world.cm.epoch ? world.cp : world.cm;
}

/** Why this state must not be; null when it may. */
export function violation(world: World, context: Terms): string | null {
  if (world.env.bad !== null) return world.env.bad;
  const record = newest(world);
  const authority = authorityOf(record.mode);
  let acting: { readonly epoch: number; readonly store: StoreName } | null = null;
  for (const key of INSTANCES) {
    const part = world[key];
    if (!part.alive) continue;
    const admission = decideAdmission(part.state, NOW, context.rules, Number.MAX_SAFE_INTEGER);
    if (admission.kind !== 'admit') continue;
    const { epoch, store } = admission.ticket;
    if (acting !== null && (acting.epoch !== epoch || acting.store !== store)) {
      return 'two instances act under different authorities at the same time';
    }
    if (epoch !== record.epoch || store !== authority || world[CONTROL[store]].epoch !== epoch) {
      return 'an instance acts for a store that is not the authority';
    }
    acting = { epoch, store };
  }
  const acked = ackedBits(world);
  if (acked === 0) return null;
  const held = bitsOf(world[DATA[authority]]);
  const all = held.reduce<number>((sum, bits) => sum | (bits ?? 0), 0);
  if ((acked & ~all) !== 0) return 'something acknowledged is not in the authority';
  return context.scenario.violated(acked, held, (j) => {
    const key = OPERATIONS[j];
    return key !== undefined && world[key].phase === 'acked' ? world[key].after : 0;
  });
}

function serves(world: World, context: Terms): boolean {
  return INSTANCES.every((key) => {
    const part = world[key];
    if (!part.alive) return !context.scenario.restarts;
    return decideAdmission(part.state, NOW, context.rules).kind === 'admit';
  });
}

/** At rest and whole: both stores up and alike, nothing marked or on its way, every instance serving. */
export function isAtRest(world: World, context: Terms): boolean {
  if (!world.env.mongoUp || !world.env.postgresUp || world.cm.epoch !== world.cp.epoch) return false;
  if (world.t0 !== null || world.t1 !== null) return false;
  const record = world[CONTROL[authorityOf(world.cm.mode)]];
  if (record.transition !== null) return false;
  for (const [r, stored] of world.dm.entries()) {
    const other = world.dp[r] ?? null;
    if (stored?.pending === true || other?.pending === true || stored?.bits !== other?.bits) return false;
  }
  const under = OPERATIONS.some((key) => !['todo', 'acked', 'over'].includes(world[key].phase));
  return !under && serves(world, context);
}

/**
 * With the mirror down: whether the service could be expected to find its way to serving without it. It could not in
 * the middle of an authority change (both are asked immediately before), or with the authority itself down.
 */
export function mirrorIsDown(world: World): boolean {
  const authority = authorityOf(newest(world).mode);
  const own = world[CONTROL[authority]];
  return isUp(world, authority) && !isUp(world, otherStore(authority)) && own.epoch === newest(world).epoch;
}

/** Every instance serves, no attempt stands in the way: all that can be had while the mirror is down. */
export function servesAlone(world: World, context: Terms): boolean {
  const record = newest(world);
  return world[CONTROL[authorityOf(record.mode)]].transition === null && serves(world, context);
}
