import { type Kysely, sql } from 'kysely';
import { type Bucket, decide, type LimitVerdict } from '../limits.ts';
import type { LimitStore } from '../port.ts';
import type { Database } from './database.ts';

interface BucketRow {
  readonly key: string;
  readonly level: number;
  readonly touched_at: Date;
}

/** Buckets are always locked in the order of their keys, so that two hits never wait for each other. */
export function createLimits(db: Kysely<Database>): LimitStore {
  return {
    hit: (hits, now) =>
      db.transaction().execute(async (trx) => {
        const buckets = await lock(trx, [...new Set(hits.map((each) => each.key))].sort(), now);
        const changed = new Map<string, Bucket>();
        const verdicts = hits.map((each): LimitVerdict => {
          const before = buckets.get(each.key) ?? null;
          const { bucket, verdict } = decide(before, each, now);
          if (verdict.allowed) {
            buckets.set(each.key, bucket);
            changed.set(each.key, bucket);
          }
          return verdict;
        });
        if (changed.size > 0) await save(trx, changed);
        return verdicts;
      }),

    async clear(keys) {
      await sql`
        delete from rate_limits where key = any(array(
          select key from rate_limits where key = any(${[...keys]}::text[]) order by key for update
        ))`.execute(db);
    },

    async refund(keys) {
      await sql`
        update rate_limits set level = greatest(0, level - 1) where key = any(array(
          select key from rate_limits where key = any(${[...keys]}::text[]) order by key for update
        ))`.execute(db);
    },

    async purge(untouchedSince) {
      const { numDeletedRows } = await db
        .deleteFrom('rate_limits')
        .where('touched_at', '<', untouchedSince)
        .executeTakeFirstOrThrow();
      return Number(numDeletedRows);
    },
  };
}

/** One statement makes, locks and reads the buckets: a conflicting insert waits for the row and then returns it. */
async function lock(db: Kysely<Database>, keys: readonly string[], now: Date): Promise<Map<string, Bucket>> {
  const { rows } = await sql<BucketRow>`
    insert into rate_limits (key, level, touched_at)
    select key, 0, ${now}::timestamptz from unnest(${keys}::text[]) as key
    on conflict (key) do update set level = rate_limits.level
    returning key, level, touched_at
  `.execute(db);
  return new Map(rows.map((row) => [row.key, { level: row.level, touchedAt: row.touched_at }]));
}

async function save(db: Kysely<Database>, buckets: ReadonlyMap<string, Bucket>): Promise<void> {
  const each = [...buckets.values()];
  await sql`
    update rate_limits set level = hit.level, touched_at = hit.touched_at
    from unnest(
      ${[...buckets.keys()]}::text[],
      ${each.map((bucket) => bucket.level)}::float8[],
      ${each.map((bucket) => bucket.touchedAt)}::timestamptz[]
    ) as hit (key, level, touched_at)
    where rate_limits.key = hit.key
  `.execute(db);
}
