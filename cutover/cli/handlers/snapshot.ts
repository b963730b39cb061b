/** `cutover snapshot …`. */
import { existsSync } from 'node:fs';
import type { StoreName } from '../../../db/errors.ts';
import { clearRestored } from '../../snapshot/clear.ts';
import { listSnapshots, verifySnapshot } from '../../snapshot/read.ts';
import { type SnapshotContext, SnapshotRefused } from '../../snapshot/types.ts';
import { Interrupted } from '../failures.ts';
import { UsageError } from '../parse.ts';
import { createdLines, listLines, restoredLines, verifiedLines } from '../print/snapshot.ts';
import { answer, type Call, type Handler } from './call.ts';
import { logRefused } from './refused.ts';

/** Not in the repository, and not in an image. */
const DIR = '.data/snapshots';

export const dirOf = ({ options }: Call): string => options.text('dir') ?? DIR;
const nameOf = ({ words }: Call): string => words[0] ?? '';

export const contextOf = ({ context, urls, env, interrupted }: Call): SnapshotContext => ({
  ...context,
  urls,
  env,
  signal: interrupted,
});

export const create: Handler = async (call) => {
  // The drivers take most of a second to load, and help should not wait for them.
  const { createSnapshot } = await import('../../snapshot/create.ts');
  const { name, path, manifest } = await orInterrupted(call, () =>
    createSnapshot(contextOf(call), { dir: dirOf(call) }),
  );
  const { system, stores, files } = manifest;
  const body = {
    name,
    path,
    system,
    bytes: files.reduce((sum, each) => sum + each.bytes, 0),
    files: files.length,
    stores: {
      mongo: stores.mongo && {
        at: stores.mongo.at,
        consistent: stores.mongo.consistent,
        inconsistentBecause: stores.mongo.inconsistentBecause,
        pending: stores.mongo.pending,
        documents: stores.mongo.collections.reduce((sum, { documents }) => sum + documents, 0),
        leftOut: stores.mongo.leftOut,
      },
      postgres: stores.postgres && {
        at: stores.postgres.at,
        method: stores.postgres.method,
        tool: stores.postgres.tool,
        pending: stores.postgres.pending,
      },
    },
  };
  return answer('snapshotCreated', 'done', body, (style) => createdLines(body, style));
};

export const list: Handler = async (call) => {
  // One that was named is meant to be there.
  if (call.options.text('dir') !== null && !existsSync(dirOf(call))) {
    throw new SnapshotRefused('no-snapshot', `there is no folder ${dirOf(call)}`, 'name another with --dir');
  }
  const found = await listSnapshots(dirOf(call));
  return answer('snapshots', 'done', found, (style) => listLines(found, style));
};

export const verify: Handler = async (call) => {
  const found = await verifySnapshot(dirOf(call), nameOf(call));
  const outcome = found.problems.length === 0 ? 'done' : 'difference';
  return answer('snapshotVerified', outcome, found, (style) => verifiedLines(found, style));
};

export const restore: Handler = async (call) => {
  const into = storeOf(call, 'into');
  if (into === null) throw new UsageError('--into mongo or --into postgres is needed', call.verb);
  const url = await call.restoreUrl(into, call.words[1] ?? null);
  if (url === null) {
    throw new UsageError(
      `after NAME, or in RESTORE_URL: the URL of the database to restore into, a ${into} one`,
      call.verb,
    );
  }
  const request = {
    dir: dirOf(call),
    name: nameOf(call),
    into,
    url,
    replace: call.options.has('replace') ? { confirm: await confirmed(call, into, url) } : null,
  };
  const { restoreSnapshot } = await import('../../snapshot/restore.ts');
  const restored = await orInterrupted(call, () => restoreSnapshot(contextOf(call), request)).catch(
    async (error: unknown) => {
      if (error instanceof SnapshotRefused) await logRefused(call, `${error.reason}: ${error.message}`);
      throw error;
    },
  );
  return answer('snapshotRestored', 'done', restored, (style) => restoredLines(restored, style));
};

/** A snapshot holds it as it was. */
const LIVES_AGAIN = [
  'What was ended since that snapshot lives again: sessions, used links by mail, old passwords, burnt tokens of the old',
  'service, erased users. By user: `cutover sessions end --user ID`, `cutover users erase --user ID`; see cutover/README.md,',
  '"Back from a snapshot".',
];

export const clear: Handler = async (call) => {
  const cleared = await clearRestored(call.context, storeOf(call, 'store'));
  const { store, mode, epoch, snapshot: name } = cleared;
  return answer('snapshotCleared', 'done', cleared, (style) => [
    style.good(`${store} may serve: ${mode}, epoch ${epoch}, as restored from ${name}`),
    ...LIVES_AGAIN.map(style.warn),
  ]);
};

function storeOf({ options, verb }: Call, option: string): StoreName | null {
  const value = options.text(option);
  if (value === null || value === 'mongo' || value === 'postgres') return value;
  throw new UsageError(`--${option} must be mongo or postgres`, verb);
}

/** The name of the database whose content goes, as the operator says it. */
async function confirmed({ options, ask }: Call, into: StoreName, url: string): Promise<string> {
  const given = options.text('confirm');
  if (given !== null || ask === null) return given ?? '';
  const { databaseOf } = await import('../../snapshot/target.ts');
  const name = databaseOf(into, url);
  return (await ask(`Everything in the database ${name} will be deleted. Type its name: `)).trim();
}

/** What fails because it was ended takes away what it wrote, and says that it was ended. */
async function orInterrupted<T>({ interrupted }: Call, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw interrupted.aborted ? new Interrupted('what it wrote was taken away: run it again') : error;
  }
}
