/** `cutover snapshot create`: both stores, each as of one moment where its server can, in one folder. */
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import type { StoreName } from '../../db/errors.ts';
import { connectMongo } from '../../db/mongo/snapshot/client.ts';
import { dumpMongo, type MongoDump } from '../../db/mongo/snapshot/dump.ts';
import { controlDocument } from '../../db/mongo/snapshot/load.ts';
import { placeOf } from '../../db/postgres/snapshot/client.ts';
import { dumpPostgres, type PostgresDump } from '../../db/postgres/snapshot/dump.ts';
import type { Json } from '../../db/replica.ts';
import { logEvent } from '../event-log.ts';
import { authorityOf, copyRun } from '../mode.ts';
import { NOTES } from '../notes.ts';
import { backlogOf, readSituation, type Situation } from '../operator/situation.ts';
import { fenceEntry } from './fence.ts';
import { createFolder, type Folder, fileName } from './folder.ts';
import type { Manifest, MongoPart, PostgresPart } from './manifest.ts';
import type { SnapshotContext } from './types.ts';

export interface CreateOptions {
  /** The folder of all snapshots. */
  readonly dir: string;
}

export interface Created {
  readonly name: string;
  readonly path: string;
  readonly manifest: Manifest;
}

/**
 * Takes a snapshot of every configured store. What it leaves when it fails is nothing. Throws `StoreUnavailable` when a
 * configured store does not answer, `UnreadableControl` when one is fenced or does not tell its record, `ToolFailed`.
 */
export async function createSnapshot(context: SnapshotContext, { dir }: CreateOptions): Promise<Created> {
  const { environment, urls, report, signal } = context;
  const createdAt = environment.date();
  const startedMs = environment.now().monotonicMs;
  const tell = (step: string, message: string) =>
    report({ step, message, elapsedMs: environment.now().monotonicMs - startedMs });
  const situation = await readSituation(context);
  for (const { trouble } of Object.values(situation.readings)) if (trouble !== null) throw trouble;
  const name = `${createdAt.toISOString().slice(0, 19).replaceAll(':', '-')}Z-${environment.newId().slice(-6)}`;
  const folder = await createFolder(dir, name, signal);
  try {
    const scope: Scope = { context, folder, name, createdAt, epoch: situation.record?.epoch ?? 0 };
    if (urls.mongo !== null) tell('mongo', 'reading MongoDB');
    const mongo = urls.mongo === null ? null : await dumpedMongo(scope, urls.mongo);
    if (urls.postgres !== null) tell('postgres', 'reading PostgreSQL');
    const postgres = urls.postgres === null ? null : await dumpedPostgres(scope, urls.postgres);
    signal?.throwIfAborted();
    const system = await systemOf(context, situation);
    const manifest: Manifest = {
      format: 1,
      name,
      createdAt: createdAt.toISOString(),
      system,
      stores: { mongo, postgres },
      files: [...folder.files()],
    };
    const path = await folder.finish(manifest);
    await putEvidence(context, situation, manifest);
    return { name, path, manifest };
  } catch (error) {
    await folder.discard();
    throw error;
  }
}

interface Scope {
  readonly context: SnapshotContext;
  readonly folder: Folder;
  readonly name: string;
  readonly createdAt: Date;
  readonly epoch: number;
}

async function systemOf(context: SnapshotContext, { record }: Situation): Promise<Manifest['system']> {
  if (record === null) return null;
  const { mode, epoch, revision, copy, transition } = record;
  const authority = authorityOf(mode);
  const { count } = await backlogOf(context.stores[authority], context.environment.date().getTime());
  const going = transition === null ? null : `${transition.phase} to ${transition.target}`;
  return { mode, epoch, revision, authority, copy: copy.kind, pending: count, transition: going };
}

async function dumpedMongo(scope: Scope, url: string): Promise<MongoPart> {
  const { context, folder, name, createdAt, epoch } = scope;
  const { now } = context.environment;
  const startedMs = now().monotonicMs;
  const session = await connectMongo(url, context.signal);
  try {
    const root = `mongo/${fileName(session.db.databaseName)}`;
    const dump = await dumpMongo(
      session,
      context.codec ?? DEFAULT_CODEC,
      (file, chunks) => folder.write(`${root}/${escaped(file)}`, chunks),
      (control, dumped) => {
        const fence = { snapshot: name, complete: true, atMs: createdAt.getTime() };
        const entry = fenceEntry(
          {
            ...fence,
            control: (control?.body ?? null) as Json,
            epoch: Math.max(epoch, dumped),
          },
          control?.revision ?? 0,
        );
        return controlDocument(entry);
      },
    );
    return {
      server: await serverOf(context, 'mongo'),
      database: dump.database,
      at: dump.at.toISOString(),
      tookMs: now().monotonicMs - startedMs,
      consistent: dump.inconsistent === null,
      inconsistentBecause: dump.inconsistent,
      pending: dump.pending,
      control: controlOf(dump.control),
      collections: dump.collections.map(({ name: collection, documents }) => ({
        name: collection,
        documents,
      })),
      leftOut: [...dump.leftOut],
    };
  } finally {
    await session.close();
  }
}

/** `NAME.metadata.json` keeps its ending. */
function escaped(file: string): string {
  const ending = /\.(bson|metadata\.json)$/.exec(file)?.[0] ?? '';
  return fileName(file.slice(0, file.length - ending.length)) + ending;
}

async function dumpedPostgres({ context, folder }: Scope, url: string): Promise<PostgresPart> {
  const { now } = context.environment;
  const startedMs = now().monotonicMs;
  const { at, major, method, tool, pending, control, migrations, tables } = await dumpPostgres({
    url,
    env: context.env,
    write: (file, chunks) => folder.write(`postgres/${fileName(file)}`, chunks),
    writeByPath: (file, fill) => folder.writeByPath(`postgres/${file}`, fill),
    ...(context.signal === undefined ? {} : { signal: context.signal }),
  });
  return {
    server: await serverOf(context, 'postgres'),
    database: placeOf(url).database,
    major,
    at: at.toISOString(),
    tookMs: now().monotonicMs - startedMs,
    consistent: true,
    method,
    tool,
    pending,
    control: controlOf(control),
    migrations: migrations.map(({ tag, hash }) => ({ tag, hash })),
    tables: tables.map(({ name, columns, rows }) => ({ name, columns: [...columns], rows })),
  };
}

const controlOf = (control: MongoDump['control'] | PostgresDump['control']): MongoPart['control'] =>
  control === null ? null : { ...control, body: control.body as NonNullable<MongoPart['control']>['body'] };

async function serverOf({ stores }: SnapshotContext, name: StoreName): Promise<string> {
  return (await stores[name]?.describe()) ?? name;
}

/** For the gates, in the books of both: each may be the authority that is asked. As of its beginning. */
async function putEvidence(
  context: SnapshotContext,
  { record, readings }: Situation,
  { name, createdAt, files, stores }: Manifest,
): Promise<void> {
  if (record === null) return;
  const at = new Date(createdAt);
  for (const { store } of [readings.mongo, readings.postgres]) {
    const evidence = { atMs: at.getTime(), clean: true, run: name, copy: copyRun(record.copy) };
    // A store without tables keeps no books yet; the authority's have the word.
    const put = async () =>
      store?.books.putNote(NOTES.evidence, 'snapshot', evidence, context.environment.date());
    await (store?.name === authorityOf(record.mode) ? put() : put().catch(() => {}));
  }
  const authority = readings[authorityOf(record.mode)].store;
  if (authority === null) return;
  const details = {
    name,
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    consistent: stores.mongo?.consistent !== false,
  };
  await logEvent(context, authority, 'snapshot', record, details);
}
