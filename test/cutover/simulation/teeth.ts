/**
 * Rules taken out of the engine, one at a time. Each must be missed: the simulation finds out what it kept from happening. Those that
 * it does not come to within minutes are left to the search (`../search/mutations.ts`), which misses every one of them.
 */
import { RULES, type Rules } from '../../../cutover/protocol/rules.ts';

export const WITHOUT: Readonly<Record<string, Partial<Rules>>> = {
  'the fence': { fenceStops: () => false },
  'the second lease check': { checksAfterAnswer: false },
  'the read after the heartbeat': { heartbeatSteps: ['read', 'commit'] },
  'the lease counted from the send': { leaseStartsAt: (_sentAt, renewedAt) => renewedAt },
  'both clocks': { elapsedMs: (from, to) => to.monotonicMs - from.monotonicMs },
  'no self-resume': { stopRunsOut: (_transition, seenForMs) => seenForMs > 300 },
  'nothing in flight at a stop': { stopsWithNothingInFlight: false },
  'the higher epoch counts': { isLower: () => false },
  'transition ids': { sameTransition: () => true },
  'drained marks': { marksBlock: false },
  'loser first': { loserFirst: false },
  'the copy that was looked at': { isExpected: () => true },
};

/** The true rules but for that one. Throws for a name that is not in the list. */
export function without(name: string): Rules {
  const changed = WITHOUT[name];
  if (changed === undefined)
    throw new RangeError(`no such rule: ${name}; there are ${Object.keys(WITHOUT).join(', ')}`);
  return { ...RULES, ...changed };
}
