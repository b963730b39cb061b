/** What is told of each operation: how long it took, in which store, in which mode, how it ended, and how long it waited. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MODE_FACTS, MODES, type Mode } from '../../cutover/mode.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { EmailTaken, type StoreName, StoreUnavailable } from '../../db/errors.ts';
import { freshId, newAccount, signUp } from '../contract/fixtures.ts';
import { createWorld, type World } from './operator-world.ts';

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly seconds: number;
}

let world: World;
let samples: Sample[];
/** Seconds. */
let pauses: number[];
beforeEach(() => {
  [samples, pauses] = [[], []];
  world = createWorld({
    ...SILENT,
    observe: (name, labels, seconds) => {
      if (name === 'cutover_operation_duration_seconds') samples.push({ labels, seconds });
      if (name === 'cutover_pause_duration_seconds') pauses.push(seconds);
    },
  });
});
afterEach(() => world.stop());

const run = <T>(promise: Promise<T>) => world.clock.run(promise);

async function startIn(mode: Mode) {
  const [engine] = await world.start(1, mode);
  if (engine === undefined) throw new Error('one was started');
  samples = [];
  return engine.repository;
}

const failing = (store: StoreName, operation: string, error: Error, afterMs = 0) => {
  world.hooks[store] = {
    before: async ({ name }) => {
      if (name !== operation) return;
      if (afterMs > 0) await world.clock.sleep(afterMs);
      throw error;
    },
  };
};

describe.each(MODES)('in %s', (mode) => {
  const store = MODE_FACTS[mode].authority;

  test('an operation that was carried out is `ok`', async () => {
    const repository = await startIn(mode);
    const { user } = await run(signUp(repository));
    await run(repository.findUser(user.id));
    for (const operation of ['createAccount', 'findUser']) {
      expect(samples.map(({ labels }) => labels)).toContainEqual({ operation, store, mode, outcome: 'ok' });
    }
  });

  test.each<[string, Error]>([
    ['unavailable', new StoreUnavailable(store, 'none', 'read-only')],
    ['unknown', new StoreUnavailable(store, 'unknown', 'connection-lost')],
    ['refused', new EmailTaken()],
    ['failed', new Error('a bug')],
  ])('a write that was not is `%s`', async (outcome, error) => {
    const repository = await startIn(mode);
    failing(store, 'createAccount', error, 300);
    await expect(run(repository.createAccount(newAccount()))).rejects.toThrow(error);
    expect(samples).toEqual([
      { labels: { operation: 'createAccount', store, mode, outcome }, seconds: expect.closeTo(0.3, 5) },
    ]);
  });

  test('a read whose reply was lost is `unavailable`: it left no trace', async () => {
    const repository = await startIn(mode);
    failing(store, 'findUser', new StoreUnavailable(store, 'unknown', 'read-only'));
    await expect(run(repository.findUser(freshId()))).rejects.toMatchObject({ outcome: 'none' });
    expect(samples.map(({ labels }) => labels)).toEqual([
      { operation: 'findUser', store, mode, outcome: 'unavailable' },
    ]);
  });
});

test('a wait in vain is told with its length, and so is one that was not', async () => {
  const repository = await startIn('postgres-only');
  world.cut('postgres');
  await world.clock.pass(6_000);
  await expect(run(repository.findUser(freshId()))).rejects.toMatchObject({ reason: 'no-lease' });
  expect(pauses).toEqual([expect.closeTo(3, 5)]);
  world.mend('postgres');
  await run(repository.findUser(freshId()));
  expect(pauses).toHaveLength(2);
  expect(pauses[1]).toBeLessThan(1);
});

describe('a read that PostgreSQL failed in postgres-primary', () => {
  const mode = 'postgres-primary';
  const operation = 'findUser';
  const timedOut = new StoreUnavailable('postgres', 'none', 'timeout');

  test('is two: one that PostgreSQL failed, and one that MongoDB answered, each with its own time', async () => {
    const repository = await startIn(mode);
    failing('postgres', operation, timedOut, 2_000);
    world.hooks.mongo = {
      before: async ({ name }) => {
        if (name === operation) await world.clock.sleep(100);
      },
    };
    expect(await run(repository.findUser(freshId()))).toBeNull();
    expect(samples).toContainEqual({
      labels: { operation, store: 'postgres', mode, outcome: 'unavailable' },
      seconds: expect.closeTo(2, 5),
    });
    expect(samples).toContainEqual({
      labels: { operation, store: 'mongo', mode, outcome: 'ok' },
      seconds: expect.closeTo(0.1, 5),
    });
    expect(samples).toHaveLength(2);
  });

  test('is two failures when MongoDB does not answer either', async () => {
    const repository = await startIn(mode);
    failing('postgres', operation, timedOut);
    failing('mongo', operation, new StoreUnavailable('mongo', 'none', 'connect'));
    await expect(run(repository.findUser(freshId()))).rejects.toBe(timedOut);
    expect(samples.map(({ labels }) => [labels['store'], labels['outcome']])).toEqual([
      ['postgres', 'unavailable'],
      ['mongo', 'unavailable'],
    ]);
  });
});
