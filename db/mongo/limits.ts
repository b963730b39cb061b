/** One document for each bucket, changed by compare-and-set. */
import { setTimeout as delay } from 'node:timers/promises';
import type mongoose from 'mongoose';
import { StoreUnavailable } from '../errors.ts';
import { type Bucket, decideAll, type LimitHit, type LimitVerdict } from '../limits.ts';
import type { LimitStore } from '../port.ts';
import type { Client, Opened } from './client.ts';
import { duplicateKey } from './errors.ts';
import { LIMITS_COLLECTION } from './models.ts';
import type { Serial } from './serial.ts';

interface BucketDoc {
  readonly _id: string;
  readonly level: number;
  readonly touchedAt: Date;
  /** Names one state of the bucket. */
  readonly revision: number;
}

/** Counters may be lost in a crash, so nobody waits for a journal. */
const FAST = { writeConcern: { w: 1, journal: false } } as const;
const ATTEMPTS_MAX = 30;
const JITTER_MAX_MS = 10;

/** Buckets that one round of a purge deletes. */
const PURGE_BATCH = 1_000;

export function createLimits(client: Client, serial: Serial): LimitStore {
  /** Instances contend with each other; within one, whoever wants a bucket waits for their turn. */
  function inTurn<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const [key, ...rest] = keys;
    return key === undefined ? work() : serial(`limit ${key}`, () => inTurn(rest, work));
  }

  const read = (key: string): Promise<BucketDoc | null> =>
    client.read((opened) => buckets(opened).findOne({ _id: { $eq: key } }, { maxTimeMS: opened.maxTimeMS }));

  async function count(keys: readonly string[], hits: readonly LimitHit[], now: Date) {
    const before = new Map<string, BucketDoc | null>();
    const saved = new Set<string>();
    let stale = keys;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      if (attempt > 0) await delay(Math.random() * JITTER_MAX_MS);
      await Promise.all(stale.map(async (key) => before.set(key, await read(key))));
      const { verdicts, changed } = decideAll(before, hits, now);
      if (refused(verdicts)) {
        for (const key of saved) await undo(key, before.get(key) ?? null);
        return verdicts;
      }
      await Promise.all(
        [...changed].map(async ([key, bucket]) => {
          if (!saved.has(key) && (await save(key, before.get(key) ?? null, bucket))) saved.add(key);
        }),
      );
      stale = keys.filter((key) => !saved.has(key));
      if (stale.length === 0) return verdicts;
    }
    for (const key of saved) await undo(key, before.get(key) ?? null);
    throw new StoreUnavailable('mongo', 'none', 'contention');
  }

  /** As if it had not been hit; when another instance has hit it since, only the hit is taken back. */
  async function undo(key: string, before: BucketDoc | null): Promise<void> {
    const undone = await client.write(async (opened) => {
      const options = { ...FAST, maxTimeMS: opened.maxTimeMS };
      if (before === null) {
        return (await buckets(opened).deleteOne({ _id: key, revision: 1 }, options)).deletedCount === 1;
      }
      const { level, touchedAt, revision } = before;
      const { matchedCount } = await buckets(opened).updateOne(
        { _id: key, revision: revision + 1 },
        { $set: { level, touchedAt, revision: revision + 2 } },
        options,
      );
      return matchedCount === 1;
    });
    if (!undone) await refund(key);
  }

  async function refund(key: string): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      if (attempt > 0) await delay(Math.random() * JITTER_MAX_MS);
      const doc = await read(key);
      if (doc === null) return;
      const { level, touchedAt } = doc;
      if (await save(key, doc, { level: Math.max(0, level - 1), touchedAt })) return;
    }
    throw new StoreUnavailable('mongo', 'none', 'contention');
  }

  async function save(key: string, before: BucketDoc | null, { level, touchedAt }: Bucket): Promise<boolean> {
    return client.write(async (opened) => {
      const options = { ...FAST, maxTimeMS: opened.maxTimeMS };
      if (before === null) return insertBucket(opened, { _id: key, level, touchedAt, revision: 1 }, options);
      const { revision } = before;
      const { matchedCount } = await buckets(opened).updateOne(
        { _id: key, revision },
        { $set: { level, touchedAt, revision: revision + 1 } },
        options,
      );
      return matchedCount === 1;
    });
  }

  return {
    hit(hits, now) {
      // Always in the order of their keys, so that two hits never wait for each other.
      const keys = [...new Set(hits.map((each) => each.key))].sort();
      return inTurn(keys, () => count(keys, hits, now));
    },

    async peek(hits, now) {
      const keys = [...new Set(hits.map((each) => each.key))];
      const found = await Promise.all(keys.map(async (key) => [key, await read(key)] as const));
      return decideAll(new Map(found), hits, now).verdicts;
    },

    async clear(keys) {
      await client.write((opened) =>
        buckets(opened).deleteMany({ _id: { $in: [...keys] } }, { ...FAST, maxTimeMS: opened.maxTimeMS }),
      );
    },

    async refund(keys) {
      for (const key of keys) await inTurn([key], () => refund(key));
    },

    async purge(untouchedSince) {
      const old = { touchedAt: { $lt: untouchedSince } };
      for (let purged = 0; ; ) {
        const docs = await client.read((opened) =>
          buckets(opened)
            .find(old, { projection: { _id: 1 }, limit: PURGE_BATCH, maxTimeMS: opened.maxTimeMS })
            .toArray(),
        );
        const { deletedCount } = await client.write((opened) =>
          buckets(opened).deleteMany(
            { _id: { $in: docs.map((doc) => doc._id) }, ...old },
            { ...FAST, maxTimeMS: opened.maxTimeMS },
          ),
        );
        purged += deletedCount;
        if (docs.length < PURGE_BATCH) return purged;
      }
    },
  };
}

const refused = (verdicts: readonly LimitVerdict[]): boolean => verdicts.some(({ allowed }) => !allowed);

function buckets({ db }: Opened): mongoose.mongo.Collection<BucketDoc> {
  return db.collection<BucketDoc>(LIMITS_COLLECTION);
}

/** False when another instance made the bucket first. */
async function insertBucket(
  opened: Opened,
  doc: BucketDoc,
  options: mongoose.mongo.InsertOneOptions,
): Promise<boolean> {
  try {
    await buckets(opened).insertOne(doc, options);
    return true;
  } catch (error) {
    if (duplicateKey(error) === null) throw error;
    return false;
  }
}
