/** A machine whose clock is wrong decides nothing by it. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inside, json } from './cli-program.ts';
import { createWorld, type World } from './operator-world.ts';

const HOUR_MS = 3_600_000;
let world: World;
beforeEach(async () => {
  world = createWorld();
  await world.start(1, 'postgres-primary');
  await world.stop();
});
afterEach(() => world.stop());

/** On a machine so far ahead. */
function asked(aheadMs: number, stores: World['context']['stores'], ...args: readonly string[]) {
  const { clock } = world;
  const environment = { ...clock, date: () => new Date(clock.date().getTime() + aheadMs) };
  const open = async () => ({ stores, configuredMode: null, close: async () => {} });
  return clock.run(inside([...args, '--json'], open, { environment }));
}

test.each([
  [25 * HOUR_MS, /cutover: this machine’s clock is 25 h ahead of the stores’: theirs counts\n/],
  [-25 * HOUR_MS, /cutover: this machine’s clock is 25 h behind the stores’: theirs counts\n/],
])('%i ms off, no soak is over before its time, and what is logged is logged now', async (ms, notice) => {
  await world.clock.pass(HOUR_MS);
  const nowMs = world.clock.date().getTime();
  const refused = await asked(ms, world.stores, 'promote');
  expect(refused.err).toMatch(notice);
  expect(json('move', refused)).toMatchObject({
    outcome: 'refused',
    failing: [{ name: 'soak', found: '60 min since the mode was entered' }],
  });
  const { events } = json('log', await asked(0, world.stores, 'log'));
  expect(events[0]?.kind).toBe('refused');
  expect(Math.abs(Date.parse(events[0]?.at ?? '') - nowMs)).toBeLessThan(60_000);
});

test('of two stores and this machine one that is wrong alone does not count', async () => {
  await world.clock.pass(HOUR_MS);
  const { mongo, postgres } = world.stores;
  const wrong = { ...mongo, clock: async () => new Date(0) };
  const soakOf = async (ended: ReturnType<typeof asked>) =>
    json('move', await ended).failing.find(({ name }) => name === 'soak')?.found;
  expect(await soakOf(asked(0, { mongo: wrong, postgres }, 'promote'))).toMatch(/^60 min /);
  expect(await soakOf(asked(-25 * HOUR_MS, { mongo: null, postgres }, 'promote'))).toMatch(/^60 min /);
});
