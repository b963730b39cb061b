/** Snapshots as they lie in a folder: listed, read, checked byte by byte. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { STORES } from '../../db/errors.ts';
import { isName, isPartial, sumOf } from './folder.ts';
import { MANIFEST, type Manifest, manifestSchema, SUMS } from './manifest.ts';
import { type SnapshotLine, type SnapshotList, SnapshotRefused, type SnapshotVerified } from './types.ts';

/** The newest last. A folder that is not there holds none. */
export async function listSnapshots(dir: string): Promise<SnapshotList> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const snapshots: SnapshotLine[] = [];
  for (const name of folders.filter(isName).sort()) {
    const isSnapshot = await stat(join(dir, name, SUMS)).then(
      () => true,
      () => false,
    );
    if (isSnapshot) snapshots.push(await lineOf(dir, name));
  }
  return { dir, snapshots, unfinished: folders.filter(isPartial).sort() };
}

async function lineOf(dir: string, name: string): Promise<SnapshotLine> {
  const manifest = await readManifest(dir, name).catch(() => null);
  const system = manifest?.system ?? null;
  return {
    name,
    createdAt: manifest?.createdAt ?? null,
    mode: system?.mode ?? null,
    epoch: system?.epoch ?? null,
    revision: system?.revision ?? null,
    pending: system?.pending ?? null,
    stores: STORES.filter((store) => manifest?.stores[store] != null),
    bytes: (manifest?.files ?? []).reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Throws `SnapshotRefused`. */
export async function readManifest(dir: string, name: string): Promise<Manifest> {
  if (!isName(name)) throw noSnapshot(dir);
  const text = await readFile(join(dir, name, MANIFEST), 'utf8').catch(() => null);
  if (text === null) throw noSnapshot(dir);
  const parsed = manifestSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    throw new SnapshotRefused('damaged', 'its manifest cannot be read', `cutover snapshot verify ${name}`);
  }
  return parsed.data;
}

const noSnapshot = (dir: string): SnapshotRefused =>
  new SnapshotRefused('no-snapshot', `there is no such snapshot in ${dir}`, 'cutover snapshot list');

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Compares every file with its sum, and the list of files with what is there. Throws `SnapshotRefused`. */
export async function verifySnapshot(dir: string, name: string): Promise<SnapshotVerified> {
  if (!isName(name)) throw noSnapshot(dir);
  const root = join(dir, name);
  const text = await readFile(join(root, SUMS), 'utf8').catch(() => null);
  if (text === null) throw noSnapshot(dir);
  const problems: SnapshotVerified['problems'][number][] = [];
  const wanted = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, sha256, path] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
    if (sha256 !== undefined && path !== undefined) wanted.set(path, sha256);
    else if (line !== '') problems.push({ path: SUMS, problem: 'unreadable' });
  }
  if (!wanted.has(MANIFEST)) problems.push({ path: MANIFEST, problem: 'missing' });
  let bytes = 0;
  const there = await filesIn(root);
  for (const path of there) {
    const sha256 = wanted.get(path);
    wanted.delete(path);
    if (path === SUMS) continue;
    if (sha256 === undefined) {
      problems.push({ path, problem: 'unexpected' });
      continue;
    }
    const found = await sumOf(join(root, path)).catch(() => null);
    bytes += found?.bytes ?? 0;
    if (found === null) problems.push({ path, problem: 'unreadable' });
    else if (found.sha256 !== sha256) problems.push({ path, problem: 'changed' });
  }
  for (const path of wanted.keys()) problems.push({ path, problem: 'missing' });
  return { name, files: there.length, bytes, problems: [...problems, ...(await unlisted(dir, name, there))] };
}

/** Sums and manifest are two lists of the same files. */
async function unlisted(
  dir: string,
  name: string,
  there: readonly string[],
): Promise<SnapshotVerified['problems']> {
  const manifest = await readManifest(dir, name).catch(() => null);
  if (manifest === null) return [{ path: MANIFEST, problem: 'unreadable' }];
  const missing = manifest.files.filter(({ path }) => !there.includes(path));
  return missing.map(({ path }) => ({ path, problem: 'missing' as const }));
}

async function filesIn(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}
