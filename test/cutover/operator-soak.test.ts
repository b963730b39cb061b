/** How long a mode has stood undisturbed, as the gate to `postgres-only` sees it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Event } from '../../cutover/event-log.ts';
import { NOTES } from '../../cutover/notes.ts';
import { type MoveRequest, move, readStatus, setSetting } from '../../cutover/operator/index.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import { createWorld, REQUEST, type World } from './operator-world.ts';

const HOUR_MS = 3_600_000;
let world: World;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.stop());

const run = <T>(promise: Promise<T>) => world.clock.run(promise);
const go = (request: Partial<MoveRequest> = {}) => run(move(world.context, { ...REQUEST, ...request }));

/** A new system in `postgres-primary`; nothing of it runs while hours pass. */
async function enter(): Promise<void> {
  await world.start(1, 'postgres-primary');
  await world.stop();
}

/** What the gate found: how long, and since what. */
async function soak(): Promise<string | undefined> {
  const { next } = await run(readStatus(world.context, { watchMs: 1_500 }));
  const gates = next.find(({ to }) => to === 'postgres-only')?.gates;
  return gates?.find(({ name }) => name === 'soak')?.found;
}

async function add(kind: Event['kind'], mode: Event['mode'], details: Event['details'] = {}): Promise<void> {
  const { stores, clock } = world;
  const body = { kind, mode, epoch: 1, revision: 9, details: { ...details } };
  await run(stores.postgres.books.log({ at: clock.date(), id: clock.newId(), body }));
}

describe('the soak', () => {
  it('counts from when the mode was entered, however often a move was refused since', async () => {
    await enter();
    await world.clock.pass(16 * HOUR_MS);
    for (let n = 0; n < 2_100; n += 1) await add('refused', 'postgres-primary');
    expect(await go()).toMatchObject({ kind: 'refused', failing: [{ name: 'soak' }] });
    expect(await soak()).toBe('16 h since the mode was entered');
  });

  it('counts from the entry that was noted late only where there is no other', async () => {
    await enter();
    await world.clock.pass(2 * HOUR_MS);
    await add('moved', 'postgres-primary', { notedLate: true });
    await world.clock.pass(HOUR_MS);
    expect(await soak()).toBe('3 h since the mode was entered');
    // It was left, and entered again by a coordinator that died before it could say so.
    await add('moved', 'postgres-only');
    expect(await soak()).toBe('not known since when');
    await go();
    await world.clock.pass(HOUR_MS);
    await go();
    expect(await soak()).toBe('60 min since the mode was entered');
  });

  it('of a mode that was entered again counts from the last time', async () => {
    await enter();
    await run(setSetting(world.context, 'gate-only-soak-ms', '0'));
    await world.clock.pass(5 * HOUR_MS);
    expect(await go()).toMatchObject({ kind: 'done' });
    expect(await go({ direction: 'rollback' })).toMatchObject({ kind: 'done' });
    await world.clock.pass(HOUR_MS);
    expect(await soak()).toMatch(/^60(\.\d)? min since the mode was entered$/);
  });

  it.each([
    ['a clash that was resolved meanwhile', NOTES.clash, 'a conflict'],
    ['a read that fell back', NOTES.fallback, 'a fallback'],
    ['a lease that lapsed', NOTES.lapse, 'an instance lost its lease'],
  ])('begins again with %s', async (_, kind, what) => {
    await enter();
    await world.clock.pass(5 * HOUR_MS);
    await run(world.stores.postgres.books.putNote(kind, '2026-03-01T17', {}, world.clock.date()));
    await world.clock.pass(2 * HOUR_MS);
    expect(await soak()).toBe(`2 h since ${what}`);
  });

  it('is not known while the notes of what disturbed it cannot be read', async () => {
    await enter();
    await world.clock.pass(48 * HOUR_MS);
    await run(world.stores.postgres.books.putNote(NOTES.lapse, '2026-03-03T12', {}, world.clock.date()));
    world.hooks.postgres = {
      before: ({ name }) => {
        if (name === 'notes') throw new StoreUnavailable('postgres', 'none', 'timeout');
      },
    };
    expect(await go()).toMatchObject({ kind: 'refused', failing: [{ name: 'soak' }] });
    expect(await soak()).toBe('not known since when');
  });

  it('begins again when a change of authority was taken back', async () => {
    await enter();
    await world.clock.pass(5 * HOUR_MS);
    await add('aborted', 'postgres-primary');
    await world.clock.pass(2 * HOUR_MS);
    expect(await soak()).toBe('2 h since a change of authority was aborted');
  });
});
