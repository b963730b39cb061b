/** A restore that is killed leaves nothing that could be taken for whole, and says what to do next. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { clearRestored } from '../../cutover/snapshot/clear.ts';
import { createSnapshot } from '../../cutover/snapshot/create.ts';
import { fenceOf } from '../../cutover/snapshot/fence.ts';
import { restoreSnapshot } from '../../cutover/snapshot/restore.ts';
import { STORES } from '../../db/errors.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { createLagProxy } from '../support/lag-proxy.ts';
import { newMongoDatabase, newPostgresDatabase } from '../support/stores.ts';
import { contentOfMongo, contentOfPostgres, openWorld } from './snapshot-support.ts';

const PROGRAM = fileURLToPath(new URL('../../src/cutover.ts', import.meta.url));
/** What a restore sends first of the sessions, whose users are there by then. */
const SESSIONS = { mongo: 'insert\0\t\0\0\0sessions\0', postgres: 'copy "sessions"' };

const world = await openWorld(undefined, 'dual-write', { PATH: '/nowhere' });
const { name } = await createSnapshot(world.context, world);
const targets = { mongo: newMongoDatabase(), postgres: await newPostgresDatabase() };

test.each(STORES)('killed in the middle: %s', { timeout: 120_000 }, async (into) => {
  const url = targets[into];
  const database = new URL(url).pathname.slice(1);
  const content = into === 'mongo' ? contentOfMongo : contentOfPostgres;
  const store: Store = await (into === 'mongo'
    ? openMongoStore({ url, timeoutMs: 10_000, emailKeyPass: false })
    : openPostgresStore({ url, timeoutMs: 10_000 }));
  onTestFinished(() => store.close());
  const fence = async () => {
    const entry = await store.books.readControl();
    return entry === null ? null : fenceOf(entry);
  };

  const port = Number(new URL(url).port || (into === 'mongo' ? 27017 : 5432));
  const proxy = await createLagProxy({ targetPort: port });
  onTestFinished(() => proxy.close());
  const held = proxy.holdNext((sent) => sent.includes(SESSIONS[into]));
  const args = ['snapshot', 'restore', name, '--into', into, '--dir', world.dir];
  const env = {
    PATH: '/nowhere',
    RESTORE_URL: proxy.through(url),
    STORE_TIMEOUT: '10s',
    MONGO_URL: world.urls.mongo,
    DATABASE_URL: world.urls.postgres,
  };
  const child = spawn(process.execPath, [PROGRAM, ...args, '--json'], { env, stdio: 'ignore' });
  const exited = once(child, 'exit');
  expect(await Promise.race([held, exited])).toBe(true);
  child.kill('SIGKILL');
  await exited;
  // Nothing of it comes later.
  proxy.cut();

  expect(await fence()).toMatchObject({ snapshot: name, complete: false });
  const alone = { ...world.context, stores: { mongo: null, postgres: null, [into]: store } };
  await expect(clearRestored(alone, into)).rejects.toMatchObject({
    reason: 'unfinished',
    remedy: expect.stringContaining('--replace'),
  });
  const request = { ...world, name, into, url };
  await expect(restoreSnapshot(world.context, { ...request, replace: null })).rejects.toMatchObject({
    reason: 'not-empty',
    remedy: expect.stringContaining('--replace'),
  });
  await restoreSnapshot(world.context, { ...request, replace: { confirm: database } });
  expect(await fence()).toMatchObject({ complete: true });
  const restored = await content(url);
  const source = await content(world.urls[into]);
  // Evidence of the snapshot itself came after it.
  for (const own of ['cutover_notes', 'cutover_log']) {
    delete (restored as Record<string, unknown>)[own];
    delete (source as Record<string, unknown>)[own];
  }
  expect(restored).toEqual(source);
});
