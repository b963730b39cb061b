import { type Kysely, sql } from 'kysely';
import { type Bucket, decideAll, type LimitVerdict } from '../limits.ts';
import type { LimitStore } from '../port.ts';
import type { Database } from './database.ts';

interface BucketRow {
  readonly key: string;
  readonly level: number;
  readonly touched_at: Date;
}

/** Buckets that one statement of a purge looks at: few enough for any time limit, however many there are. */
const PURGE_PAGE = 5_000;

/** Takes the transaction back, with the buckets that it made to lock them. */
class Refused extends Error {
  readonly verdicts: readonly LimitVerdict[];
  constructor(verdicts: readonly LimitVerdict[]) {
    super('refused');
    this.verdicts = verdicts;
  }
}

/** Buckets are always locked in the order of their keys, so that two hits never wait for each other. */
export function createLimits(db: Kysely<Database>): LimitStore {
  return {
    hit: (hits, now) =>
      db
        .transaction()
        .execute(async (trx) => {
          const buckets = await lock(trx, [...new Set(hits.map((each) => each.key))].sort(), now);
          const { verdicts, changed } = decideAll(buckets, hits, now);
          if (verdicts.some(({ allowed }) => !allowed)) throw new Refused(verdicts);
          if (changed.size > 0) await save(trx, changed);
          return verdicts;
        })
        .catch((error: unknown) => {
          if (error instanceof Refused) return error.verdicts;
          throw error;
        }),

    async peek(hits, now) {
      const keys = hits.map((each) => each.key);
      const { rows } = await sql<BucketRow>`
        select key, level, touched_at from rate_limits where key = any(${keys}::text[])`.execute(db);
      return decideAll(bucketsOf(rows), hits, now).verdicts;
    },

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
      let purged = 0;
      for (let after: string | null = ''; after !== null; ) {
        const page: PurgedPage = await purgePage(db, after, untouchedSince);
        purged += page.purged;
        after = page.last;
      }
      return purged;
    },
  };
}

interface PurgedPage {
  readonly purged: number;
  /** Where the next page begins; null when there is none. */
  readonly last: string | null;
}

/** Goes by the primary key, since no index has the times. What is locked is being hit, and so not old. */
async function purgePage(db: Kysely<Database>, after: string, untouchedSince: Date): Promise<PurgedPage> {
  const { rows } = await sql<PurgedPage>`
    with page as (
      select key from rate_limits where key > ${after} order by key limit ${PURGE_PAGE}
    ), old as (
      select key from rate_limits
      where key in (select key from page) and touched_at < ${untouchedSince}::timestamptz
      for update skip locked
    ), gone as (
      delete from rate_limits where key in (select key from old) returning key
    )
    select (select count(*)::int from gone) as purged, (select max(key) from page) as last
  `.execute(db);
  return rows[0] ?? { purged: 0, last: null };
}

/** One statement makes, locks and reads the buckets: a conflicting insert waits for the row and then returns it. */
async function lock(db: Kysely<Database>, keys: readonly string[], now: Date): Promise<Map<string, Bucket>> {
  const { rows } = await sql<BucketRow>`
    insert into rate_limits (key, level, touched_at)
    select key, 0, ${now}::timestamptz from unnest(${keys}::text[]) as key
    on conflict (key) do update set level = rate_limits.level
    returning key, level, touched_at
  `.execute(db);
  return bucketsOf(rows);
}

function bucketsOf(rows: readonly BucketRow[]): Map<string, Bucket> {
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
