/**
 * Both stores in files: each as it was at one moment, the two moments close to each other. As secret as the stores: the
 * folder is the owner's alone. A store restored from one is fenced until an operator clears it.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { dumpCollections, isEmptyMongo, restoreCollection } from '../../db/mongo/copy/dump.ts';
import type { Store } from '../../db/port.ts';
import { dumpTables, isEmptyDatabase, restoreTables } from '../../db/postgres/copy/dump.ts';
import type { Json } from '../../db/replica.ts';
import { logCopy, putEvidence } from './ready.ts';
import { CopyRefused, type CopyScope } from './types.ts';
import { authorityNow } from './verify.ts';

const FORMAT = 1;
const MANIFEST = 'manifest.json';

const manifest = z.object({
  format: z.literal(FORMAT),
  id: z.string(),
  mode: z.string(),
  epoch: z.number(),
  revision: z.number(),
  pending: z.object({ mongo: z.number(), postgres: z.number() }),
  postgres: z.object({
    server: z.string(),
    startedAtMs: z.number(),
    endedAtMs: z.number(),
    migrations: z.array(z.string()),
    tables: z.array(z.object({ table: z.string(), columns: z.array(z.string()), rows: z.number() })),
  }),
  mongo: z.object({
    server: z.string(),
    startedAtMs: z.number(),
    endedAtMs: z.number(),
    /** The server could read all collections as of one moment. */
    isOneMoment: z.boolean(),
    collections: z.array(z.object({ collection: z.string(), documents: z.number() })),
  }),
  /** By the path within the snapshot. */
  files: z.record(z.string(), z.object({ bytes: z.number(), sha256: z.string() })),
});
export type SnapshotManifest = z.infer<typeof manifest>;

/** Writes a snapshot into a folder of its own below `dir`. Half a snapshot has no manifest, and is none. */
export async function createSnapshot(scope: CopyScope, dir: string): Promise<SnapshotManifest> {
  const { environment, stores, mongo, postgres } = scope;
  const { authority, record } = await authorityNow(scope);
  const begun = environment.date();
  const id = `${begun.toISOString().replace(/[:.]/g, '-')}-${environment.newId().slice(0, 6)}`;
  const folder = join(dir, id);
  await mkdir(join(folder, 'postgres'), { recursive: true, mode: 0o700 });
  await mkdir(join(folder, 'mongo'), { recursive: true, mode: 0o700 });
  const paths: string[] = [];
  const open = (below: string) => (file: string) => {
    paths.push(`${below}/${file}`);
    return createWriteStream(join(folder, below, file), { mode: 0o600 });
  };
  const time = () => environment.date().getTime();
  const [pendingMongo, pendingPostgres] = await Promise.all([
    stores.mongo.replica.countMarks(),
    stores.postgres.replica.countMarks(),
  ]);
  const [ofPostgres, ofMongo] = await Promise.all([
    timed(time, () => dumpTables(postgres, (table) => open('postgres')(`${table}.copy`))),
    timed(time, () => dumpCollections(mongo, open('mongo'))),
  ]);
  const files: Record<string, { bytes: number; sha256: string }> = {};
  for (const path of paths.sort()) files[path] = await sumOf(join(folder, path));
  const written: SnapshotManifest = {
    format: FORMAT,
    id,
    mode: record.mode,
    epoch: record.epoch,
    revision: record.revision,
    pending: { mongo: pendingMongo.count, postgres: pendingPostgres.count },
    postgres: {
      server: await stores.postgres.describe(),
      ...ofPostgres.times,
      migrations: [...ofPostgres.result.migrations],
      tables: ofPostgres.result.tables.map((table) => ({ ...table, columns: [...table.columns] })),
    },
    mongo: {
      server: await stores.mongo.describe(),
      ...ofMongo.times,
      isOneMoment: ofMongo.result.isOneMoment,
      collections: [...ofMongo.result.collections],
    },
    files,
  };
  const text = `${JSON.stringify(written, null, 2)}\n`;
  await writeFile(join(folder, `${MANIFEST}.sha256`), sha256(text), { mode: 0o600 });
  // Last, and in one step: whoever sees it sees a whole snapshot.
  await writeFile(join(folder, `${MANIFEST}.new`), text, { mode: 0o600 });
  await rename(join(folder, `${MANIFEST}.new`), join(folder, MANIFEST));
  await putEvidence(scope, stores[authority], 'snapshot', { clean: true, run: id });
  await logCopy(scope, stores[authority], `${id}/snapshot`, { snapshot: id });
  return written;
}

/** The snapshots below a folder, the latest first. */
export async function listSnapshots(dir: string): Promise<readonly SnapshotManifest[]> {
  const names = await readdir(dir).catch(() => []);
  const found: SnapshotManifest[] = [];
  for (const name of names.sort().reverse()) {
    const read = await readManifest(join(dir, name)).catch(() => null);
    if (read !== null) found.push(read);
  }
  return found;
}

/** What is wrong with a snapshot's files; nothing when it is whole. */
export async function verifySnapshot(folder: string): Promise<readonly string[]> {
  const read = await readManifest(folder);
  const problems: string[] = [];
  for (const [path, { bytes, sha256: sum }] of Object.entries(read.files)) {
    const found = await sumOf(join(folder, path)).catch(() => null);
    if (found === null) problems.push(`${path} is missing`);
    else if (found.bytes !== bytes || found.sha256 !== sum) problems.push(`${path} has been changed`);
  }
  return problems;
}

export interface RestoreOptions {
  /** Which of the two; default both. */
  readonly only?: 'mongo' | 'postgres';
  /** Restores over what is there. */
  readonly overwrite?: boolean;
}

/**
 * Fills databases that were migrated and are empty, unless told otherwise. Throws `CopyRefused` otherwise, and for a
 * snapshot that is not whole.
 */
export async function restoreSnapshot(
  scope: CopyScope,
  folder: string,
  { only, overwrite = false }: RestoreOptions = {},
): Promise<SnapshotManifest> {
  const problems = await verifySnapshot(folder);
  if (problems.length > 0) throw new CopyRefused('unknown-state', problems.join('; '));
  const read = await readManifest(folder);
  const { postgres, mongo, stores } = scope;
  const to = (store: 'mongo' | 'postgres') => only === undefined || only === store;
  if (!overwrite) {
    if (to('postgres') && !(await isEmptyDatabase(postgres)))
      throw new CopyRefused('busy', 'the PostgreSQL database is not empty');
    if (to('mongo') && !(await isEmptyMongo(mongo)))
      throw new CopyRefused('busy', 'the MongoDB database is not empty');
  }
  if (to('postgres')) {
    await restoreTables(postgres, read.postgres.tables, (table) =>
      createReadStream(join(folder, 'postgres', `${table}.copy`)),
    );
    await fence(scope, stores.postgres, read.id);
  }
  if (to('mongo')) {
    for (const { collection } of read.mongo.collections) {
      const metadata = await readFile(join(folder, 'mongo', `${collection}.metadata.json`), 'utf8');
      await restoreCollection(
        mongo,
        collection,
        metadata,
        createReadStream(join(folder, 'mongo', `${collection}.bson`)),
      );
    }
    await fence(scope, stores.mongo, read.id);
  }
  return read;
}

/** What it says of authority was true then: it may not be believed before somebody has looked. */
async function fence({ environment }: CopyScope, store: Store, snapshot: string): Promise<void> {
  const entry = await store.books.readControl();
  if (entry === null) return;
  const body: Json = {
    ...(entry.body as { readonly [key: string]: Json }),
    restored: { snapshot, atMs: environment.date().getTime() },
  };
  await store.books.replaceControl(entry, { ...entry, revision: entry.revision + 1, body });
}

async function readManifest(folder: string): Promise<SnapshotManifest> {
  const text = await readFile(join(folder, MANIFEST), 'utf8');
  const sum = await readFile(join(folder, `${MANIFEST}.sha256`), 'utf8');
  if (sum.trim() !== sha256(text)) throw new CopyRefused('unknown-state', 'the manifest has been changed');
  return manifest.parse(JSON.parse(text));
}

async function sumOf(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { bytes: (await stat(path)).size, sha256: hash.digest('hex') };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

async function timed<T>(
  time: () => number,
  work: () => Promise<T>,
): Promise<{
  readonly result: T;
  readonly times: { readonly startedAtMs: number; readonly endedAtMs: number };
}> {
  const startedAtMs = time();
  const result = await work();
  return { result, times: { startedAtMs, endedAtMs: time() } };
}
