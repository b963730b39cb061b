/** `cutover snapshot restore`: one store's part of a snapshot into a database that nothing uses. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectMongo, type MongoSession } from '../../db/mongo/snapshot/client.ts';
import {
  emptyMongo,
  finishControl as finishMongo,
  isEmptyMongo,
  loadCollection,
  firstControl as mongoControl,
  putFirstControl as putMongo,
} from '../../db/mongo/snapshot/load.ts';
import { connectPostgres, serverMajor } from '../../db/postgres/snapshot/client.ts';
import { emptyPostgres, isEmptyPostgres } from '../../db/postgres/snapshot/contents.ts';
import { ARCHIVE } from '../../db/postgres/snapshot/dump.ts';
import {
  finishControl as finishPostgres,
  loadArchive,
  loadCopies,
  firstControl as postgresControl,
  putFirstControl as putPostgres,
  tryArchive,
  unknownMigration,
} from '../../db/postgres/snapshot/load.ts';
import { findTools, majorOf, type PostgresTools } from '../../db/postgres/snapshot/tools.ts';
import type { ControlEntry, Json } from '../../db/replica.ts';
import { type Fence, fenceEntry } from './fence.ts';
import { fileName } from './folder.ts';
import type { Manifest, MongoPart, PostgresPart } from './manifest.ts';
import { readManifest, verifySnapshot } from './read.ts';
import { assertFree, databaseOf, isSameDatabase } from './target.ts';
import { type Restored, type RestoreRequest, type SnapshotContext, SnapshotRefused } from './types.ts';

/**
 * Restores, once every byte has been checked. The database then holds a fence in place of a control record, until
 * `clearRestored`. Throws `SnapshotRefused`, `StoreUnavailable`, `ToolFailed`; past the first write the fence stays.
 */
export async function restoreSnapshot(context: SnapshotContext, request: RestoreRequest): Promise<Restored> {
  const { dir, name, into, url } = request;
  const { now } = context.environment;
  const startedMs = now().monotonicMs;
  const tell = (step: string, message: string) =>
    context.report({ step, message, elapsedMs: now().monotonicMs - startedMs });
  tell('verify', 'checking every file');
  const manifest = await readManifest(dir, name);
  const { problems } = await verifySnapshot(dir, name);
  if (problems.length > 0) {
    throw new SnapshotRefused(
      'damaged',
      `${problems.length} of its files are not as they were written`,
      `cutover snapshot verify ${name}`,
    );
  }
  await assertNotConfigured(context, request);
  tell('load', `into ${into === 'mongo' ? 'MongoDB' : 'PostgreSQL'}`);
  const job: Job = { context, request, manifest, root: join(dir, name), tell };
  const { mongo, postgres } = manifest.stores;
  if (into === 'mongo' && mongo !== null)
    return restoreMongo(job, mongo, await connectMongo(url, context.signal));
  if (into === 'postgres' && postgres !== null) return restorePostgres(job, postgres);
  throw new SnapshotRefused('not-in-snapshot', `it holds nothing of ${into}`, 'cutover snapshot list');
}

interface Job {
  readonly context: SnapshotContext;
  readonly request: RestoreRequest;
  readonly manifest: Manifest;
  readonly root: string;
  readonly tell: (step: string, message: string) => void;
}

/** The very database that the running system reads and writes, whatever its own record says meanwhile. */
async function assertNotConfigured(
  { stores, urls }: SnapshotContext,
  { into, url }: RestoreRequest,
): Promise<void> {
  const configured = urls[into];
  if (configured === null || !isSameDatabase(into, configured, url)) return;
  const entry = (await stores[into === 'mongo' ? 'postgres' : 'mongo']?.books.readControl()) ?? null;
  assertFree(into, entry);
}

/** What stands in for the control record. */
function entryFor({ context, manifest }: Job, part: MongoPart | PostgresPart): ControlEntry {
  const fence: Fence = {
    snapshot: manifest.name,
    complete: false,
    atMs: context.environment.date().getTime(),
    control: (part.control?.body ?? null) as Json,
    epoch: Math.max(manifest.system?.epoch ?? 0, part.control?.epoch ?? 0),
  };
  return fenceEntry(fence, part.control?.revision ?? 0);
}

const begun = (): SnapshotRefused =>
  new SnapshotRefused('in-use', 'a system began in this database meanwhile', 'restore into another one');

function assertConfirmed({ request: { replace } }: Job, isEmpty: boolean, database: string): void {
  if (isEmpty) return;
  if (replace === null) {
    throw new SnapshotRefused(
      'not-empty',
      `the database ${database} is not empty`,
      'restore into a new one, or replace what it holds: --replace',
    );
  }
  if (replace.confirm !== database) {
    throw new SnapshotRefused(
      'not-empty',
      `the database ${database} holds something, and was not named to be replaced`,
      `--replace --confirm ${database}`,
    );
  }
}

async function restoreMongo(job: Job, part: MongoPart, session: MongoSession): Promise<Restored> {
  const { request, root } = job;
  const database = session.db.databaseName;
  try {
    assertFree('mongo', await mongoControl(session));
    assertConfirmed(job, await isEmptyMongo(session), database);
    // A system may have begun in it while that was looked at.
    assertFree('mongo', await mongoControl(session));
    await emptyMongo(session);
    const entry = entryFor(job, part);
    if (!(await putMongo(session, entry))) throw begun();
    const folder = join(root, 'mongo', fileName(part.database));
    const sum = { records: 0, altered: 0 };
    for (const { name } of part.collections) {
      job.context.signal?.throwIfAborted();
      const metadata = await readFile(join(folder, `${fileName(name)}.metadata.json`), 'utf8');
      const file = createReadStream(join(folder, `${fileName(name)}.bson`));
      const { documents, altered, isValidatorOff } = await loadCollection(session, name, metadata, file);
      if (isValidatorOff) job.tell('load', `${name}: its validator is switched off`);
      sum.records += documents;
      sum.altered += altered;
    }
    await finishMongo(session, finished(entry));
    return { name: request.name, into: 'mongo', database, ...sum };
  } finally {
    await session.close();
  }
}

/** The same fence, saying that everything is there. */
function finished(entry: ControlEntry): ControlEntry {
  const { restored } = entry.body as { readonly restored: { readonly [key: string]: Json } };
  return { ...entry, body: { restored: { ...restored, complete: true } } };
}

async function restorePostgres(job: Job, part: PostgresPart): Promise<Restored> {
  const { context, request, root } = job;
  const { url } = request;
  const database = databaseOf('postgres', url);
  if (part.migrations.length === 0) {
    throw new SnapshotRefused('not-in-snapshot', 'its PostgreSQL had no tables yet', 'npm run migrate');
  }
  const client = await connectPostgres(url, context.signal);
  try {
    const tools = part.method === 'copy' ? null : await toolsFor(context, part, await serverMajor(client));
    if (tools === null) await assertMigrations(part);
    assertFree('postgres', await postgresControl(client));
    assertConfirmed(job, await isEmptyPostgres(client), database);
    const { signal } = context;
    const at = { url, client, ...(signal === undefined ? {} : { signal }) };
    const folder = join(root, 'postgres');
    if (tools !== null) await tryArchive(at, tools, join(folder, ARCHIVE));
    assertFree('postgres', await postgresControl(client));
    await emptyPostgres(client);
    const entry = entryFor(job, part);
    const fence = async () => {
      if (!(await putPostgres(client, entry))) throw begun();
    };
    const loading = { ...at, fence };
    const open = (file: string) => createReadStream(join(folder, fileName(file)));
    if (tools === null) await loadCopies(loading, part, open);
    else await loadArchive(loading, tools, join(folder, ARCHIVE));
    await finishPostgres(client, finished(entry));
    const records = tools === null ? part.tables.reduce((sum, { rows }) => sum + rows, 0) : null;
    return { name: request.name, into: 'postgres', database, records, altered: 0 };
  } finally {
    await client.end();
  }
}

/** An archive is read by its own version or a newer one, and loaded by that of the server or a newer one. */
async function toolsFor(
  { env }: SnapshotContext,
  { tool }: PostgresPart,
  major: number,
): Promise<PostgresTools> {
  const wanted = Math.max(major, majorOf(tool ?? ''));
  const tools = await findTools(env, wanted);
  if (tools !== null) return tools;
  throw new SnapshotRefused(
    'no-tool',
    `it was made by ${tool ?? 'pg_dump'}, and there is no pg_restore of version ${wanted} or newer`,
    'install it, and name its folder in PG_BIN',
  );
}

async function assertMigrations({ migrations }: PostgresPart): Promise<void> {
  const unknown = await unknownMigration(migrations);
  if (unknown === null) return;
  throw new SnapshotRefused(
    'other-version',
    `its tables are those of another version of this program: migration ${unknown} is not known`,
    'restore it with that version, then migrate',
  );
}
