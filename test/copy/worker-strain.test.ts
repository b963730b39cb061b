/** A process that helps beside a service that is too slow for it, and for the copy that it helps. */
import { ObjectId } from 'bson';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { readLeases } from '../../cutover/control.ts';
import {
  type CopyScope,
  type Progress,
  resumeBackfill,
  runBackfill,
  runWorker,
} from '../../cutover/copy/index.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { clear, openBench, serve, started } from './support.ts';

const USERS = 400;
/** How many times as fast time goes by for a copy and its helper as for the service. */
const HASTE = 4;
/** So its leases are long. */
const HEEDLESS = {
  ...{ 'backfill-slow-p99-ms': 0, 'backfill-stop-p99-ms': 0 },
  ...{ 'heartbeat-ms': 100, 'lease-ms': 120_000 },
};
/** Slower than this it always is. */
const TOO_SLOW = { ...HEEDLESS, 'backfill-stop-p99-ms': 0.001 };
const BACKFILL = { from: 'mongo', onBad: 'rollback' } as const;

describe('a worker beside a service that is too slow', { timeout: 60_000 }, async () => {
  const bench = await openBench();
  const engine = serve(bench);
  const { environment } = bench;
  const hasty: CopyScope = {
    ...bench,
    environment: {
      ...environment,
      now() {
        const { monotonicMs, wallMs } = environment.now();
        return { monotonicMs: monotonicMs * HASTE, wallMs };
      },
      sleep: (ms, signal) => environment.sleep(ms / HASTE, signal),
    },
  };
  const set = async (settings: Record<string, number>) =>
    bench.setMode('dual-write', await bench.copyState(), settings);

  beforeAll(async () => {
    await bench.setMode('dual-write', undefined, TOO_SLOW);
    await started(engine);
  });
  beforeEach(async () => {
    await clear(bench);
    await bench.insert(
      'user',
      Array.from({ length: USERS }, () => legacyUser()),
    );
  });

  /** Reads without an end, so that the instance has a speed to tell of. */
  async function load(): Promise<void> {
    const ended = new AbortController();
    async function read(): Promise<void> {
      while (!ended.signal.aborted) await engine.repository.findUser(new ObjectId().toHexString());
    }
    const reading = read();
    onTestFinished(async () => {
      ended.abort();
      await reading;
    });
    await eventually(async () => (await readLeases(bench.stores.mongo)).some((row) => row.facts?.p99Ms));
  }

  interface Helper {
    readonly told: readonly Progress[];
    /** How often it has looked for a run to help with. */
    looks(): number;
    /** How often it has begun to read documents. */
    reads(): number;
  }

  function help(): Helper {
    const told: Progress[] = [];
    let [looks, reads] = [0, 0];
    const scope: CopyScope = {
      ...hasty,
      mongo: {
        ...bench.mongo,
        collection(entity) {
          reads += 1;
          return bench.mongo.collection(entity);
        },
      },
      postgres: {
        ...bench.postgres,
        query(text, values) {
          if (text.includes('from copy_runs as r')) looks += 1;
          return bench.postgres.query(text, values);
        },
      },
    };
    const ended = new AbortController();
    const report = (progress: Progress) => void told.push(progress);
    const worker = runWorker(scope, { signal: ended.signal, report });
    onTestFinished(async () => {
      ended.abort();
      await worker;
    });
    return { told, looks: () => looks, reads: () => reads };
  }

  const PATIENCE = { timeoutMs: 25_000 };
  const isCopied = async () =>
    (await bench.postgres.query("select from copy_ranges where state = 'open'")).length === 0;

  it('does nothing until it has found it fast enough', async () => {
    await bench.setMode('dual-write', undefined, TOO_SLOW);
    await load();
    const stopped = new AbortController();
    stopped.abort();
    const begun = { ...BACKFILL, runId: 'begun', signal: stopped.signal };
    await expect(runBackfill(bench, begun)).rejects.toMatchObject({ reason: 'stopped' });
    const helper = help();
    await eventually(() => helper.told.some(({ held }) => held?.reason === 'over'), PATIENCE);
    const looks = helper.looks();
    await eventually(() => helper.looks() >= looks + 3, PATIENCE);
    expect(helper.reads()).toBe(0);
    await set(HEEDLESS);
    await eventually(isCopied, PATIENCE);
    expect(helper.reads()).toBeGreaterThan(0);
    expect(await resumeBackfill(bench, 'begun')).toMatchObject({ counts: { inserted: USERS } });
  });

  it('leaves a copy alone that has stopped for it, until that is gone on with', async () => {
    await bench.setMode('dual-write', undefined, TOO_SLOW);
    await load();
    const over = { ...BACKFILL, runId: 'over', rate: 1 };
    await expect(runBackfill(hasty, over)).rejects.toMatchObject({ reason: 'overloaded' });
    expect(await isCopied()).toBe(false);
    await set(HEEDLESS);
    const helper = help();
    await eventually(() => helper.looks() >= 3, PATIENCE);
    expect(helper.reads()).toBe(0);
    const stopped = new AbortController();
    stopped.abort();
    const resumed = resumeBackfill(bench, 'over', { signal: stopped.signal });
    await expect(resumed).rejects.toMatchObject({ reason: 'stopped' });
    await eventually(isCopied, PATIENCE);
    expect(helper.reads()).toBeGreaterThan(0);
    expect(await resumeBackfill(bench, 'over')).toMatchObject({ counts: { inserted: USERS } });
  });
});
