/** No verb that copies, undoes, repairs or restores ever writes over the authority, not even when that moves under its hands. */
import { beforeEach, describe, expect, it } from 'vitest';
import { readControl } from '../../cutover/control.ts';
import {
  type CopyScope,
  repair,
  resumeBackfill,
  retryQuarantine,
  rollbackBackfill,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import type { Mode } from '../../cutover/mode.ts';
import { createSnapshot } from '../../cutover/snapshot/create.ts';
import { restoreSnapshot } from '../../cutover/snapshot/restore.ts';
import type { StoreName } from '../../db/errors.ts';
import { ENTITIES } from '../../db/records.ts';
import { userAt } from '../contract/replica/records.ts';
import { newFolder } from '../cutover/snapshot-support.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { clear, openBench } from './support.ts';

const COMPLETE = { kind: 'complete', run: 'r', completedAtMs: 1, verifiedAtMs: null } as const;

describe('a target that is the authority', { timeout: 60_000 }, async () => {
  const bench = await openBench();
  const { stores, urls } = bench;
  const dir = newFolder();
  const context = { ...bench, urls, report: () => {}, env: { PATH: '/nowhere' } };
  beforeEach(() => clear(bench));

  const forwards = { from: 'mongo', onBad: 'quarantine', runId: 'run' } as const;
  const backwards = { from: 'postgres', onBad: 'quarantine', runId: 'run' } as const;
  const contents = {
    mongo: async () => Promise.all(ENTITIES.map((entity) => bench.documents(entity))),
    postgres: () => bench.rows(),
  };
  const putRows = (count: number) =>
    stores.postgres.replica.apply(
      'user',
      Array.from({ length: count }, () => userAt([1, 1])),
      { epoch: 1_000, expiredBefore: new Date(0) },
    );
  const putDocuments = (count: number) =>
    bench.insert(
      'user',
      Array.from({ length: count }, () => legacyUser()),
    );
  const stateRun = (state: string) => bench.postgres.query('update copy_runs set state = $1', [state]);
  const restore = (into: StoreName) => async () => {
    const { name } = await createSnapshot(context, { dir });
    const confirm = new URL(urls[into]).pathname.slice(1);
    return restoreSnapshot(context, { dir, name, into, url: urls[into], replace: { confirm } });
  };

  /** What may be there before, in which mode it is tried, and whose content must not change. */
  const verbs: readonly [string, Mode, StoreName, () => Promise<void>, () => Promise<unknown>][] = [
    ['backfill', 'postgres-primary', 'postgres', async () => {}, () => runBackfill(bench, forwards)],
    ['backfill back', 'dual-write', 'mongo', async () => {}, () => runBackfill(bench, backwards)],
    [
      'backfill resume',
      'postgres-primary',
      'postgres',
      async () => {
        await bench.setMode('dual-write');
        await runBackfill(bench, forwards);
        await stateRun('merging');
      },
      () => resumeBackfill(bench, 'run'),
    ],
    [
      'backfill resume, back',
      'dual-write',
      'mongo',
      async () => {
        await bench.setMode('postgres-primary');
        await runBackfill(bench, backwards);
        await stateRun('merging');
      },
      () => resumeBackfill(bench, 'run'),
    ],
    [
      'backfill rollback',
      'postgres-primary',
      'postgres',
      async () => {
        await bench.setMode('dual-write');
        await runBackfill(bench, forwards);
      },
      () => rollbackBackfill(bench, 'run'),
    ],
    [
      'backfill rollback, back',
      'dual-write',
      'mongo',
      async () => {
        await bench.setMode('postgres-primary');
        await runBackfill(bench, backwards);
      },
      () => rollbackBackfill(bench, 'run'),
    ],
    ['quarantine retry', 'postgres-primary', 'postgres', async () => {}, () => retryQuarantine(bench)],
    ['snapshot restore, mongo', 'dual-write', 'mongo', async () => {}, restore('mongo')],
    ['snapshot restore, postgres', 'postgres-primary', 'postgres', async () => {}, restore('postgres')],
  ];

  it.each(verbs)('%s in %s leaves %s as it is', async (_verb, mode, target, prepare, run) => {
    await putDocuments(5);
    await putRows(5);
    await prepare();
    await bench.setMode(mode, COMPLETE);
    const before = await contents[target]();
    const reason = expect.stringMatching(/^(not-authority|in-use)$/);
    await expect(run()).rejects.toMatchObject({ reason });
    expect(await contents[target]()).toEqual(before);
  });

  /** The same stores, where authority moves to `mode` right before the first call that `when` picks out. */
  function movingBefore(mode: Mode, when: (text: string) => boolean, seen: { before: unknown }): CopyScope {
    const target: StoreName = mode.startsWith('postgres') ? 'postgres' : 'mongo';
    let moving: Promise<void> | null = null;
    async function moveAuthority(): Promise<void> {
      await bench.setMode(mode, COMPLETE);
      seen.before = await contents[target]();
    }
    /** Other jobs of the verb wait for it too: what they had begun before would be seen as written after. */
    async function move(text: string): Promise<void> {
      if (when(text)) moving ??= moveAuthority();
      await moving;
    }
    const spied = (name: StoreName): CopyScope['stores']['mongo'] => {
      const { replica } = stores[name];
      return {
        ...stores[name],
        replica: {
          ...replica,
          async apply(entity, records, under) {
            await move(`apply ${name}`);
            return replica.apply(entity, records, under);
          },
          async read(entity, ids) {
            const looked = await replica.read(entity, ids);
            await move(`read ${name}`);
            return looked;
          },
        },
      };
    };
    return {
      ...bench,
      stores: { mongo: spied('mongo'), postgres: spied('postgres') },
      postgres: {
        ...bench.postgres,
        async query(text, values) {
          const rows = await bench.postgres.query<never>(text, values);
          await move(`${text} ${JSON.stringify(values ?? [])}`);
          return rows;
        },
      },
    };
  }

  const atState = (state: string) => (text: string) => /copy_runs/.test(text) && text.includes(`"${state}"`);
  const moves: readonly [
    string,
    Mode,
    Mode,
    (text: string) => boolean,
    (scope: CopyScope) => Promise<unknown>,
  ][] = [
    [
      'backfill',
      'dual-write',
      'postgres-primary',
      atState('merging'),
      (scope) => runBackfill(scope, forwards),
    ],
    [
      'backfill back',
      'postgres-primary',
      'dual-write',
      (text) => text === 'apply mongo',
      (scope) => runBackfill(scope, backwards),
    ],
    [
      'backfill rollback',
      'dual-write',
      'postgres-primary',
      atState('undoing'),
      async (scope) => {
        await runBackfill(bench, forwards);
        return rollbackBackfill(scope, 'run');
      },
    ],
    [
      'backfill rollback, back',
      'postgres-primary',
      'dual-write',
      atState('undoing'),
      async (scope) => {
        await runBackfill(bench, backwards);
        return rollbackBackfill(scope, 'run');
      },
    ],
    [
      'repair',
      'dual-write',
      'postgres-primary',
      (text) => text.includes('copy_findings'),
      async (scope) => {
        await verify(bench);
        return repair(scope);
      },
    ],
  ];

  it.each(moves)('%s stops when authority moves from %s to %s', async (_verb, from, to, when, run) => {
    await putDocuments(5);
    await putRows(5);
    await bench.setMode(from, COMPLETE);
    const seen: { before: unknown } = { before: null };
    await expect(run(movingBefore(to, when, seen))).rejects.toThrow(/authority|epoch/);
    const target: StoreName = to.startsWith('postgres') ? 'postgres' : 'mongo';
    expect(seen.before).not.toBeNull();
    expect(await contents[target]()).toEqual(seen.before);
    expect((await readControl(stores[target]))?.mode).toBe(to);
  });
});
