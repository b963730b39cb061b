/** Everything that can happen next. */
import { STORES } from '../../../db/errors.ts';
import { abortSteps, beginStep, coordinatorSteps } from './coordinators.ts';
import { faultSteps } from './faults.ts';
import {
  acknowledgeStep,
  beatStep,
  crashStep,
  finishStep,
  lookStep,
  pauseSteps,
  restartStep,
  tick,
} from './instances.ts';
import { mirrorSteps } from './mirror.ts';
import type { Context } from './model.ts';
import { operationSteps } from './operations.ts';
import { repairStep } from './repair.ts';
import type { World } from './world.ts';

/** One function for each thing that may do something next: apart, since each looks at a few parts of the world only. */
export function allSteps(context: Context): readonly ((world: World) => void)[] {
  const { pauses, suspends } = context.scenario;
  const steps: ((world: World) => void)[] = [];
  for (const i of [0, 1] as const) {
    for (const store of STORES) steps.push((world) => lookStep(world, i, store, context));
    for (const step of [restartStep, beatStep, acknowledgeStep, finishStep, crashStep, mirrorSteps]) {
      steps.push((world) => step(world, i, context));
    }
    steps.push((world) => beginStep(world, i, context));
    steps.push((world) => coordinatorSteps(world, i, context));
    if (pauses === 'paid') steps.push((world) => pauseSteps(world, i, context));
  }
  for (const j of [0, 1, 2] as const) steps.push((world) => operationSteps(world, j, context));
  for (const step of [abortSteps, faultSteps, repairStep]) steps.push((world) => step(world, context));
  if (pauses === 'paid') return steps;
  for (const frozen of suspends ? ([null, 0, 1] as const) : ([null] as const)) {
    steps.push((world) => {
      const later = tick(world, context, frozen, null);
      if (later !== null) context.emit(frozen === null ? 'tick' : 'tick while suspended', 'time', later);
    });
  }
  return steps;
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
  'repair a difference',
  // What goes wrong.
  ...['crash', 'restart', 'pause', 'store lost', 'store returns', 'lose message', 'lose reply'],
];
