import mongoose from 'mongoose';
import pg from 'pg';
import { describe, expect, inject, test } from 'vitest';
import { familyOf } from '../support/family.ts';
import { freezeProcess, thawProcess } from '../support/faults.ts';
import { allGone } from '../support/processes.ts';
import { newPostgresDatabase, ownMongo, ownPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';

describe.each(inject('postgresServers'))('$server', async (target) => {
  const url = await newPostgresDatabase(target);

  test('gives a test file a database of its own', async () => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query('select current_database() as name, version() as version');
    await client.end();
    expect(rows[0].name).toMatch(/^test_/);
    expect(rows[0].version).toContain(target.server);
  });

  test('lets nobody in without the password', async () => {
    const open = new URL(url);
    open.password = 'wrong';
    const client = new pg.Client({ connectionString: open.href });
    await expect(client.connect()).rejects.toMatchObject({ code: '28P01' });
  });
});

describe('a frozen server', async () => {
  const postgres = await ownPostgres();
  const mongo = await ownMongo();

  test('PostgreSQL does not answer until it is thawed', async () => {
    const client = new pg.Client({ connectionString: postgres.url, query_timeout: 300 });
    client.on('error', () => {});
    await client.connect();
    await freezeProcess(postgres);
    await expect(client.query('select 1')).rejects.toThrow('timeout');
    thawProcess(postgres);
    await client.end();
    const again = new pg.Client({ connectionString: postgres.url });
    await again.connect();
    expect((await again.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await again.end();
  });

  test('MongoDB does not answer until it is thawed', async () => {
    const client = new mongoose.mongo.MongoClient(mongo.url, {
      socketTimeoutMS: 300,
      serverSelectionTimeoutMS: 300,
    });
    const ping = (): Promise<unknown> => client.db('admin').command({ ping: 1 });
    await eventually(ping);
    const frozen = await freezeProcess(mongo);
    await expect(ping()).rejects.toThrow();
    frozen.thaw();
    await eventually(ping);
    await client.close();
  });

  test('stops all the same', async () => {
    await freezeProcess(postgres);
    const processes = familyOf(postgres.pid);
    expect(processes).not.toEqual([]);
    await postgres.stop();
    await allGone(processes);
  });
});

test('the MongoDB-wire server is called by its own name', async () => {
  const client = new mongoose.mongo.MongoClient(inject('mongoUrl'));
  const info = await client.db('admin').command({ buildInfo: 1 });
  const hello = await client.db('admin').command({ hello: 1 });
  await client.close();
  const isCompatible = 'secantusVersion' in info;
  expect(inject('mongoServer').includes('not MongoDB')).toBe(isCompatible);
  expect(hello['setName']).toBeDefined();
});

test('the standalone server belongs to no replica set', async () => {
  const client = new mongoose.mongo.MongoClient(inject('mongoStandaloneUrl'));
  const hello = await client.db('admin').command({ hello: 1 });
  await client.close();
  expect(hello['setName']).toBeUndefined();
});
