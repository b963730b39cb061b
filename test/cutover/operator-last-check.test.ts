/** The last look before authority is given up: what it finds takes the change back. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readControl } from '../../cutover/control.ts';
import { log, move, setSetting } from '../../cutover/operator/index.ts';
import { signUp } from '../contract/fixtures.ts';
import { createWorld, REQUEST, type World } from './operator-world.ts';

let world: World;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.stop());

const set = (key: string, value: string) => world.clock.run(setSetting(world.context, key, value));
const go = () => world.clock.run(move(world.context, REQUEST));

async function toShadowRead() {
  const [engine] = await world.start(2, 'mongo-only');
  if (engine === undefined) throw new Error('two were started');
  await set('gate-primary-comparisons', '0');
  await world.clock.run(move(world.context, { ...REQUEST, to: 'shadow-read' }));
  const { user } = await world.clock.run(signUp(engine.repository));
  await world.clock.pass(10_000);
  const { postgres } = world.stores;
  const held = postgres.tables.user.get(user.id);
  if (held === undefined) throw new Error('it was mirrored');
  return { engine, postgres, user, held };
}

it('is taken back, and tried again, when the last check finds a difference', async () => {
  const { engine, postgres, held } = await toShadowRead();
  // Written just now, so it is among what is looked at.
  const fresh = `${Math.floor(world.clock.date().getTime() / 1_000).toString(16)}${'f'.repeat(16)}`;
  const stray = { ...held.record, id: fresh, email: 'stray@example.org', emailKey: 'stray@example.org' };
  postgres.tables.user.set(fresh, { record: stray, pendingAt: null });
  const plant = () => {
    const id = `${Math.floor(world.clock.date().getTime() / 1_000).toString(16)}${'f'.repeat(16)}`;
    postgres.tables.user.set(id, { record: { ...stray, id }, pendingAt: null });
  };
  world.hooks.postgres = {
    before: ({ name }) => {
      if (name === 'countMarks') plant();
    },
  };
  await set('flip-attempts', '2');
  const result = await go();
  expect(result).toMatchObject({
    kind: 'aborted',
    attempts: 3,
    after: { mode: 'shadow-read', transition: null },
  });
  expect(result.reasons.join('\n')).toContain('the last check found a difference');
  expect(result.reasons.join('\n')).toMatch(/user\/[0-9a-f]{24} is not the same/);
  await world.clock.pass(1_000);
  expect(engine.status()).toMatchObject({ standing: 'serving', effective: 'shadow-read' });
  await world.clock.run(signUp(engine.repository));
  const logged = (await world.clock.run(log(world.context, { limit: 100 }))).lines.map(({ event }) => event);
  expect(logged.filter(({ kind }) => kind === 'aborted')).toHaveLength(3);
});

it('looks at what was written since the change was announced, also where it was made long before', async () => {
  const { engine, postgres, user, held } = await toShadowRead();
  await set('flip-attempts', '1');
  const { userId, now } = { userId: user.id, now: world.clock.date() };
  let ended = 0;
  world.hooks.mongo = {
    async after({ name }) {
      const record = name === 'replaceControl' ? await readControl(world.stores.mongo) : null;
      if (record?.transition?.phase !== 'announced') return;
      ended += 1;
      void engine.repository.endSessions({ userId, now });
    },
  };
  // A mirror that says it has done what it has not.
  world.hooks.postgres = {
    before: ({ name }) => (name === 'apply' ? world.clock.sleep(100) : undefined),
    after({ name }) {
      if (name === 'apply') postgres.tables.user.set(user.id, held);
    },
  };
  const result = await go();
  expect(ended).toBe(2);
  expect(result).toMatchObject({ kind: 'aborted', attempts: 2, after: { mode: 'shadow-read' } });
  expect(result.reasons.join('\n')).toContain(`user/${user.id} is not the same`);
});
