/** A snapshot's folder: made under a temporary name, and given its own when every byte is on disk. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, mkdtemp, open, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MANIFEST, type Manifest, SUMS } from './manifest.ts';
import { FolderFailed, type SnapshotFile } from './types.ts';

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

const partialName = (name: string): string => `.${name}.partial`;
export const isPartial = (entry: string): boolean => /^\..+\.partial$/.test(entry);
/** A name that is one folder and nothing else. */
export const isName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name);
/** Collections may be named what no file can be. */
export const fileName = (name: string): string => encodeURIComponent(name);

export interface Folder {
  /** Writes a file and remembers its sum; a second time, instead of the first. */
  write(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** Lets a program write the file, which is there already, empty and closed to others. */
  writeByPath(path: string, fill: (path: string) => Promise<void>): Promise<void>;
  files(): readonly SnapshotFile[];
  /** Adds manifest and sums, and gives the folder its name; its path. */
  finish(manifest: Manifest): Promise<string>;
  /** Takes away what was written. */
  discard(): Promise<void>;
}

/** Whatever the file system refuses below `dir`, as `FolderFailed`. */
async function onDisk<T>(dir: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new FolderFailed(dir, (error as NodeJS.ErrnoException).code ?? 'unknown');
  }
}

/** Makes the folder of all snapshots and tries it, before anything is begun that will need it. Throws `FolderFailed`. */
export async function assertWritable(dir: string): Promise<void> {
  await onDisk(dir, mkdir(dir, { recursive: true, mode: FOLDER_MODE }));
  await rmdir(await onDisk(dir, mkdtemp(join(dir, '.trial-'))));
}

/** Throws `FolderFailed`, here and in what it returns. */
export async function createFolder(dir: string, name: string, signal?: AbortSignal): Promise<Folder> {
  const root = join(dir, partialName(name));
  const files = new Map<string, SnapshotFile>();
  await onDisk(dir, mkdir(dir, { recursive: true, mode: FOLDER_MODE }));
  await onDisk(dir, mkdir(root, { mode: FOLDER_MODE }));

  async function openFile(path: string): Promise<FileHandle> {
    const file = join(root, path);
    await onDisk(dir, mkdir(dirname(file), { recursive: true, mode: FOLDER_MODE }));
    return onDisk(dir, open(file, 'w', FILE_MODE));
  }

  async function write(path: string, chunks: AsyncIterable<Uint8Array>): Promise<SnapshotFile> {
    const handle = await openFile(path);
    try {
      const hash = createHash('sha256');
      let bytes = 0;
      for await (const chunk of gathered(chunks)) {
        signal?.throwIfAborted();
        hash.update(chunk);
        bytes += chunk.length;
        await onDisk(dir, handle.writeFile(chunk));
      }
      await onDisk(dir, handle.sync());
      return { path, bytes, sha256: hash.digest('hex') };
    } finally {
      await handle.close();
    }
  }

  const remember = (file: SnapshotFile): void => void files.set(file.path, file);
  const sorted = () => [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1));

  return {
    write: async (path, chunks) => remember(await write(path, chunks)),
    async writeByPath(path, fill) {
      await (await openFile(path)).close();
      await fill(join(root, path));
      await syncPath(join(root, path));
      remember({ path, ...(await sumOf(join(root, path))) });
    },
    files: sorted,
    async finish(manifest) {
      remember(await write(MANIFEST, [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)] as never));
      const sums = sorted().map(({ path, sha256 }) => `${sha256}  ${path}\n`);
      await write(SUMS, [Buffer.from(sums.join(''))] as never);
      for (const folder of new Set([...files.keys()].map((path) => dirname(path)))) {
        await syncPath(join(root, folder));
      }
      await rename(root, join(dir, name));
      await syncPath(dir);
      return join(dir, name);
    },
    discard: () => rm(root, { recursive: true, force: true }),
  };
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const GATHER_BYTES = 256 * 1024;

/** Small chunks as larger ones. */
async function* gathered(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    waiting.push(chunk);
    size += chunk.length;
    if (size < GATHER_BYTES) continue;
    yield Buffer.concat(waiting);
    [waiting, size] = [[], 0];
  }
  if (size > 0) yield Buffer.concat(waiting);
}

/** Size and sum of a file as it is. */
export async function sumOf(file: string): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const hash: Hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
