/** The coordinator dies at each of its steps; instances, a successor or the operator's abort take over. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readControl } from '../../cutover/control.ts';
import {
  abort,
  log,
  type MoveRequest,
  move,
  readSituation,
  readStatus,
  setSetting,
} from '../../cutover/operator/index.ts';
import { unfinishedChange } from '../../cutover/protocol/follow.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import { signUp } from '../contract/fixtures.ts';
import { createWorld, REQUEST, type World } from './operator-world.ts';

const BEFORE_LOSS = [
  'canary',
  'wait-silent',
  'announce',
  'note',
  'await-announced',
  'fence',
  'await-stopped',
  'drain-loser',
  'drain-winner',
  'last-check',
  'ask-winner',
  'lose',
] as const;
class Died extends Error {}

let world: World;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.stop());

const go = (request: Partial<MoveRequest> = {}) =>
  world.clock.run(move(world.context, { ...REQUEST, ...request }));

async function toShadowRead(instances: number) {
  const engines = await world.start(Math.max(1, instances), 'mongo-only');
  await world.clock.run(setSetting(world.context, 'gate-primary-comparisons', '0'));
  expect(await go({ to: 'shadow-read' })).toMatchObject({ kind: 'done' });
  if (instances === 0) await world.stop();
  return engines;
}

/** A move whose coordinator is gone as soon as it comes to this step. */
async function dieAt(step: string): Promise<void> {
  const report = (progress: { readonly step: string }) => {
    if (progress.step === step) throw new Died(step);
  };
  const dying = world.clock.run(move({ ...world.context, report }, REQUEST));
  await expect(dying).rejects.toBeInstanceOf(Died);
}

const situation = () => world.clock.run(readSituation(world.context));

describe('a coordinator that died before the loss', () => {
  it.each(BEFORE_LOSS)('at %s is forgotten by the instances past its deadline', async (step) => {
    const [engine] = await toShadowRead(2);
    await dieAt(step);
    await world.clock.pass(13_000);
    const status = await world.clock.run(readStatus(world.context, { watchMs: 1_000 }));
    expect(status).toMatchObject({ mode: 'shadow-read', epoch: 1, transition: null });
    expect(status.instances.map(({ state }) => state)).toEqual(['current', 'current']);
    if (engine === undefined) throw new Error('two were started');
    await world.clock.run(signUp(engine.repository));
  });

  it.each(BEFORE_LOSS)('at %s is taken over by a successor, with every instance down', async (step) => {
    await toShadowRead(0);
    await dieAt(step);
    expect(await go()).toMatchObject({ kind: 'done', after: { mode: 'postgres-primary', epoch: 2 } });
    expect(await go({ direction: 'rollback' })).toMatchObject({ kind: 'done', after: { epoch: 3 } });
  });

  it.each(BEFORE_LOSS)('at %s is taken back by an operator’s word, at once', async (step) => {
    await toShadowRead(0);
    await dieAt(step);
    await world.clock.pass(1_500);
    const stands = (await situation()).record?.transition !== null;
    const before = world.clock.elapsedMs();
    const result = await world.clock.run(abort(world.context));
    expect(result).toMatchObject({
      kind: stands ? 'done' : 'refused',
      after: { transition: null, mode: 'shadow-read' },
    });
    // Whoever was held up was so since the attempt began, at most.
    const isFenced = result.before.transition?.phase === 'fenced';
    expect(result.longestPauseMs === null).toBe(!isFenced);
    if (isFenced) expect(result.longestPauseMs).toBeGreaterThanOrEqual(1_500);
    expect(result.longestPauseMs ?? 0).toBeLessThan(world.clock.elapsedMs());
    expect(world.clock.elapsedMs() - before).toBeLessThan(1_000);
    expect((await world.clock.run(readControl(world.stores.postgres)))?.transition ?? null).toBeNull();
  });
});

describe('a coordinator that died after the loss', () => {
  it('leaves a change that any instance finishes', async () => {
    const [engine] = await toShadowRead(2);
    await dieAt('gain');
    await world.clock.pass(2_000);
    expect(engine?.status()).toMatchObject({ effective: 'postgres-primary', epoch: 2, standing: 'serving' });
  });

  it('leaves a change that its successor finishes, and makes no other', async () => {
    await toShadowRead(0);
    await dieAt('gain');
    expect(unfinishedChange((await situation()).following)).not.toBeNull();
    const result = await go();
    expect(result).toMatchObject({
      kind: 'done',
      made: [{ from: 'shadow-read', to: 'postgres-primary' }],
      after: { mode: 'postgres-primary', epoch: 2 },
    });
  });

  it('leaves one that the way back begins with, too', async () => {
    await toShadowRead(0);
    await dieAt('gain');
    const result = await go({ direction: 'rollback', to: 'dual-write' });
    expect(result).toMatchObject({ kind: 'done', after: { mode: 'dual-write', epoch: 3 } });
  });

  it('cannot be taken back', async () => {
    await toShadowRead(0);
    await dieAt('gain');
    const result = await world.clock.run(abort(world.context));
    expect(result).toMatchObject({ kind: 'refused', before: { mode: 'postgres-primary' } });
    expect(result.reasons.join()).toContain('only goes forward');
    const { lines } = await world.clock.run(log(world.context, { limit: 1 }));
    expect(lines).toMatchObject([{ event: { kind: 'refused', details: { verb: 'abort' } } }]);
  });

  it('has its entry in the log all the same', async () => {
    await toShadowRead(2);
    await dieAt('gain');
    await world.clock.pass(2_000);
    await go({ to: 'postgres-primary' });
    const entries = await world.clock.run(log(world.context, { limit: 100 }));
    expect(entries.lines.map(({ event }) => event)).toContainEqual(
      expect.objectContaining({ kind: 'moved', mode: 'postgres-primary', epoch: 2 }),
    );
  });
});

describe('an abort while the coordinator lives', () => {
  it('ends that attempt; the next one is another', async () => {
    await toShadowRead(2);
    const aborts: Promise<unknown>[] = [];
    const report = (progress: { readonly step: string }) => {
      if (progress.step === 'drain-loser' && aborts.length === 0) aborts.push(abort(world.context));
    };
    const result = await world.clock.run(move({ ...world.context, report }, REQUEST));
    expect(await Promise.all(aborts)).toMatchObject([{ kind: 'done' }]);
    expect(result).toMatchObject({
      kind: 'done',
      attempts: 2,
      after: { mode: 'postgres-primary', epoch: 2 },
    });
  });
});

describe('a coordinator that does not hear that it has given authority up', () => {
  it('leaves what another has made of it since: the change finished, and taken back', async () => {
    await toShadowRead(0);
    let isLosing = false;
    const report = ({ step }: { readonly step: string }) => {
      isLosing ||= step === 'lose';
    };
    world.hooks.mongo = {
      async after({ name }) {
        if (!isLosing || name !== 'replaceControl') return;
        world.hooks.mongo = {};
        for (const to of ['postgres-primary', 'shadow-read'] as const) {
          const direction = to === 'shadow-read' ? 'rollback' : 'promote';
          expect(await move(world.context, { ...REQUEST, to, direction })).toMatchObject({ kind: 'done' });
        }
        throw new StoreUnavailable('mongo', 'unknown', 'timeout');
      },
    };
    const result = await world.clock.run(move({ ...world.context, report }, REQUEST));
    expect(result).toMatchObject({ kind: 'aborted', after: { mode: 'shadow-read', epoch: 3 } });
    expect(result.reasons.join()).toContain('under epoch 3');
  });
});

describe('a store that falls silent', () => {
  it('as the winner, behind the fence, has the attempt taken back in time', async () => {
    const [engine] = await toShadowRead(2);
    await world.clock.run(setSetting(world.context, 'flip-attempts', '1'));
    const report = (progress: { readonly step: string }) => {
      if (progress.step === 'drain-winner') world.cut('postgres');
    };
    const result = await world.clock.run(move({ ...world.context, report }, REQUEST));
    expect(result).toMatchObject({ kind: 'aborted', after: { mode: 'shadow-read', transition: null } });
    await world.clock.pass(1_000);
    expect(engine?.status()).toMatchObject({ standing: 'serving', effective: 'shadow-read' });
  });

  it('as the loser, asked to give up, leaves an outcome that is not known, and can be found out', async () => {
    await toShadowRead(0);
    const report = (progress: { readonly step: string }) => {
      if (progress.step === 'lose') world.cut('mongo');
    };
    const result = await world.clock.run(
      move({ ...world.context, report }, { ...REQUEST, timeoutMs: 20_000 }),
    );
    expect(result).toMatchObject({ kind: 'aborted', after: null });
    expect(result.reasons.join()).toContain('fell silent while authority was moving');
    world.mend('mongo');
    expect(await go()).toMatchObject({ kind: 'done', after: { mode: 'postgres-primary' } });
  });
});
