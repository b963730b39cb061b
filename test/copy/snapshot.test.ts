/** Both stores in files, and back. */
import { appendFileSync, createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { RestoredStore, readControl } from '../../cutover/control.ts';
import {
  createSnapshot,
  listSnapshots,
  restoreSnapshot,
  runBackfill,
  verifySnapshot,
} from '../../cutover/copy/index.ts';
import { decodeDocument } from '../../db/mongo/copy/client.ts';
import { splitDocuments } from '../../db/mongo/copy/dump.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { openBench } from './support.ts';

describe('a snapshot', async () => {
  const bench = await openBench();
  const empty = await openBench();
  const dir = mkdtempSync(join(tmpdir(), 'snapshot-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  it('holds both stores, and brings them back fenced', async () => {
    await bench.insert('user', [
      ...Array.from({ length: 1_200 }, () => legacyUser({ plan: 'gold', n: 5, name: 'tab\tnl\n\\N é😀' })),
      legacyUser({ _id: 'textual' }),
    ]);
    await bench.setMode('dual-write');
    await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    const made = await createSnapshot(bench, dir);
    expect(made).toMatchObject({ mode: 'dual-write', epoch: 1, pending: { mongo: 0, postgres: 0 } });
    expect(made.mongo.collections.find(({ collection }) => collection === 'users')?.documents).toBe(1_201);
    expect((await listSnapshots(dir)).map(({ id }) => id)).toEqual([made.id]);
    const folder = join(dir, made.id);
    expect(statSync(folder).mode & 0o077).toBe(0);
    expect(await verifySnapshot(folder)).toEqual([]);
    const names: unknown[] = [];
    for await (const bytes of splitDocuments(createReadStream(join(folder, 'mongo', 'users.bson')))) {
      names.push(decodeDocument(bytes)?.['name']);
    }
    expect(names).toHaveLength(1_201);

    await restoreSnapshot(empty, folder);
    expect(await empty.rows()).toEqual(await bench.rows());
    expect(await empty.documents('user')).toEqual(await bench.documents('user'));
    const indexes = await empty.mongo.collection('user').listIndexes().toArray();
    expect(indexes.map(({ name }) => name)).toContain('auth_email_key');
    for (const store of [empty.stores.mongo, empty.stores.postgres]) {
      await expect(readControl(store)).rejects.toBeInstanceOf(RestoredStore);
    }
    await expect(restoreSnapshot(empty, folder)).rejects.toMatchObject({ reason: 'busy' });
  });

  it('that was changed is not restored', async () => {
    const made = await createSnapshot(bench, dir);
    const folder = join(dir, made.id);
    appendFileSync(join(folder, 'postgres', 'users.copy'), 'x');
    expect(await verifySnapshot(folder)).toEqual(['postgres/users.copy has been changed']);
    await expect(restoreSnapshot(empty, folder, { overwrite: true })).rejects.toMatchObject({
      reason: 'unknown-state',
    });
    appendFileSync(join(folder, 'manifest.json'), ' ');
    await expect(verifySnapshot(folder)).rejects.toThrow('manifest');
  });
});
