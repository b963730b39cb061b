/** Everything that can happen next. */
import { abortSteps, coordinatorSteps } from './coordinators.ts';
import { faultSteps } from './faults.ts';
import { instanceSteps, pauseSteps, tick } from './instances.ts';
import { mirrorSteps } from './mirror.ts';
import type { Context } from './model.ts';
import { operationSteps } from './operations.ts';
import type { World } from './world.ts';

export function allSteps(world: World, context: Context): void {
  for (const i of [0, 1] as const) {
    instanceSteps(world, i, context);
    mirrorSteps(world, i, context);
    coordinatorSteps(world, i, context);
  }
  for (const j of [0, 1, 2] as const) operationSteps(world, j, context);
  abortSteps(world, context);
  faultSteps(world, context);
  if (context.scenario.pauses === 'paid') {
    pauseSteps(world, 0, context);
    pauseSteps(world, 1, context);
    return;
  }
  for (const frozen of context.scenario.suspends ? ([null, 0, 1] as const) : ([null] as const)) {
    const later = tick(world, context, frozen, null);
    if (later !== null) context.emit(frozen === null ? 'tick' : 'tick while suspended', 'time', later);
  }
}

/** Every step of the protocol; a search that never takes one has not looked at it. */
export const STEPS: readonly string[] = [
  // The coordinator's.
  ...['announce', 'note', 'fence', 'watch rows', 'all stopped or silent', 'no marks in the loser'],
  ...['no marks in the winner', 'the winner answers', 'lose', 'gain', 'gain (already)', 'abort'],
  'lose the reply to a change',
  // An instance's.
  ...['send heartbeat', 'heartbeat commits', 'read after heartbeat', 'heartbeat answered', 'read control'],
  ...['acknowledge stop', 'finish forward', 'time passes'],
  // An operation's.
  ...['admit', 'read record', 'commit', 'conflict', 'refuse', 'refuse stale', 'key taken', 'go on'],
  'acknowledge',
  // The mirror's.
  ...['read marks', 'apply', 'clear marks', 'find orphan', 'touch', 'move aside', 'clash: holder first'],
  // What goes wrong.
  ...['crash', 'restart', 'pause', 'store lost', 'store returns', 'lose message', 'lose reply'],
];
