/** The copy back to MongoDB, killed at every stage: whoever goes on ends as if nothing had happened. */
import { beforeAll, beforeEach, describe, expect, it, onTestFailed } from 'vitest';
import { resumeBackfill, rollbackBackfill, runBackfill, verify } from '../../cutover/copy/index.ts';
import { ENTITIES } from '../../db/records.ts';
import { sessionAt, userAt } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { eventually } from '../support/wait.ts';
import { killing, type Orders } from './killing.ts';
import { openBench } from './support.ts';

const USERS = 250;
const LEGACY = 50;
const SESSIONS = 100;
/** So slow that it is caught in the middle. */
const RATE = 150;
const BACKWARDS = { from: 'postgres', onBad: 'quarantine' } as const;

describe('a killed copy back to MongoDB', { timeout: 120_000 }, async () => {
  const bench = await openBench();
  // With their keys, or the pass that gives them would write to these documents meanwhile.
  const legacy = Array.from({ length: LEGACY }, () => {
    const user = legacyUser({ plan: 'gold' });
    return { ...user, emailKey: String(user['email']).toLowerCase() };
  });
  const { startUntil, killed, freed, killedAt } = killing(bench, 'postgres');
  const documents = async () => Promise.all(ENTITIES.map((entity) => bench.documents(entity)));
  let before: Awaited<ReturnType<typeof documents>>;
  let expected: Awaited<ReturnType<typeof documents>>;
  let serial = 0;

  async function begin(): Promise<void> {
    await bench.postgres.query('truncate copy_runs, copy_ranges, copy_findings, copy_quarantine, copy_undo');
    for (const entity of ENTITIES) await bench.mongo.collection(entity).deleteMany({});
    await bench.insert('user', legacy);
    await bench.setMode('postgres-primary');
    serial += 1;
  }

  beforeAll(async () => {
    await begin();
    before = await documents();
    const ids = legacy.map(({ _id }) => String(_id));
    const { found } = await bench.stores.mongo.replica.read('user', ids);
    const changed = [...found.values()].map(({ record }) => ({
      ...record,
      name: 'changed',
      stamp: { epoch: 2, version: 2 },
    }));
    const users = Array.from({ length: USERS - LEGACY }, () => userAt([2, 1]));
    const expiresAt = new Date(Date.now() + 86_400_000);
    const sessions = users.slice(0, SESSIONS).map(({ id }) => sessionAt([2, 1], id, { expiresAt }));
    const under = { epoch: 2, expiredBefore: new Date(0) };
    await bench.stores.postgres.replica.apply('user', [...changed, ...users], under);
    await bench.stores.postgres.replica.apply('session', sessions, under);
    expect(await runBackfill(bench, BACKWARDS)).toMatchObject({ counts: { read: USERS + SESSIONS, bad: 0 } });
    expected = await documents();
  });
  beforeEach(begin);
  const runId = () => `run-${serial}`;

  const copied = () => bench.mongo.collection('user').countDocuments({ version: { $exists: true } });
  const stateOf = async () =>
    (await bench.postgres.query<{ state: string }>('select state from copy_runs'))[0]?.state ?? null;

  async function asUninterrupted(): Promise<void> {
    expect(await resumeBackfill(bench, runId())).toMatchObject({ outcome: 'complete', counts: { bad: 0 } });
    expect(await documents()).toEqual(expected);
    expect(await verify(bench)).toMatchObject({ clean: true });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete', run: runId() });
  }

  it.each([
    ['before it writes', 'before-merge', 'copying'],
    ['between a write to MongoDB and the commit of its batch', 'applied user', 'merging'],
    ['while it writes', 'merging some', 'merging'],
  ])('%s', async (_when, haltAt, state) => {
    await killedAt(haltAt, { run: runId(), verb: 'backfill', rate: RATE });
    expect(await stateOf()).toBe(state);
    expect((await copied()) > 0).toBe(state === 'merging');
    await asUninterrupted();
    expect(await rollbackBackfill(bench, runId())).toMatchObject({ restored: LEGACY, spared: 0 });
    expect(await documents()).toEqual(before);
  });

  it('right after it has said that the copy is complete', async () => {
    await runBackfill(bench, { ...BACKWARDS, runId: runId() });
    await bench.postgres.query(`update copy_runs set state = 'merging'`);
    await asUninterrupted();
  });

  it('while it is undone', async () => {
    await runBackfill(bench, { ...BACKWARDS, runId: runId() });
    const child = await startUntil(['undoing none', 'undoing some'], { run: runId(), verb: 'rollback' });
    await eventually(async () => (await bench.mongo.collection('session').countDocuments()) < SESSIONS);
    await killed(child);
    await freed();
    if ((await stateOf()) === 'undoing') await rollbackBackfill(bench, runId());
    expect(await stateOf()).toBe('undone');
    expect(await documents()).toEqual(before);
    expect(await bench.copyState()).toMatchObject({ kind: 'stale' });
  });

  it('at a random moment, again and again', async () => {
    const drawn: number[] = [];
    onTestFailed(() => console.log('killed after', drawn, 'ms'));
    let verb: Orders['verb'] = 'backfill';
    for (let round = 0; round < 3; round += 1) {
      const child = await startUntil(['ready', 'done'], { run: runId(), verb, rate: RATE });
      const ms = Math.random() * 800;
      drawn.push(ms);
      await new Promise((resolve) => setTimeout(resolve, ms));
      await killed(child);
      await freed();
      const state = await stateOf();
      if (state === 'done') break;
      verb = state === null ? 'backfill' : 'resume';
    }
    const state = await stateOf();
    if (state === null) await runBackfill(bench, { ...BACKWARDS, runId: runId() });
    else if (state !== 'done') await resumeBackfill(bench, runId());
    expect(await documents()).toEqual(expected);
    expect(await verify(bench)).toMatchObject({ clean: true });
  });
});
