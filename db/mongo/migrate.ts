/** Brings the indexes up to date. Every step may be taken by several callers at once, and again. */
import { setTimeout as delay } from 'node:timers/promises';
import mongoose from 'mongoose';
import type { Codec } from '../canonical.ts';
import { builtIndexes, type Index } from './built-indexes.ts';
import { type IndexSpec, indexesFor } from './indexes.ts';
import { type Clashes, clashesFor, legacyFix } from './legacy-indexes.ts';
import { forbidding, obstaclesIn } from './obstacles.ts';

type Collection = mongoose.mongo.Collection;

const NAMESPACE_NOT_FOUND = 26;
const INDEX_NOT_FOUND = 27;
const DUPLICATE_KEY = 11000;
/** Another caller's index of the same key came first, or an index build of it was dropped meanwhile. */
const RACED = new Set([INDEX_NOT_FOUND, 85, 86, 276, 117, 112]);
const ATTEMPTS_MAX = 5;
/** None can be dropped beside one that is being built, which takes as long as the collection is large. */
const BUILDING = 12587;
const BUILDING_PAUSE_MS = 500;

/**
 * One line for each index made, replaced or loosened, or one that says that nothing was to be done. Throws where this service
 * cannot work.
 */
export async function migrate(
  db: mongoose.mongo.Db,
  codec: Codec,
  tell: (line: string) => void,
): Promise<void> {
  const clashes = clashesFor(codec);
  const obstacles = await obstaclesIn(db, codec);
  const [worst] = forbidding(obstacles);
  if (worst !== undefined) throw new Error(`${worst.found}: ${worst.remedy}`);
  for (const { found, remedy } of obstacles) tell(`${found}: ${remedy}`);
  let count = 0;
  const report = (line: string): void => {
    count += 1;
    tell(line);
  };
  for (const [name, specs] of Object.entries(indexesFor(codec))) {
    const collection = db.collection(name);
    const wait = () => tell(`${name}: waiting for an index that another is building, which may take long`);
    await retryRaced(() => fixLegacy(db, collection, clashes[name], report), wait);
    // Read once for all of them: at nearly every start they are there, and each look is one more answer to wait for.
    const there = await existing(db, name);
    for (const spec of specs) {
      await retryRaced(
        async (again) => ensure(collection, spec, again ? await existing(db, name) : there, report),
        wait,
      );
    }
  }
  if (count === 0) report('indexes are up to date');
}

/** Whether every index is there, and none of the old service's is left that would have to be replaced. */
export async function isMigrated(db: mongoose.mongo.Db, codec: Codec): Promise<boolean> {
  if (forbidding(await obstaclesIn(db, codec)).length > 0) return false;
  const clashes = clashesFor(codec);
  for (const [name, specs] of Object.entries(indexesFor(codec))) {
    const indexes = await existing(db, name);
    const lacks = specs.some((spec) => !indexes.some((index) => serves(index, spec)));
    if (lacks || indexes.some((index) => legacyFix(clashes[name], index) !== null)) return false;
  }
  return true;
}

async function fixLegacy(
  db: mongoose.mongo.Db,
  collection: Collection,
  clashes: Clashes | undefined,
  report: (line: string) => void,
): Promise<void> {
  for (const index of await existing(db, collection.collectionName)) {
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
  there: readonly Index[],
  report: (line: string) => void,
): Promise<void> {
  const { key, ...options } = spec;
  const { collectionName } = collection;
  if (there.some((index) => serves(index, spec))) return;
  const fields = Object.keys(key).join(', ');
  try {
    // Of one that another is building it waits for the end.
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

async function existing(db: mongoose.mongo.Db, collection: string): Promise<readonly Index[]> {
  try {
    return await builtIndexes(db, collection);
  } catch (error) {
    if (codeOf(error) === NAMESPACE_NOT_FOUND) return [];
    throw error;
  }
}

/** `onWait`: told once, when another's index build is waited for. */
async function retryRaced(step: (again: boolean) => Promise<void>, onWait: () => void): Promise<void> {
  let again = false;
  let hasTold = false;
  for (let attempt = 1; ; ) {
    try {
      return await step(again);
    } catch (error) {
      again = true;
      if (codeOf(error) === BUILDING) {
        if (!hasTold) onWait();
        hasTold = true;
        await delay(BUILDING_PAUSE_MS);
        continue;
      }
      if (attempt === ATTEMPTS_MAX || !RACED.has(codeOf(error))) throw error;
      attempt += 1;
    }
  }
}

function codeOf(error: unknown): number {
  return error instanceof mongoose.mongo.MongoServerError ? Number(error.code) : 0;
}
