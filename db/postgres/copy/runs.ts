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
  /** Never ended: the store it wrote to has authority by now, so nothing of it is gone on with or taken back. */
  | 'overtaken'
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
  /** Of the job that hands it out: its own, or that of the range it is the rest of. */
  readonly job: number;
  readonly counts: Readonly<Record<string, number>>;
}

const RUN = 'id, kind, state, body, started_at as "startedAt", updated_at as "updatedAt"';
const RANGE = 'seq, entity, bounds, state, job, counts';

export interface Runs {
  create(run: Pick<RunRow, 'id' | 'kind' | 'state' | 'body'>, now: Date): Promise<void>;
  find(id: string): Promise<RunRow | null>;
  list(query: { readonly limit: number; readonly kind?: RunKind }): Promise<readonly RunRow[]>;
  /** The backfill that is under way; there is one at most. */
  active(): Promise<RunRow | null>;
  /** False when the run has left `from` meanwhile. */
  advance(id: string, from: RunState, to: RunState, body: Json, now: Date): Promise<boolean>;
  /** Resolves once all that hold the run (`holdRun`) are done. */
  settled(id: string): Promise<void>;
  addRanges(run: string, ranges: readonly Pick<RangeRow, 'entity' | 'bounds'>[]): Promise<void>;
  ranges(run: string): Promise<readonly RangeRow[]>;
  /** Says whether those who only help are to leave the run alone, until it is gone on with. */
  hold(id: string, held: boolean): Promise<void>;
  isHeld(id: string): Promise<boolean>;
  /** Runs whose ranges are being worked and that nobody holds, the backfill first. */
  worked(): Promise<readonly RunRow[]>;
  /** The range this job is for, now this owner's, whoever had it before; null when it is done. */
  take(run: string, job: number, owner: string): Promise<RangeRow | null>;
  reopen(run: string, seqs: readonly number[]): Promise<void>;
  /** What is not done yet: the jobs it takes, and who was last to take one up. */
  open(run: string): Promise<readonly { readonly job: number; readonly owner: string | null }[]>;
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
    async settled(id) {
      await bulk.query('select from copy_runs where id = $1 for update', [id]);
    },
    async addRanges(run, ranges) {
      await bulk.query(
        `insert into copy_ranges (run, seq, job, entity, bounds, state, counts)
         select $1, last + place, last + place, entity, bounds, 'open', '{}'
         from unnest($2::text[], $3::jsonb[]) with ordinality as given (entity, bounds, place),
           (select coalesce(max(seq), 0) as last from copy_ranges where run = $1) as known`,
        [run, ranges.map(({ entity }) => entity), ranges.map(({ bounds }) => JSON.stringify(bounds))],
      );
    },
    ranges: (run) =>
      bulk.query<RangeRow & Record<string, unknown>>(
        `select ${RANGE} from copy_ranges where run = $1 order by seq`,
        [run],
      ),
    async hold(id, held) {
      // Beside what the run remembers: whoever advances it goes on with it.
      const body = held ? `body || '{"held": true}'` : `body - 'held'`;
      await bulk.query(`update copy_runs set body = ${body} where id = $1`, [id]);
    },
    async isHeld(id) {
      const [row] = await bulk.query<{ held: boolean }>(
        `select body ? 'held' as held from copy_runs where id = $1`,
        [id],
      );
      return row?.held === true;
    },
    worked: () =>
      bulk.query<RunRow & Record<string, unknown>>(
        `select ${RUN} from copy_runs as r
         where state in ('copying', 'merging', 'checking') and not body ? 'held'
           and exists (select from copy_ranges where run = r.id and state = 'open')
         order by kind, started_at desc`,
      ),
    async take(run, job, owner) {
      const rows = await bulk.query<RangeRow & Record<string, unknown>>(
        `update copy_ranges set owner = $3 where run = $1 and job = $2 and state = 'open' returning ${RANGE}`,
        [run, job, owner],
      );
      return rows[0] ?? null;
    },
    async reopen(run, seqs) {
      await bulk.query(
        `update copy_ranges set state = 'open', owner = null, job = seq, counts = '{}' where run = $1 and seq = any($2::int[])`,
        [run, [...seqs]],
      );
    },
    open: (run) =>
      bulk.query<{ job: number; owner: string | null }>(
        `select job, owner from copy_ranges where run = $1 and state = 'open' order by seq`,
        [run],
      ),
  };
}

/** The range is another's, or its run was taken back: whatever this transaction did is not its owner's to do. */
export class RangeLost extends Error {
  override readonly name = 'RangeLost';
}

/**
 * Holds a run until the transaction ends: whoever takes it back waits for that (`settled`). Throws `RangeLost` unless it is
 * in this state.
 */
export async function holdRun(connection: Connection, run: string, state: RunState): Promise<void> {
  // It does not wait for a change of state: only what is asked after it sees each one whose `settled` is over.
  await connection.query('select from copy_runs where id = $1 for key share', [run]);
  const { rowCount } = await connection.query('select from copy_runs where id = $1 and state = $2', [
    run,
    state,
  ]);
  if (rowCount !== 1) throw new RangeLost(`run ${run} is not ${state} any more`);
}

/** Holds the run for the work on one of its ranges. Throws `RangeLost` unless the range is open and this owner's. */
export async function holdRange(
  connection: Connection,
  run: Pick<RunRow, 'id' | 'state'>,
  { seq }: RangeRow,
  owner: string,
): Promise<void> {
  await holdRun(connection, run.id, run.state);
  const { rowCount } = await connection.query(
    `select from copy_ranges where run = $1 and seq = $2 and owner = $3 and state = 'open'`,
    [run.id, seq, owner],
  );
  if (rowCount !== 1) throw new RangeLost('another worker has taken this range up');
}

/**
 * Closes a range within the transaction that did its work. What is left of it becomes a range of its own, which the owner
 * may keep under the same job; its number, or null when nothing is left.
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
  const keeps = result.keepsRest === true;
  // One at a time: two that close at once would want the same number.
  await connection.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [run]);
  const { rows } = await connection.query<{ seq: number }>(
    `insert into copy_ranges (run, seq, job, entity, bounds, state, counts, owner)
     select $1, seq, coalesce($5, seq), $2, $3, 'open', '{}', $4
     from (select coalesce(max(seq), 0) + 1 as seq from copy_ranges where run = $1) as next returning seq`,
    [run, range.entity, JSON.stringify(result.rest), keeps ? owner : null, keeps ? range.job : null],
  );
  return rows[0]?.seq ?? null;
}
