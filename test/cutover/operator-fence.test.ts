/** How long a fence may last, whoever is slow behind it, and that nobody fails who waits there. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { changeControl, readControl } from '../../cutover/control.ts';
import type { Engine } from '../../cutover/engine.ts';
import { move } from '../../cutover/operator/index.ts';
import type { OperatorContext } from '../../cutover/operator/types.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import { freshId, signUp } from '../contract/fixtures.ts';
import { createWorld, FORCED, type World } from './operator-world.ts';
import { announce } from './support/control.ts';

const ABORTED = { kind: 'aborted', after: { mode: 'shadow-read', epoch: 1, transition: null } };

let world: World;
let engine: Engine;
beforeEach(async () => {
  world = createWorld();
  const [first] = await world.start(2, 'shadow-read');
  if (first === undefined) throw new Error('two were started');
  engine = first;
  await world.clock.run(signUp(engine.repository));
  await world.clock.pass(3_000);
});
afterEach(() => world.stop());

const step = () => world.progress.at(-1)?.step;

/** One attempt only: a second one would hide what came of the first. */
const promote = (context: Partial<OperatorContext> = {}) =>
  world.clock.run(move({ ...world.context, ...context }, { ...FORCED, timeoutMs: 15_000 }));

/** A request every 100 ms, until it is told to end; then how each of them ended, and the longest wait. */
function traffic() {
  let going = true;
  const ended: { readonly ok: boolean; readonly ms: number }[] = [];
  const all: Promise<unknown>[] = [];
  const one = async (): Promise<void> => {
    const beganMs = world.clock.elapsedMs();
    const ok = await engine.repository.findUser(freshId()).then(
      () => true,
      () => false,
    );
    ended.push({ ok, ms: world.clock.elapsedMs() - beganMs });
  };
  void (async () => {
    while (going) {
      all.push(one());
      await world.clock.sleep(100);
    }
  })();
  return async () => {
    going = false;
    await world.clock.run(Promise.all(all));
    return {
      failed: ended.filter(({ ok }) => !ok).length,
      longestMs: Math.max(...ended.map(({ ms }) => ms)),
    };
  };
}

/** Delays this call of a store by so much, once, while the coordinator is at this step. */
function slow(at: string, name: string, ms: number) {
  const { before } = world.hooks.postgres;
  let isOver = false;
  world.hooks.postgres = {
    before: async (operation) => {
      await before?.(operation);
      if (isOver || step() !== at || operation.name !== name) return;
      isOver = true;
      await world.clock.sleep(ms);
    },
  };
}

describe('a fence that lasts for longer than fence-max-ms', () => {
  it('ends the attempt although each answer came in time, and no request fails', async () => {
    slow('drain-winner', 'countMarks', 1_800);
    slow('ask-winner', 'readControl', 1_800);
    const end = traffic();
    const result = await promote();
    expect(result.reasons[0]).toBe('attempt 1: fence over 2000 ms');
    expect(world.progress.filter((each) => each.step === 'lose')).toHaveLength(result.attempts - 1);
    const { failed, longestMs } = await end();
    expect(failed).toBe(0);
    // The second answer was under way when its time was over.
    expect(longestMs).toBeGreaterThan(3_500);
    expect(longestMs).toBeLessThan(4_000);
  });

  it('is counted from the asking, however late the answer', async () => {
    const { mongo } = world.stores;
    let isLate = false;
    const late = {
      ...mongo,
      books: {
        ...mongo.books,
        replaceControl: async (...args: Parameters<typeof mongo.books.replaceControl>) => {
          const replaced = await mongo.books.replaceControl(...args);
          if (step() === 'fence' && !isLate) {
            isLate = true;
            await world.clock.sleep(1_900);
          }
          return replaced;
        },
      },
    };
    slow('drain-winner', 'countMarks', 200);
    const result = await promote({ stores: { ...world.stores, mongo: late } });
    expect(isLate).toBe(true);
    expect(result.reasons[0]).toBe('attempt 1: fence over 2000 ms');
  });

  it('is asked about once more right before authority is given up', async () => {
    let stoodMs = 0;
    const now = () => {
      const { monotonicMs, wallMs } = world.clock.now();
      return { monotonicMs: monotonicMs + stoodMs, wallMs: wallMs + stoodMs };
    };
    const result = await promote({
      environment: { ...world.clock, now },
      report: (progress) => {
        world.progress.push(progress);
        // A process that stands still in that very moment.
        if (progress.step === 'lose') stoodMs = 30_000;
      },
    });
    expect(result).toMatchObject({ ...ABORTED, attempts: 1 });
    expect(result.reasons[0]).toBe('attempt 1: fence over 2000 ms');
    expect(world.progress.map((each) => each.step)).toContain('lose');
  });
});

describe('a coordinator that hangs behind the fence', () => {
  it('costs nobody a request: they wait for what is left of its deadline', async () => {
    const { mongo } = world.stores;
    let isCut = false;
    const timeout = async (outcome: 'none' | 'unknown'): Promise<never> => {
      await world.clock.sleep(2_000);
      throw new StoreUnavailable('mongo', outcome, 'timeout');
    };
    const cut = {
      ...mongo,
      books: {
        ...mongo.books,
        readControl: () => (isCut ? timeout('none') : mongo.books.readControl()),
        replaceControl: async (...args: Parameters<typeof mongo.books.replaceControl>) => {
          if (isCut) return timeout('unknown');
          const replaced = await mongo.books.replaceControl(...args);
          if (step() !== 'fence') return replaced;
          isCut = true;
          return timeout('unknown');
        },
      },
    };
    const end = traffic();
    const result = promote({ stores: { ...world.stores, mongo: cut } }).catch(() => null);
    await result;
    expect(isCut).toBe(true);
    expect((await world.clock.run(readControl(mongo)))?.transition).toBeNull();
    const { failed, longestMs } = await end();
    expect(failed).toBe(0);
    expect(longestMs).toBeGreaterThan(8_000);
    expect(longestMs).toBeLessThan(11_000);
  });
});

describe('a request that waits for want of a lease', () => {
  it('waits on when a fence closes meanwhile, as those do that came after it', async () => {
    const { mongo } = world.stores;
    world.hooks.mongo = {
      before: ({ name }) => {
        if (name === 'writeLease') throw new StoreUnavailable('mongo', 'none', 'timeout');
      },
    };
    await world.clock.pass(6_000);
    expect(engine.status().standing).toBe('no-lease');
    const ended = engine.repository.findUser(freshId()).catch((error: unknown) => error);
    const id = 'attempt';
    const transition = { id, target: 'postgres-primary', phase: 'announced', deadlineMs: 60_000 } as const;
    await world.clock.run(announce(mongo, transition));
    await world.clock.run(changeControl(mongo, { kind: 'fence', id }));
    world.mend('mongo');
    await world.clock.pass(10_000);
    expect(engine.status().standing).toBe('fenced');
    await world.clock.run(changeControl(mongo, { kind: 'abort', id }));
    expect(await world.clock.run(ended)).toBeNull();
  });
});
