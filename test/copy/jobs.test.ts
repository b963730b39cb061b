/** Jobs for the ranges of a run, as pg-boss keeps them, under the role a copy runs as. */
import { readFile } from 'node:fs/promises';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { verify } from '../../cutover/copy/index.ts';
import { openPostgresBulk } from '../../db/postgres/copy/client.ts';
import { JOBS_SCHEMA, type Job, openJobs } from '../../db/postgres/copy/jobs.ts';
import { asSuperuser, createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { eventually } from '../support/wait.ts';
import { openBench } from './support.ts';

describe('jobs', async () => {
  const server = inject('postgresUrl');
  const name = newDatabaseName();
  const owner = await createDatabase(server, name);
  await asSuperuser(owner, await readFile(new URL('../../db/postgres/roles.sql', import.meta.url), 'utf8'));
  const as = (role: string) =>
    openPostgresBulk({
      url: `${owner}?options=${encodeURIComponent(`-c role=${role}`)}`,
      poolMax: 4,
      statementTimeoutMs: 30_000,
    });
  const bulk = as('auth_backfill');
  // Two processes that meet a database without pg-boss at the same time.
  const [jobs, others] = await Promise.all([openJobs(bulk), openJobs(bulk)]);
  afterAll(async () => {
    await Promise.all([jobs.close(), others.close()]);
    await bulk.close();
    await dropDatabase(server, name);
  });
  const states = (run: string) =>
    bulk.query<{ number: string; state: string }>(
      `select singleton_key as number, state::text from ${JOBS_SCHEMA}.job where name = $1 order by 1`,
      [`run-${run}`],
    );

  it('are offered once, each with others in one transaction or not at all', async () => {
    await jobs.begin('once');
    await others.begin('once');
    await Promise.all([jobs.offer('once', [1, 2]), others.offer('once', [2, 3])]);
    await bulk.transaction((connection) => jobs.offer('once', [4], connection));
    await bulk
      .transaction(async (connection) => {
        await jobs.offer('once', [5], connection);
        throw new Error('rolled back');
      })
      .catch(() => {});
    expect((await states('once')).map(({ number }) => number)).toEqual(['1', '2', '3', '4']);
    await jobs.forget('once');
    expect(await states('once')).toEqual([]);
    await jobs.forget('once');
  });

  it('go to one taker each, and again to another when their work fails', async () => {
    await jobs.begin('shared');
    await jobs.offer('shared', [1, 2, 3, 4, 5, 6]);
    const taken: number[] = [];
    let failed = 0;
    const work = async ({ number }: Job) => {
      if (number === 4 && failed === 0) {
        failed += 1;
        throw new Error('fails once');
      }
      taken.push(number);
    };
    const crews = [await jobs.work('shared', 2, work), await others.work('shared', 1, work)];
    await eventually(() => taken.length === 6);
    await Promise.all(crews.map((crew) => crew.stop()));
    expect([...taken].sort()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(failed).toBe(1);
    await jobs.forget('shared');
  });

  it('are released from the dead, to be offered again', async () => {
    await jobs.begin('dead');
    await jobs.offer('dead', [1]);
    let held: Job | null = null;
    const gate = Promise.withResolvers<void>();
    const crew = await jobs.work('dead', 1, (job) => {
      held = job;
      return gate.promise;
    });
    await eventually(() => held !== null);
    await others.offer('dead', [1]);
    expect(await states('dead')).toEqual([{ number: '1', state: 'active' }]);
    await others.release('dead', [(held as unknown as Job).id]);
    await others.offer('dead', [1]);
    expect(await states('dead')).toEqual([{ number: '1', state: 'created' }]);
    gate.resolve();
    await crew.stop();
    await others.forget('dead');
  });

  it('are out of reach for the role the service runs as', async () => {
    const runtime = as('auth_runtime');
    await expect(runtime.query(`select from ${JOBS_SCHEMA}.job`)).rejects.toMatchObject({
      reason: 'forbidden',
    });
    await runtime.close();
  });
});

const bench = await openBench();

it('are there before the process of a run looks for them, which rests after a look in vain', async () => {
  await bench.setMode('dual-write');
  const said: string[] = [];
  const execute: typeof bench.postgres.execute = (text, values) => {
    said.push(text);
    return bench.postgres.execute(text, values);
  };
  await verify({ ...bench, postgres: { ...bench.postgres, execute } });
  const offered = said.findIndex((text) => /insert into copy_jobs\.job/i.test(text));
  const looked = said.findIndex((text) => /set\s+state = 'active'/i.test(text));
  expect(offered).toBeGreaterThan(-1);
  expect(looked).toBeGreaterThan(offered);
});
