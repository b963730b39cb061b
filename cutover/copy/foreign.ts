/** Foreign writes as the bulk verbs know them: verify names what it finds, and what repair or verify settles is closed. */
import { STORES, type StoreName } from '../../db/errors.ts';
import { ENTITIES } from '../../db/records.ts';
import { authorityOf } from '../mode.ts';
import { NOTES } from '../notes.ts';
import type { ControlRecord } from '../protocol/types.ts';
import type { Difference } from './settle.ts';
import type { CopyScope, RecordName } from './types.ts';

interface ForeignNote {
  readonly store: StoreName;
  readonly key: string;
  readonly times: number;
  readonly lastAt: Date;
}

export interface ForeignRecord extends RecordName {
  readonly note: ForeignNote;
}

const ALL = 1_000_000;

async function openNotes({ stores }: CopyScope): Promise<readonly ForeignNote[]> {
  const each = STORES.map(async (store) =>
    (await stores[store].books.notes(NOTES.foreign, { limit: ALL })).map(({ key, times, lastAt }) => ({
      store,
      key,
      times,
      lastAt,
    })),
  );
  return (await Promise.all(each)).flat();
}

/** The open ones that name a record, under whichever authority they were found. */
export async function foreignNotes(scope: CopyScope): Promise<readonly ForeignRecord[]> {
  return (await openNotes(scope)).flatMap((note) => {
    const entity = ENTITIES.find((each) => note.key.startsWith(`${each}/`));
    return entity === undefined ? [] : [{ entity, id: note.key.slice(entity.length + 1), note }];
  });
}

/** Closes the note, unless the record was written by others once more. */
export async function pickUp({ stores }: CopyScope, { store, key, times }: ForeignNote): Promise<void> {
  await stores[store].books.deleteNote(NOTES.foreign, key, times);
}

interface Verified {
  readonly result: { readonly clean: boolean; readonly differences: readonly Difference[] };
  readonly startedAt: Date;
  readonly record: ControlRecord;
  readonly isFull: boolean;
}

/**
 * A clean full verify closes what was noted before it began. Differences that no write of this service explains are
 * noted; while there is no complete copy everything may differ.
 */
export async function noteFindings(
  scope: CopyScope,
  { result, startedAt, record, isFull }: Verified,
): Promise<void> {
  if (isFull && result.clean) {
    for (const note of await openNotes(scope)) if (note.lastAt < startedAt) await pickUp(scope, note);
  }
  if (record.copy.kind !== 'complete') return;
  const { environment, stores, telemetry } = scope;
  const store = authorityOf(record.mode);
  const now = environment.date();
  for (const { entity, id, kind } of result.differences.filter(isForeign)) {
    const body = { store, change: kind, foundBy: 'verify', foundAtMs: now.getTime() };
    await stores[store].books.putNote(NOTES.foreign, `${entity}/${id}`, body, now);
    telemetry.count('cutover_foreign_writes_total', { store, entity });
  }
}

/** Unmarked, at rest, and yet of another content under one stamp, or on one side only: every write of ours would show. */
function isForeign({ kind, fields }: Difference): boolean {
  if (kind === 'unreadable') return true;
  return kind !== 'differs' || !(fields.includes('version') || fields.includes('epoch'));
}
