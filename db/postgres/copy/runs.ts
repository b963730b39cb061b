/** The books of the copy: runs, their ranges, and what was found. */
import type { Entity } from '../../records.ts';
import type { Json } from '../../replica.ts';
import type { Connection, PostgresBulk } from './client.ts';

export type RunKind = 'backfill' | 'verify';
/** `copying` and `merging` can be resumed; `done` and what was begun can be undone. */
export type RunState =
  | 'copying'
  | 'merging'
  | 'done'
  | 'rolled-back'
  | 'undoing'
  | 'undone'
  | 'checking'
  | 'checked';

export interface RunRow {
  readonly id: string;
  readonly kind: RunKind;
  readonly state: RunState;
  readonly body: Json;
  readonly startedAt: Date;
  readonly updatedAt: Date;
}

export interface RangeRow {
  readonly seq: number;
  readonly entity: Entity;
  readonly bounds: Json;
  readonly state: 'open' | 'done';
  readonly counts: Readonly<Record<string, number>>;
}

const RUN = 'id, kind, state, body, started_at as "startedAt", updated_at as "updatedAt"';
const RANGE = 'seq, entity, bounds, state, counts';

export interface Runs {
  create(run: Pick<RunRow, 'id' | 'kind' | 'state' | 'body'>, now: Date): Promise<void>;
  find(id: string): Promise<RunRow | null>;
  list(query: { readonly limit: number; readonly kind?: RunKind }): Promise<readonly RunRow[]>;
  /** The backfill that is under way; there is one at most. */
  active(): Promise<RunRow | null>;
  /** False when the run has left `from` meanwhile. */
  advance(id: string, from: RunState, to: RunState, body: Json, now: Date): Promise<boolean>;
  addRanges(run: string, ranges: readonly Pick<RangeRow, 'entity' | 'bounds'>[]): Promise<void>;
  ranges(run: string): Promise<readonly RangeRow[]>;
  /** The next range nobody has given a beat for in that time, now this owner's; null when there is none. */
  claim(run: string, owner: string, beatLostMs: number): Promise<RangeRow | null>;
  /** Shows that the owner lives; false when it has no range any more. */
  beat(run: string, owner: string): Promise<boolean>;
  reopen(run: string, seqs: readonly number[]): Promise<void>;
  /** How many ranges are not done yet. */
  open(run: string): Promise<number>;
}

export function createRuns(bulk: PostgresBulk): Runs {
  return {
    async create({ id, kind, state, body }, now) {
      await bulk.query(
        `insert into copy_runs (id, kind, state, body, started_at, updated_at) values ($1, $2, $3, $4, $5, $5)
         on conflict (id) do nothing`,
        [id, kind, state, JSON.stringify(body), now],
      );
    },
    async find(id) {
      const rows = await bulk.query<RunRow & Record<string, unknown>>(
        `select ${RUN} from copy_runs where id = $1`,
        [id],
      );
      return rows[0] ?? null;
    },
    list: ({ limit, kind }) =>
      bulk.query<RunRow & Record<string, unknown>>(
        `select ${RUN} from copy_runs where $2::text is null or kind = $2 order by started_at desc, id limit $1`,
        [limit, kind ?? null],
      ),
    async active() {
      const rows = await bulk.query<RunRow & Record<string, unknown>>(
        `select ${RUN} from copy_runs where kind = 'backfill' and state in ('copying', 'merging', 'undoing')`,
      );
      return rows[0] ?? null;
    },
    async advance(id, from, to, body, now) {
      const rows = await bulk.query(
        `update copy_runs set state = $3, body = $4, updated_at = $5 where id = $1 and state = $2 returning id`,
        [id, from, to, JSON.stringify(body), now],
      );
      return rows.length === 1;
    },
    async addRanges(run, ranges) {
      await bulk.query(
        `insert into copy_ranges (run, seq, entity, bounds, state, counts)
         select $1, coalesce((select max(seq) from copy_ranges where run = $1), 0) + place, entity, bounds, 'open', '{}'
         from unnest($2::text[], $3::jsonb[]) with ordinality as given (entity, bounds, place)`,
        [run, ranges.map(({ entity }) => entity), ranges.map(({ bounds }) => JSON.stringify(bounds))],
      );
    },
    ranges: (run) =>
      bulk.query<RangeRow & Record<string, unknown>>(
        `select ${RANGE} from copy_ranges where run = $1 order by seq`,
        [run],
      ),
    async claim(run, owner, beatLostMs) {
      const rows = await bulk.query<RangeRow & Record<string, unknown>>(
        `update copy_ranges set owner = $2, beat_at = clock_timestamp()
         where run = $1 and seq = (
           select seq from copy_ranges
           where run = $1 and state = 'open'
             and (owner is null or beat_at < clock_timestamp() - $3 * interval '1 ms')
           order by seq for update skip locked limit 1)
         returning ${RANGE}`,
        [run, owner, beatLostMs],
      );
      return rows[0] ?? null;
    },
    async beat(run, owner) {
      const rows = await bulk.query(
        `update copy_ranges set beat_at = clock_timestamp() where run = $1 and owner = $2 and state = 'open' returning seq`,
        [run, owner],
      );
      return rows.length > 0;
    },
    async reopen(run, seqs) {
      await bulk.query(
        `update copy_ranges set state = 'open', owner = null, counts = '{}' where run = $1 and seq = any($2::int[])`,
        [run, [...seqs]],
      );
    },
    async open(run) {
      const rows = await bulk.query<{ count: number }>(
        `select count(*)::int as count from copy_ranges where run = $1 and state = 'open'`,
        [run],
      );
      return rows[0]?.count ?? 0;
    },
  };
}

/** The range was another's when its owner wanted to close it: whatever this transaction did is the other's to do. */
export class RangeLost extends Error {
  override readonly name = 'RangeLost';
}

/**
 * Closes a range within the transaction that did its work. What is left of it becomes a range of its own, which the owner
 * may keep; its number, or null when nothing is left.
 */
export async function closeRange(
  connection: Connection,
  run: string,
  range: RangeRow,
  owner: string,
  result: {
    readonly counts: Readonly<Record<string, number>>;
    readonly bounds: Json;
    readonly rest: Json | null;
    readonly keepsRest?: boolean;
  },
): Promise<number | null> {
  const { rowCount } = await connection.query(
    `update copy_ranges set state = 'done', counts = $4, bounds = $5, owner = null
     where run = $1 and seq = $2 and owner = $3 and state = 'open'`,
    [run, range.seq, owner, JSON.stringify(result.counts), JSON.stringify(result.bounds)],
  );
  if (rowCount !== 1) throw new RangeLost('another worker has taken this range up');
  if (result.rest === null) return null;
  // One at a time: two that close at once would want the same number.
  await connection.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [run]);
  const { rows } = await connection.query<{ seq: number }>(
    `insert into copy_ranges (run, seq, entity, bounds, state, counts, owner, beat_at)
     select $1, coalesce(max(seq), 0) + 1, $2, $3, 'open', '{}', $4, clock_timestamp()
     from copy_ranges where run = $1 returning seq`,
    [run, range.entity, JSON.stringify(result.rest), result.keepsRest === true ? owner : null],
  );
  return rows[0]?.seq ?? null;
}
