/** Two instances at one cycle of clashes: what one has put in place, the other leaves alone. */
import { expect, test } from 'vitest';
import { mirrorBatch } from '../../cutover/mirror/batch.ts';
import type { Pass } from '../../cutover/mirror/pass.ts';
import type { Mode } from '../../cutover/mode.ts';
import { next, userAt } from '../contract/replica/records.ts';
import { disagreements, mirrorWorld, passOf, plant } from './support/mirror.ts';

/** Until nothing is left to do about them; who is left after so many turns is not done. */
async function finish(pass: Pass, ids: readonly string[]): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await mirrorBatch(pass, 'user', ids);
}

const MODES: readonly Mode[] = ['dual-write', 'postgres-primary'];
/** Before each look of one at the mirror, the other gets everything done. */
const CASES = MODES.flatMap((mode) => [1, 2].map((look) => ({ mode, look })));

test.each(CASES)('two users exchange addresses, in $mode, before look $look', async ({ mode, look }) => {
  const world = mirrorWorld(mode);
  const [ada, bob] = ['a@example.org', 'b@example.org'].map((email) => userAt([1, 1], { email }));
  if (ada === undefined || bob === undefined) throw new Error('no users');
  const ids = [ada.id, bob.id];
  for (const each of [ada, bob]) plant(world.copy, 'user', each);
  const key = ({ email, emailKey }: typeof ada) => ({ email, emailKey });
  plant(world.authority, 'user', next(ada, [1, 2], key(bob)), world.clock.date());
  plant(world.authority, 'user', next(bob, [1, 2], key(ada)), world.clock.date());

  let looks = 0;
  world.hooks.copy = {
    async before({ name }) {
      if (name !== 'read') return;
      looks += 1;
      if (looks === look) await finish(passOf(world), ids);
    },
  };
  await mirrorBatch(passOf(world), 'user', [ada.id]);
  await finish(passOf(world), ids);
  expect(looks).toBeGreaterThanOrEqual(look);
  expect(disagreements(world)).toEqual([]);
});
