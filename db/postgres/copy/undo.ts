/** What the copy towards MongoDB wrote over what. It is kept here, because both stores are up while a copy runs. */
import type { Entity } from '../../records.ts';
import { TABLES } from '../database.ts';
import type { PostgresBulk } from './client.ts';

export interface UndoEntry {
  readonly id: string;
  readonly epoch: number;
  readonly version: number;
  /** The document as canonical extended JSON; null: there was none. Empty: its user has been erased. */
  readonly before: string | null;
}

export interface KeptEntry extends UndoEntry {
  /** The user whose it is. */
  readonly owner: string;
}

/** The first entry of a record stays: a step that is made again must not take its own work for what was there before. */
export async function keepUndo(
  bulk: PostgresBulk,
  run: string,
  entity: Entity,
  entries: readonly KeptEntry[],
): Promise<void> {
  if (entries.length === 0) return;
  await bulk.query(
    `insert into copy_undo (run, entity, record_id, epoch, version, before, owner)
     select $1, $2, id, epoch, version, before, owner
     from unnest($3::text[], $4::int[], $5::int[], $6::text[], $7::text[]) as u (id, epoch, version, before, owner)
     on conflict (run, entity, record_id) do update set epoch = excluded.epoch, version = excluded.version`,
    [
      run,
      entity,
      entries.map(({ id }) => id),
      entries.map(({ epoch }) => epoch),
      entries.map(({ version }) => version),
      entries.map(({ before }) => before),
      entries.map(({ before, owner }) => (before === null ? null : owner)),
    ],
  );
}

/** Whether a run has written anything that is not undone yet, or put anything aside. */
export async function hasTouched(bulk: PostgresBulk, run: string): Promise<boolean> {
  const aside = await bulk.query('select from copy_quarantine where run = $1 limit 1', [run]);
  return aside.length > 0 || hasWritten(bulk, run);
}

/** Whether a run has written anything that is not undone yet. */
export async function hasWritten(bulk: PostgresBulk, run: string): Promise<boolean> {
  return (await bulk.query('select from copy_undo where run = $1 limit 1', [run])).length > 0;
}

export function undoEntries(
  bulk: PostgresBulk,
  run: string,
  entity: Entity,
  limit: number,
): Promise<readonly UndoEntry[]> {
  return bulk.query<UndoEntry & Record<string, unknown>>(
    `select record_id as id, epoch, version, before from copy_undo where run = $1 and entity = $2
     order by record_id limit $3`,
    [run, entity, limit],
  );
}

export async function forgetUndo(
  bulk: PostgresBulk,
  run: string,
  entity: Entity,
  ids: readonly string[],
): Promise<void> {
  if (ids.length === 0) return;
  await bulk.query('delete from copy_undo where run = $1 and entity = $2 and record_id = any($3::text[])', [
    run,
    entity,
    [...ids],
  ]);
}

/** Those of the records that are marked as pending. */
export async function markedAmong(
  bulk: PostgresBulk,
  entity: Entity,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await bulk.query<{ id: string }>(
    `select id from ${TABLES[entity]} where id = any($1::text[]) and pending_at is not null`,
    [[...ids]],
  );
  return new Set(rows.map(({ id }) => id));
}

/** Ids that cut a table into about equal parts. */
export async function cutIds(bulk: PostgresBulk, table: string, parts: number): Promise<readonly string[]> {
  const shares = Array.from({ length: parts - 1 }, (_, i) => (i + 1) / parts);
  const rows = await bulk.query<{ cuts: string[] | null }>(
    `select percentile_disc($1::float8[]) within group (order by id) as cuts from ${table}`,
    [shares],
  );
  return [...new Set(rows[0]?.cuts ?? [])];
}
