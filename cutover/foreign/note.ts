/** Foreign writes by name, in the authority's books. */
import type { ForeignChange } from '../../db/changes.ts';
import type { Store } from '../../db/port.ts';
import { authorityOf } from '../mode.ts';
import { NOTES } from '../notes.ts';
import type { ControlRecord, PerStore } from '../protocol/types.ts';
import type { Telemetry } from '../telemetry.ts';

/** Where an `_id` has no name, its collection has. */
const NAMELESS = '~unnamed';
/** So many are named in the log at a time; the books name every one. */
const LOGGED_MAX = 10;

interface NoteOptions {
  readonly stores: PerStore<Store>;
  readonly record: ControlRecord;
  readonly now: Date;
  readonly telemetry: Telemetry;
}

export async function noteForeign(
  changes: readonly ForeignChange[],
  { stores, record, now, telemetry }: NoteOptions,
): Promise<void> {
  const { books } = stores[authorityOf(record.mode)];
  for (const { kind, entity, id } of changes) {
    const body = { store: 'mongo', change: kind, foundBy: 'watch', foundAtMs: now.getTime() };
    await books.putNote(NOTES.foreign, `${entity}/${id ?? NAMELESS}`, body, now);
    telemetry.count('cutover_foreign_writes_total', { store: 'mongo', entity });
  }
  for (const { kind, entity, id } of changes.slice(0, LOGGED_MAX)) {
    telemetry.warn({ store: 'mongo', entity, id, change: kind }, 'foreign write: no instance made it');
  }
  if (changes.length > LOGGED_MAX) {
    telemetry.warn(
      { store: 'mongo', count: changes.length },
      'foreign writes: more of them, all in the books',
    );
  }
}
