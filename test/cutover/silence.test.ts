/**
 * An instance is silent when its row was seen to stand still for a lease and a margin. Whoever stood still before the answer
 * came, or got none, has seen nothing of that time: the instance may be alive and write without marks.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromLease, readControl } from '../../cutover/control.ts';
import { assertOneMapping } from '../../cutover/copy/one-mapping.ts';
import { awaitInstances } from '../../cutover/copy/ready.ts';
import { move, planMove } from '../../cutover/operator/index.ts';
import { awaitAcknowledged } from '../../cutover/operator/instances.ts';
import type { ControlRecord } from '../../cutover/protocol/types.ts';
import { DEFAULT_TIMING } from '../../cutover/protocol/types.ts';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import { createWorld, REQUEST, type World } from './operator-world.ts';

/** Longer than a lease and a margin. */
const LONG_MS = 20_000;
const LATE = 'an instance that is behind';

let world: World;
let record: ControlRecord;
let ended = false;
let beating: Promise<void> = Promise.resolve();
beforeEach(async () => {
  world = createWorld();
  ended = false;
  await world.start(1, 'dual-write');
  const read = await run(readControl(world.stores.mongo));
  if (read === null) throw new Error('there is a record');
  record = read;
  beating = beat();
});
afterEach(async () => {
  ended = true;
  await run(beating);
  await world.stop();
});

const run = <T>(promise: Promise<T>): Promise<T> => world.clock.run(promise);

/** Its heartbeats, under the revision before this one and another mapping. */
async function beat(): Promise<void> {
  for (let counter = 1; !ended; counter += 1) {
    const said = { incarnation: 1, epoch: record.epoch, revision: record.revision - 1, ack: null };
    const row = { instance: LATE, counter, leaseMs: DEFAULT_TIMING.leaseMs, ...said };
    const facts = { reaches: [], p99Ms: null, mapping: 'another', host: null };
    await world.stores.mongo.books.writeLease(fromLease(row, facts));
    await world.clock.sleep(DEFAULT_TIMING.heartbeatMs);
  }
}

/** How its time goes by unseen, from the second look at the rows on. */
const UNSEEN = {
  'stood still before an answer came': () => {
    let looks = 0;
    world.hooks.mongo = {
      async after({ name }) {
        if (name === 'readLeases') looks += 1;
        if (name === 'readLeases' && looks === 2) await world.clock.sleep(LONG_MS);
      },
    };
  },
  'got no answer at first': () => {
    const fromMs = world.clock.elapsedMs();
    world.hooks.mongo = {
      before({ name }) {
        if (name === 'readLeases' && world.clock.elapsedMs() < fromMs + LONG_MS)
          throw new StoreUnavailable('mongo', 'none', 'timeout');
      },
    };
  },
  'got no answer for a while': () => {
    let looks = 0;
    const fromMs = world.clock.elapsedMs();
    world.hooks.mongo = {
      before({ name }) {
        if (name === 'readLeases') looks += 1;
        if (name === 'readLeases' && looks > 1 && world.clock.elapsedMs() < fromMs + LONG_MS)
          throw new StoreUnavailable('mongo', 'none', 'timeout');
      },
    };
  },
} as const;

describe.each(Object.keys(UNSEEN) as (keyof typeof UNSEEN)[])('whoever %s', (how) => {
  it('has not seen that every instance follows', async () => {
    UNSEEN[how]();
    const untilMs = world.clock.elapsedMs() + 2 * LONG_MS;
    const options = { untilMs, timing: DEFAULT_TIMING };
    const { mongo } = world.stores;
    const { behind } = await run(awaitAcknowledged(world.clock, mongo, record, options));
    expect(behind).toEqual([LATE]);
  });
});

it.each<readonly [string, () => Promise<unknown>]>([
  ['made', () => move(world.context, REQUEST)],
  ['planned', () => planMove(world.context, { to: REQUEST.to, direction: REQUEST.direction })],
])('no move is %s for want of an instance that could be looked for', async (_, go) => {
  world.hooks.mongo = {
    before({ name }) {
      if (name === 'readLeases') throw new StoreUnavailable('mongo', 'none', 'timeout');
    },
  };
  await expect(run(go())).rejects.toThrow(StoreUnavailable);
});

describe('whoever stood still before an answer came', () => {
  beforeEach(() => UNSEEN['stood still before an answer came']());

  it('begins no copy while an instance writes without marks', async () => {
    const waiting = awaitInstances(world.stores.mongo, record, world.clock);
    await expect(run(waiting)).rejects.toMatchObject({ reason: 'instances-behind' });
  });

  it('begins none beside an instance that reads documents otherwise', async () => {
    const scope = { mongo: { codec: DEFAULT_CODEC }, environment: world.clock };
    const waiting = assertOneMapping(scope as never, world.stores.mongo, record);
    await expect(run(waiting)).rejects.toMatchObject({ reason: 'other-mapping' });
  });
});
