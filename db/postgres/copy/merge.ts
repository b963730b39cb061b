/**
 * From staging into the live tables, and out of them again. Each step is one transaction over a stretch of ids, guarded
 * like every apply: only over an older stamp, and only while no higher epoch has been seen. What it wrote over is kept.
 *
 * Of one stamp there is one content, unless others have written: then the authority's is laid over the mirror's, too.
 */
import { StaleEpoch } from '../../errors.ts';
import { type Entity, ERASED } from '../../records.ts';
import { TABLES } from '../database.ts';
import { FORGET_KEPT } from '../kept.ts';
import { type AnalyzeWay, analyzeWay } from '../statistics.ts';
import { attempt, type Connection, type PostgresBulk } from './client.ts';
import { columnsOf } from './rows.ts';
import { holdRun } from './runs.ts';
import { stagingTable } from './staging.ts';

export interface MergeStep {
  readonly inserted: number;
  readonly updated: number;
  /** Ids that were not merged and are not held in this state: marked, a clash of e-mails, or a user who is not there. */
  readonly deferred: readonly string[];
}

/** A stretch of ids. */
export interface Stretch {
  readonly entity: Entity;
  /** Excluded. */
  readonly after: string;
  /** Included. */
  readonly upTo: string;
  /** That were staged in it when it was cut. */
  readonly rows: number;
}

export interface MergeOptions {
  readonly run: string;
  readonly epoch: number;
}

/** What is staged of an entity, in stretches of so many rows. */
export async function stretchesOf(
  bulk: PostgresBulk,
  entity: Entity,
  rows: number,
): Promise<readonly Stretch[]> {
  const ends = await bulk.query<{ id: string; place: number }>(
    `select id, place::int from (select id, row_number() over (order by id) as place, count(*) over () as count
       from ${stagingTable(entity)}) as staged
     where place % $1 = 0 or place = count order by id`,
    [rows],
  );
  return ends.map(({ id, place }, index) => {
    const before = ends[index - 1];
    return { entity, after: before?.id ?? '', upTo: id, rows: place - (before?.place ?? 0) };
  });
}

/** Merges a stretch. Throws `StaleEpoch`, or `RangeLost`; may be made again. */
export function mergeStep(
  bulk: PostgresBulk,
  { entity, after, upTo, rows: staged }: Stretch,
  { run, epoch }: MergeOptions,
): Promise<MergeStep> {
  return bulk.transaction(async (connection) => {
    await holdRun(connection, run, 'merging');
    await assertEpoch(connection, epoch);
    const within = [run, entity, after, upTo];
    const updated = (await isEmpty(connection, entity, after, upTo))
      ? 0
      : await updateOlder(connection, entity, within);
    const inserted = await insertNew(connection, entity, within);
    if (entity === 'user') await forgetOfTombstones(connection, after, upTo);
    // Each was written, so nothing is left to look for, which costs a row as much as writing it.
    if (inserted + updated === staged) return { inserted, updated, deferred: [] };
    const { rows } = await connection.query<{ id: string }>(
      `select s.id from ${stagingTable(entity)} as s where s.id > $1 and s.id <= $2 and (
         select not (${isOlder(entity, 'held')}) from ${TABLES[entity]} as held where held.id = s.id) is not true`,
      [after, upTo],
    );
    return { inserted, updated, deferred: rows.map(({ id }) => id) };
  });
}

/** Whether the live table has nothing there to write over. What comes meanwhile is left, like all that is newer. */
async function isEmpty(
  connection: Connection,
  entity: Entity,
  after: string,
  upTo: string,
): Promise<boolean> {
  const { rowCount } = await connection.query(
    `select from ${TABLES[entity]} where id > $1 and id <= $2 limit 1`,
    [after, upTo],
  );
  return rowCount === 0;
}

/** Tombstones come here as well: what an earlier copy, or this one, keeps of their users goes. */
async function forgetOfTombstones(connection: Connection, after: string, upTo: string): Promise<void> {
  const { rows } = await connection.query<{ id: string }>(
    `select id from ${stagingTable('user')} where id > $1 and id <= $2 and deleted_at is not null`,
    [after, upTo],
  );
  if (rows.length > 0) await connection.query(FORGET_KEPT, [rows.map(({ id }) => id)]);
}

/** The lock keeps a change of authority waiting until this step has committed, and none later is passed over. */
export async function assertEpoch(connection: Connection, epoch: number): Promise<void> {
  const { rows } = await connection.query<{ epoch: number }>(
    'select epoch from cutover_control for key share',
  );
  const stored = rows[0]?.epoch ?? 0;
  if (stored > epoch) throw new StaleEpoch(stored, epoch);
}

/**
 * Rows whose e-mail another holds, or whose user is not there, wait for the mirror, which knows what to do; and what was
 * marked is its own work: if the run wrote it, undoing the run would take back a live write.
 *
 * What is in a row's way is asked for row by row, by subqueries that stay such: of a table that fills while they run a
 * planner knows nothing, and the joins it makes of them read all of it for each step.
 */
function fits(entity: Entity): string {
  return `not s.is_marked and ${hasItsPlace(entity)}`;
}

function hasItsPlace(entity: Entity): string {
  if (entity === 'user') {
    return '(select true from users as other where other.email_key = s.email_key and other.id <> s.id) is null';
  }
  return entity === 'session' ? '(select true from users as owner where owner.id = s.user_id)' : 'true';
}

/** Whether a row is to be written over by what is staged of it. */
function isOlder(entity: Entity, row: string): string {
  const list = (of: string) =>
    `(${columnsOf(entity)
      .map((column) => `${of}.${column}`)
      .join(', ')})`;
  return `(${row}.epoch, ${row}.version) < (s.epoch, s.version)
    or ((${row}.epoch, ${row}.version) = (s.epoch, s.version) and ${list(row)} is distinct from ${list('s')})`;
}

async function updateOlder(
  connection: Connection,
  entity: Entity,
  within: readonly string[],
): Promise<number> {
  const [live, staging] = [TABLES[entity], stagingTable(entity)];
  // Locked here, so that what is kept is what the update writes over.
  const kept = await connection.query(
    `insert into copy_undo (run, entity, record_id, epoch, version, before, owner)
     select $1, $2, s.id, s.epoch, s.version, held.before, held.owner
     from ${staging} as s cross join lateral (
       select to_jsonb(older)::text as before, older.${entity === 'user' ? 'id' : 'user_id'} as owner from ${live} as older
       where older.id = s.id and (${isOlder(entity, 'older')})
       for no key update) as held
     where s.id > $3 and s.id <= $4 and ${fits(entity)}
     order by s.id
     on conflict (run, entity, record_id) do update set owner = copy_undo.owner
     where (copy_undo.epoch, copy_undo.version) = (excluded.epoch, excluded.version)`,
    [...within],
  );
  if (kept.rowCount === 0) return 0;
  const assignments = columnsOf(entity)
    .filter((column) => column !== 'id')
    .map((column) => `${column} = s.${column}`);
  const { rowCount } = await connection.query(
    `update ${live} as held set ${assignments.join(', ')}, pending_at = null
     from ${staging} as s
     join copy_undo as undo on undo.run = $1 and undo.entity = $2 and undo.record_id = s.id
     where s.id > $3 and s.id <= $4 and held.id = s.id
       and (${isOlder(entity, 'held')}) and (undo.epoch, undo.version) = (s.epoch, s.version)`,
    [...within],
  );
  return rowCount ?? 0;
}

/** Of whatever has the id or the e-mail nothing is written over: that is found in the indexes which the row goes into anyway. */
async function insertNew(connection: Connection, entity: Entity, within: readonly string[]): Promise<number> {
  const [live, staging] = [TABLES[entity], stagingTable(entity)];
  const columns = columnsOf(entity);
  const { rowCount } = await connection.query(
    `with added as (
       insert into ${live} (${columns.join(', ')})
       select ${columns.map((column) => `s.${column}`).join(', ')} from ${staging} as s
       where s.id > $3 and s.id <= $4 and ${entity === 'user' ? 'not s.is_marked' : fits(entity)}
       order by s.id
       on conflict do nothing returning id, epoch, version)
     insert into copy_undo (run, entity, record_id, epoch, version)
     select $1, $2, id, epoch, version from added on conflict do nothing`,
    [...within],
  );
  return rowCount ?? 0;
}

/** What an earlier copy put aside, and this one has staged, is in its place by now. */
export async function settleAside(bulk: PostgresBulk, now: Date): Promise<void> {
  for (const [entity, table] of Object.entries(TABLES)) {
    await bulk.query(
      `update copy_quarantine as aside set state = 'moved', resolution = 'copied', resolved_at = $2
       where entity = $1 and state <> 'moved'
         and exists (select from staging.${table} as s where s.id = aside.record_id)
         and exists (select from ${table} as held where held.id = aside.record_id)`,
      [entity, now],
    );
  }
}

export interface UndoStep {
  readonly removed: number;
  readonly restored: number;
  /** Written since by others, referred to by what was, or of a user who has been erased. */
  readonly spared: number;
  readonly done: boolean;
}

export interface UndoOptions extends MergeOptions {
  /** Users whom the run added stay where a token made since then refers to them. */
  readonly since: Date;
  readonly limit: number;
}

/** In place of the version that a run wrote: it took the row out. */
export const TAKEN_OUT = -1;

/** Users last: what refers to them has gone by then, or is to be spared with them. */
export const UNDO_ORDER: readonly Entity[] = ['session', 'resetToken', 'verificationToken', 'user'];

/** Undoes up to `limit` writes of a run, but for what it took out, and forgets them. Throws `StaleEpoch`; may be made again. */
export function undoStep(
  bulk: PostgresBulk,
  entity: Entity,
  { run, epoch, since, limit }: UndoOptions,
): Promise<UndoStep> {
  const live = TABLES[entity];
  return bulk.transaction(async (connection) => {
    await assertEpoch(connection, epoch);
    const { rows } = await connection.query<{
      id: string;
      epoch: number;
      version: number;
      before: string | null;
    }>(
      `delete from copy_undo where ctid = any(array(
         select ctid from copy_undo where run = $1 and entity = $2 and version <> ${TAKEN_OUT}
         order by record_id limit $3 for update))
       returning record_id as id, epoch, version, before`,
      [run, entity, limit],
    );
    const ours = `(held.epoch, held.version) = (undo.epoch, undo.version) and held.pending_at is null`;
    const added = rows.filter(({ before }) => before === null);
    // A session that is being written is seen once its transaction has ended, and none comes after that.
    if (entity === 'user') await lockUsers(connection, added);
    const removed = await connection.query(
      `delete from ${live} as held
       using unnest($1::text[], $2::int[], $3::int[]) as undo (id, epoch, version)
       where held.id = undo.id and ${ours} ${entity === 'user' ? UNREFERRED : ''}`,
      [
        added.map(({ id }) => id),
        added.map((row) => row.epoch),
        added.map((row) => row.version),
        ...(entity === 'user' ? [since] : []),
      ],
    );
    let restored = 0;
    for (const row of rows) {
      if (row.before === null || row.before === ERASED) continue;
      const refused = await attempt(connection, async () => {
        const columns = columnsOf(entity).filter((column) => column !== 'id');
        const { rowCount } = await connection.query(
          `update ${live} as held
           set ${[...columns, 'pending_at'].map((column) => `${column} = was.${column}`).join(', ')}
           from (select $2::int as epoch, $3::int as version) as undo,
             jsonb_populate_record(null::${live}, $4::jsonb) as was
           where held.id = $1 and ${ours}`,
          [row.id, row.epoch, row.version, row.before],
        );
        restored += rowCount ?? 0;
      });
      // Another has its e-mail by now.
      if (refused !== null && refused.code !== '23505') throw refused;
    }
    const gone = removed.rowCount ?? 0;
    return { removed: gone, restored, spared: rows.length - gone - restored, done: rows.length < limit };
  });
}

/** Against sessions that come to be of them, until the transaction ends. */
export async function lockUsers(
  connection: Connection,
  users: readonly { readonly id: string }[],
): Promise<void> {
  const ids = users.map(({ id }) => id);
  await connection.query('select from users where id = any($1::text[]) order by id for update', [ids]);
}

/** A token may have been there without its user: only what has come since keeps one. */
const UNREFERRED = `
  and not exists (select from sessions where sessions.user_id = held.id)
  and not exists (select from password_reset_tokens as token where token.user_id = held.id and token.created_at >= $4)
  and not exists (select from verification_tokens as token where token.user_id = held.id and token.created_at >= $4)`;

/**
 * Up-to-date statistics, without which the first queries after a copy read whole tables. False when this role may not:
 * the server would only skip each table with a warning.
 */
export async function analyzeLive(bulk: PostgresBulk): Promise<boolean> {
  const [server] = await bulk.query<{ version: number }>(
    "select current_setting('server_version_num')::int as version",
  );
  const major = Math.floor((server?.version ?? 0) / 10_000);
  const [found] = await bulk.query<{ way: AnalyzeWay }>(analyzeWay(major));
  if (found?.way === 'own') {
    for (const table of Object.values(TABLES)) await bulk.query(`analyze ${table}`);
  } else if (found?.way === 'function') await bulk.query('select staging.analyze_live()');
  else return false;
  return true;
}
