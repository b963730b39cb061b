/** How fast a copy goes, changed while it runs as an operator changes it. */
import { beforeEach, describe, expect, it } from 'vitest';
import { type CopyScope, type Progress, runBackfill, verify } from '../../cutover/copy/index.ts';
import { inside, json } from '../cutover/cli-program.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { clear, openBench } from './support.ts';

/** More than the slow rates below would move in the time that a test has. */
const USERS = 900;
/** It looks at its settings once a second, on a machine that may be busy. */
const PATIENCE = { timeoutMs: 25_000 };

describe('while it runs, `cutover set`', { timeout: 60_000 }, async () => {
  const bench = await openBench();
  const opened = { stores: bench.stores, urls: bench.urls, configuredMode: null, close: async () => {} };
  const set = async (name: string, value: string) =>
    json('set', await inside(['set', name, value, '--json'], async () => opened));

  beforeEach(async () => {
    await clear(bench);
    await bench.insert(
      'user',
      Array.from({ length: USERS }, () => legacyUser()),
    );
    await bench.setMode('dual-write');
  });

  /** A copy, what it tells, and how long it rests between two batches. */
  function begin() {
    const told: Progress[] = [];
    const rests: number[] = [];
    const environment: CopyScope['environment'] = {
      ...bench.environment,
      sleep(ms, signal) {
        rests.push(ms);
        return bench.environment.sleep(ms, signal);
      },
    };
    const report = (progress: Progress) => void told.push(progress);
    const copy = runBackfill({ ...bench, environment }, { from: 'mongo', onBad: 'rollback', report });
    // Awaited in the end; what goes wrong before is told by what is waited for.
    copy.catch(() => {});
    return { told, rests, copy, moved: () => told.at(-1)?.documents ?? 0 };
  }

  it('makes it slower and faster', async () => {
    await set('backfill-rate', '50');
    const { rests, copy, moved } = begin();
    await eventually(() => moved() > 0, PATIENCE);
    // A batch is of a quarter of a second.
    expect(moved()).toBeLessThan(200);
    await set('backfill-rate', '1');
    await eventually(() => rests.some((ms) => ms >= 1_000), PATIENCE);
    expect(moved()).toBeLessThan(USERS);
    await set('backfill-rate', '0');
    expect(await copy).toMatchObject({ outcome: 'complete', counts: { inserted: USERS } });
  });

  it('holds it up, and lets it go on where it was', async () => {
    await set('backfill-rate', '50');
    const { told, copy, moved } = begin();
    await eventually(() => moved() > 0, PATIENCE);
    await set('backfill-paused', 'true');
    const paused = () => told.filter(({ held }) => held?.reason === 'paused');
    await eventually(() => paused().length >= 4, PATIENCE);
    const [, first, ...others] = paused();
    expect(first?.documents).toBeLessThan(USERS);
    expect(others.map(({ documents }) => documents)).toEqual(others.map(() => first?.documents));
    await set('backfill-rate', '0');
    await set('backfill-paused', 'false');
    expect(await copy).toMatchObject({ outcome: 'complete', counts: { read: USERS, inserted: USERS } });
    expect(await verify(bench)).toMatchObject({ clean: true });
  });
});
