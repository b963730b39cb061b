/** What a later version has added to a control record is kept by whatever this one writes over it. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { OUTPUTS } from '../../cutover/cli/schemas.ts';
import { type MoveRequest, move, readStatus, setSetting } from '../../cutover/operator/index.ts';
import { STORES, type StoreName } from '../../db/errors.ts';
import { createWorld, FORCED, type World } from './operator-world.ts';

let world: World;
beforeEach(async () => {
  world = createWorld();
  await world.start(1, 'shadow-read');
});
afterEach(() => world.stop());

const run = <T>(promise: Promise<T>) => world.clock.run(promise);
const go = (to: MoveRequest['to'], direction: MoveRequest['direction']) =>
  run(move(world.context, { ...FORCED, to, direction }));

async function bodyIn(store: StoreName): Promise<{ readonly copy: object }> {
  const entry = await run(world.stores[store].books.readControl());
  return entry?.body as unknown as { readonly copy: object };
}

beforeEach(async () => {
  const { books } = world.stores.mongo;
  const was = await run(books.readControl());
  if (was === null) throw new Error('there is a record');
  const { copy, ...body } = await bodyIn('mongo');
  const later = { ...body, copy: { ...copy, checkedBy: 'them' }, purpose: { of: 'it' } };
  await run(books.replaceControl(was, { ...was, revision: was.revision + 1, body: later }));
  await world.clock.pass(2_000);
});

it('by a setting, moves and changes of authority, in both stores', async () => {
  await run(setSetting(world.context, 'shadow-rate', '7'));
  const kept = { purpose: { of: 'it' }, copy: { kind: 'complete', checkedBy: 'them' } };
  expect(await bodyIn('mongo')).toMatchObject({ ...kept, settings: { 'shadow-rate': 7 } });
  for (const [to, direction] of [
    ['dual-write', 'rollback'],
    ['postgres-primary', 'promote'],
    ['shadow-read', 'rollback'],
  ] as const) {
    expect(await go(to, direction)).toMatchObject({ kind: 'done' });
    for (const store of STORES) {
      expect(await bodyIn(store)).toMatchObject({ ...kept, mode: to });
    }
  }
});

it('and does not break the schema of `status`', async () => {
  const shown = await run(readStatus(world.context, { watchMs: 0 }));
  const envelope = { verb: 'status', outcome: 'done', exitCode: 0 };
  expect(OUTPUTS.status.safeParse({ ...envelope, ...shown }).error?.issues).toBeUndefined();
});
