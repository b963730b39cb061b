/** What ends a move before it is through: Ctrl-C, and `--timeout`. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readControl } from '../../cutover/control.ts';
import { log, type MoveRequest, move, setSetting } from '../../cutover/operator/index.ts';
import type { Transition } from '../../cutover/protocol/types.ts';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { STORES, type StoreName } from '../../db/errors.ts';
import { inside, json } from './cli-program.ts';
import { createWorld, type World } from './operator-world.ts';
import { announce } from './support/control.ts';

const FORCED = ['--force', '--reason', 'a test', '--json'];

let world: World;
let interrupted: AbortController;
beforeEach(() => {
  world = createWorld();
  interrupted = new AbortController();
});
afterEach(() => world.stop());

const cutover = (...args: string[]) =>
  inside(
    args,
    async () => ({
      stores: world.stores,
      configuredMode: null,
      // The world goes on.
      close: async () => {},
    }),
    { environment: world.clock, interrupted: interrupted.signal },
  );
const control = (store: StoreName) => world.clock.run(readControl(world.stores[store]));
const events = async () =>
  (await world.clock.run(log(world.context, { limit: 100 }))).lines.map(({ event }) => event);

/** Something in the stores that happens once, as soon as this is so. */
function once(store: StoreName, name: string, isSo: () => Promise<boolean> | boolean, what: () => void) {
  let happened = false;
  world.hooks[store] = {
    before: async (operation) => {
      if (operation.name !== name || happened || !(await isSo())) return;
      happened = true;
      what();
    },
  };
}

const isMode = async (store: StoreName, mode: string) =>
  (await readControl(world.stores[store]))?.mode === mode;
const isPhase = async (store: StoreName, phase: Transition['phase']) =>
  (await readControl(world.stores[store]))?.transition?.phase === phase;

describe('Ctrl-C', () => {
  it('between the two halves of a change of authority lets it come to its end, and tells it', async () => {
    await world.start(1, 'shadow-read');
    await world.stop();
    once(
      'postgres',
      'replaceControl',
      () => isMode('mongo', 'postgres-primary'),
      () => interrupted.abort(),
    );
    const ended = await world.clock.run(cutover('promote', ...FORCED));
    expect(interrupted.signal.aborted).toBe(true);
    expect(json('move', ended)).toMatchObject({
      outcome: 'done',
      after: { mode: 'postgres-primary', epoch: 2 },
    });
    expect(await control('postgres')).toMatchObject({ mode: 'postgres-primary', epoch: 2 });
    expect(await events()).toContainEqual(expect.objectContaining({ kind: 'moved', epoch: 2 }));
  });

  it('behind the fence opens it again, and says so', async () => {
    const [engine] = await world.start(1, 'shadow-read');
    once(
      'postgres',
      'countMarks',
      () => isPhase('mongo', 'fenced'),
      () => interrupted.abort(),
    );
    const ended = await world.clock.run(cutover('promote', ...FORCED));
    expect(json('interruptedMove', ended)).toMatchObject({
      outcome: 'aborted',
      after: { mode: 'shadow-read', epoch: 1, transition: null },
      reasons: ['attempt 1: it was interrupted'],
    });
    expect((await control('postgres'))?.transition).toBeNull();
    await world.clock.pass(1_000);
    expect(engine?.status()).toMatchObject({ standing: 'serving', effective: 'shadow-read' });
  });

  it('of an operator who only waits leaves the change of another alone', async () => {
    await world.start(1, 'shadow-read');
    const transition = {
      id: 'another',
      target: 'postgres-primary',
      phase: 'announced',
      deadlineMs: 9_000,
    } as const;
    await world.clock.run(announce(world.stores.mongo, transition));
    const waiting = cutover('promote', ...FORCED);
    await world.clock.pass(1_000);
    interrupted.abort();
    expect(json('interruptedMove', await world.clock.run(waiting))).toMatchObject({
      reasons: [expect.stringContaining('another change of authority')],
    });
    expect((await control('mongo'))?.transition).toEqual(transition);
  });

  it('while gates are judged comes at once, between two rungs too', async () => {
    await world.start(1, 'mongo-only');
    await world.clock.run(setSetting(world.context, 'lease-ms', '120000'));
    await world.clock.run(setSetting(world.context, 'heartbeat-ms', '60000'));
    await world.clock.pass(120_000);
    const judging = cutover('promote', '--no-foreign-writers', '--json', '--timeout', '600');
    await world.clock.pass(5_000);
    const atMs = world.clock.elapsedMs();
    interrupted.abort();
    expect(json('interruptedMove', await world.clock.run(judging))).toMatchObject({
      after: { mode: 'mongo-only' },
      reasons: ['it was interrupted'],
    });
    expect(world.clock.elapsedMs()).toBe(atMs);
    expect(await control('mongo')).toMatchObject({ mode: 'mongo-only' });
  });

  it('with stores that do not answer ends all the same, and says that nothing is known', async () => {
    await world.start(1, 'shadow-read');
    await world.stop();
    const silent = () => new Promise<void>(() => {});
    once(
      'postgres',
      'replaceControl',
      () => isMode('mongo', 'postgres-primary'),
      () => {
        world.hooks.mongo = { before: silent };
        world.hooks.postgres = { before: silent };
        interrupted.abort();
      },
    );
    const answer = json('interruptedMove', await world.clock.run(cutover('promote', ...FORCED)));
    expect(answer).toMatchObject({ exitCode: 4, after: null });
    expect(answer.reasons.join()).toContain('what state it left is not known');
  });
});

describe('--timeout', () => {
  const REQUEST: MoveRequest = {
    to: null,
    direction: 'promote',
    force: { reason: 'a test' },
    timeoutMs: 3_000,
    noForeignWriters: true,
  };
  const go = (request: Partial<MoveRequest>) =>
    world.clock.run(move(world.context, { ...REQUEST, ...request }));
  const slowBy = (ms: number) => {
    for (const store of STORES) {
      world.hooks[store] = { before: () => world.clock.sleep(ms) };
    }
  };

  it('begins nothing more once it is over, however slowly the stores answer', async () => {
    await world.start(1, 'mongo-only');
    await world.stop();
    slowBy(1_500);
    const startMs = world.clock.elapsedMs();
    const result = await go({ to: 'shadow-read' });
    expect(result).toMatchObject({
      kind: 'aborted',
      made: [],
      after: { mode: 'mongo-only' },
      reasons: ['the time for this verb was over'],
    });
    // What it had asked is answered first, and the state is looked at once more.
    expect(world.clock.elapsedMs() - startMs).toBeLessThan(3_000 + 6 * 1_500);
  });

  it('bounds the look at instances that beat seldom', async () => {
    await world.start(1, 'mongo-only');
    await world.clock.run(setSetting(world.context, 'lease-ms', '60000'));
    await world.clock.run(setSetting(world.context, 'heartbeat-ms', '20000'));
    await world.clock.pass(60_000);
    const startMs = world.clock.elapsedMs();
    expect(await go({ timeoutMs: 2_000 })).toMatchObject({ kind: 'aborted', after: { mode: 'mongo-only' } });
    expect(world.clock.elapsedMs() - startMs).toBe(2_000);
  });

  it('names who is behind when that is what it waited for', async () => {
    await world.start(1, 'mongo-only');
    const facts = { reaches: ['mongo', 'postgres'], mapping: DEFAULT_CODEC.digest };
    const body = { incarnation: 1, epoch: 1, revision: -1, ack: null, leaseMs: 5_000, facts };
    let counter = 0;
    world.hooks.mongo = {
      before: async ({ name }) => {
        counter += 1;
        if (name === 'readLeases')
          await world.stores.mongo.books.writeLease({ instance: 'slow', counter, body });
      },
    };
    const result = await go({ timeoutMs: 20_000 });
    expect(result).toMatchObject({
      kind: 'refused',
      failing: [{ name: 'instances', remedy: expect.stringContaining('slow') }],
    });
  });

  it.each(['announced', 'fenced'] as const)(
    'over while %s takes the attempt back at its next step',
    async (phase) => {
      await world.start(1, 'shadow-read');
      await world.stop();
      const phases: string[] = [];
      // The reply to the last look before it takes until the time is over.
      const step = { announced: 'wait-silent', fenced: 'await-announced' }[phase];
      let isOver = false;
      world.hooks.mongo = {
        before: async ({ name }) => {
          if (name !== 'readLeases' || isOver || world.progress.at(-1)?.step !== step) return;
          isOver = true;
          await world.clock.sleep(4_000);
        },
        after: async ({ name }) => {
          if (name !== 'replaceControl') return;
          const transition = (await readControl(world.stores.mongo))?.transition;
          if (transition) phases.push(transition.phase);
        },
      };
      const result = await go({ timeoutMs: 4_000 });
      expect(isOver).toBe(true);
      expect(result).toMatchObject({
        kind: 'aborted',
        after: { mode: 'shadow-read', epoch: 1, transition: null },
      });
      expect(phases).not.toContain(phase);
      expect((await control('postgres'))?.transition).toBeNull();
    },
  );
});
