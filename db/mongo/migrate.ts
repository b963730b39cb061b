/** Brings the indexes up to date. Every step may be taken by several callers at once, and again. */
import mongoose from 'mongoose';
import type { Codec } from '../canonical.ts';
import { type IndexSpec, indexesFor } from './indexes.ts';
import { type Clashes, clashesFor, legacyFix } from './legacy-indexes.ts';

type Collection = mongoose.mongo.Collection;
type Index = mongoose.mongo.IndexDescriptionInfo;

const NAMESPACE_NOT_FOUND = 26;
const INDEX_NOT_FOUND = 27;
const DUPLICATE_KEY = 11000;
/** Another caller's index of the same key came first, or an index build of it was dropped meanwhile. */
const RACED = new Set([INDEX_NOT_FOUND, 85, 86, 276, 117, 112]);
const ATTEMPTS_MAX = 5;

/** One line for each index made, replaced or loosened, or one that says that nothing was to be done. */
export async function migrate(
  db: mongoose.mongo.Db,
  codec: Codec,
  tell: (line: string) => void,
): Promise<void> {
  const clashes = clashesFor(codec);
  let count = 0;
  const report = (line: string): void => {
    count += 1;
    tell(line);
  };
  for (const [name, specs] of Object.entries(indexesFor(codec))) {
    const collection = db.collection(name);
    await retryRaced(() => fixLegacy(collection, clashes[name], report));
    for (const spec of specs) await retryRaced(() => ensure(collection, spec, report));
  }
  if (count === 0) report('indexes are up to date');
}

/** Whether every index is there, and none of the old service's is left that would have to be replaced. */
export async function isMigrated(db: mongoose.mongo.Db, codec: Codec): Promise<boolean> {
  const clashes = clashesFor(codec);
  for (const [name, specs] of Object.entries(indexesFor(codec))) {
    const indexes = await existing(db.collection(name));
    const lacks = specs.some((spec) => !indexes.some((index) => serves(index, spec)));
    if (lacks || indexes.some((index) => legacyFix(clashes[name], index) !== null)) return false;
  }
  return true;
}

async function fixLegacy(
  collection: Collection,
  clashes: Clashes | undefined,
  report: (line: string) => void,
): Promise<void> {
  for (const index of await existing(collection)) {
    const fix = legacyFix(clashes, index);
    if (fix === null) continue;
    await collection.dropIndex(String(index.name));
    await collection.createIndex(index.key, fix.options);
    report(`${collection.collectionName}: ${fix.done}`);
  }
}

async function ensure(
  collection: Collection,
  spec: IndexSpec,
  report: (line: string) => void,
): Promise<void> {
  if ((await existing(collection)).some((index) => serves(index, spec))) return;
  const { key, ...options } = spec;
  const { collectionName } = collection;
  const fields = Object.keys(key).join(', ');
  try {
    await collection.createIndex({ ...key }, options);
  } catch (error) {
    if (codeOf(error) !== DUPLICATE_KEY) throw error;
    // The server's message quotes the value, which may be an e-mail.
    throw new Error(
      `${collectionName}: several documents have the same ${fields}, which must be unique: index ${spec.name} was not made`,
    );
  }
  report(`${collectionName}: index ${spec.name} on ${fields}`);
}

/** A plain index is as good under any name, unique or not. */
function serves(index: Index, spec: IndexSpec): boolean {
  if (index.name === spec.name) return true;
  const isPlain = spec.unique !== true && spec.sparse !== true && spec.partialFilterExpression === undefined;
  const isWhole =
    index.partialFilterExpression === undefined &&
    index['sparse'] !== true &&
    index['collation'] === undefined;
  return isPlain && isWhole && JSON.stringify(index.key) === JSON.stringify(spec.key);
}

async function existing(collection: Collection): Promise<readonly Index[]> {
  try {
    return await collection.listIndexes().toArray();
  } catch (error) {
    if (codeOf(error) === NAMESPACE_NOT_FOUND) return [];
    throw error;
  }
}

async function retryRaced(step: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await step();
    } catch (error) {
      if (attempt === ATTEMPTS_MAX || !RACED.has(codeOf(error))) throw error;
    }
  }
}

function codeOf(error: unknown): number {
  return error instanceof mongoose.mongo.MongoServerError ? Number(error.code) : 0;
}
