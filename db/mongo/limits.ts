/** One document for each bucket, changed by compare-and-set. */
import { setTimeout as delay } from 'node:timers/promises';
import type mongoose from 'mongoose';
import { StoreUnavailable } from '../errors.ts';
import { type Bucket, decide } from '../limits.ts';
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

/** What becomes of a bucket: null deletes nothing and writes nothing. */
type Step<T> = (bucket: Bucket | null) => { readonly bucket: Bucket | null; readonly answer: T };

export function createLimits(client: Client, serial: Serial): LimitStore {
  async function change<T>(key: string, step: Step<T>): Promise<T> {
    // Instances contend with each other; within one, hits of a key take turns.
    return serial(`limit ${key}`, async () => {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
        if (attempt > 0) await delay(Math.random() * JITTER_MAX_MS);
        const doc = await client.read((opened) =>
          buckets(opened).findOne({ _id: { $eq: key } }, { maxTimeMS: opened.maxTimeMS }),
        );
        const { bucket, answer } = step(doc);
        if (bucket === null || (await save(key, doc, bucket))) return answer;
      }
      throw new StoreUnavailable('mongo', 'none', 'contention');
    });
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
    hit: (hits, now) =>
      Promise.all(
        hits.map((hit) =>
          change(hit.key, (before) => {
            const { bucket, verdict } = decide(before, hit, now);
            return { bucket: verdict.allowed ? bucket : null, answer: verdict };
          }),
        ),
      ),

    async clear(keys) {
      await client.write((opened) =>
        buckets(opened).deleteMany({ _id: { $in: [...keys] } }, { ...FAST, maxTimeMS: opened.maxTimeMS }),
      );
    },

    async refund(keys) {
      for (const key of keys) {
        await change(key, (before) => ({
          bucket: before && { level: Math.max(0, before.level - 1), touchedAt: before.touchedAt },
          answer: null,
        }));
      }
    },

    async purge(untouchedSince) {
      const { deletedCount } = await client.write((opened) =>
        buckets(opened).deleteMany(
          { touchedAt: { $lt: untouchedSince } },
          { ...FAST, maxTimeMS: opened.maxTimeMS },
        ),
      );
      return deletedCount;
    },
  };
}

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
