import { type Bucket, decideAll } from '../../../db/limits.ts';
import type { LimitStore } from '../../../db/port.ts';
import type { Operate } from './engine.ts';

export function createLimits(operate: Operate): LimitStore {
  const buckets = new Map<string, Bucket>();
  return {
    hit: (hits, now) =>
      operate('limits.hit', 'write', () => {
        const { verdicts, changed } = decideAll(buckets, hits, now);
        for (const [key, bucket] of changed) buckets.set(key, bucket);
        return verdicts;
      }),

    peek: (hits, now) => operate('limits.peek', 'read', () => decideAll(buckets, hits, now).verdicts),

    clear: (keys) =>
      operate('limits.clear', 'write', () => {
        for (const key of keys) buckets.delete(key);
      }),

    refund: (keys) =>
      operate('limits.refund', 'write', () => {
        for (const key of keys) {
          const bucket = buckets.get(key);
          if (bucket !== undefined) buckets.set(key, { ...bucket, level: Math.max(0, bucket.level - 1) });
        }
      }),

    purge: (untouchedSince) =>
      operate('limits.purge', 'write', () => {
        const old = [...buckets].filter(([, { touchedAt }]) => touchedAt < untouchedSince);
        for (const [key] of old) buckets.delete(key);
        return old.length;
      }),
  };
}
