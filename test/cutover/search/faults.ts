/** A store that goes away, with everything it holds, and comes back. Other faults are steps of whom they befall. */
import { type Context, mayFail } from './model.ts';
import { draftOf, type World } from './world.ts';

export function faultSteps(world: World, context: Context): void {
  const { env } = world;
  const faultsLeft = env.faultsLeft - 1;
  if (!env.mongoUp)
    context.emit('store returns', 'mongo', draftOf(world, { env: { ...env, mongoUp: true } }), 'recovery');
  if (!env.postgresUp) {
    context.emit(
      'store returns',
      'postgres',
      draftOf(world, { env: { ...env, postgresUp: true } }),
      'recovery',
    );
  }
  if (!mayFail(world, 'store', context)) return;
  if (env.mongoUp) {
    context.emit(
      'store lost',
      'mongo',
      draftOf(world, { env: { ...env, mongoUp: false, faultsLeft } }),
      'fault',
    );
  }
  if (env.postgresUp) {
    context.emit(
      'store lost',
      'postgres',
      draftOf(world, { env: { ...env, postgresUp: false, faultsLeft } }),
      'fault',
    );
  }
}
